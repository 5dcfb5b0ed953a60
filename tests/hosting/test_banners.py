from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import system
from accounts.models import Membership
from hosting import banners, dunning
from hosting.models import Dunning
from mailstore import cooling, standing
from mailstore.engine import engine
from mailstore.models import PendingChange, Restriction
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.dunning_rows import bill, live_through, noon, run_of
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
ACTOR = system("tests")


def stop(organisation, cause="abuse", state="suspended", **stops):
    standing.impose(
        actor=ACTOR,
        organisation=organisation,
        cause=Restriction.Cause(cause),
        state=Restriction.State(state),
        stops=stops,
        reason="Spam was sent.",
        at=AT,
    )


def shown(user):
    return [
        (banner.title, banner.level) for banner in banners.for_user(user, house_name="Restante")
    ]


def page(user, path="/overview/"):
    client = Client()
    signed_in(user, client)
    return client.get(path).content.decode()


def test_nothing_stands_where_nothing_is_stopped_and_it_costs_one_query(
    cast, django_assert_num_queries
):
    for user in (cast.alice, cast.rita, cast.sam):
        with django_assert_num_queries(1):
            assert banners.for_user(user, house_name="Restante") == []


def test_what_is_due_stands_on_every_page_with_what_comes_next(cast):
    bill(cast.other_customer)
    live_through(0, 7)

    [banner] = banners.for_user(cast.charlie, house_name="Restante")

    assert banner.title == "Juniper: 12.00 EUR was due on 1 November 2026."
    assert (banner.level, banner.can_pay) == ("near", True)
    limited = (
        "Sending is limited. Mail arrives and is read as before. This house takes no mail from "
        "programs yet: what is sent by another server goes on."
    )
    assert banner.lines == [
        "Everything works as before.",
        f"From 15 November 2026, unless it is paid: {limited}",
        "Payment gives back at once whatever was stopped.",
    ]
    for path in ("/overview/", "/domains/", "/rules/", "/changes/"):
        assert "12.00 EUR was due on 1 November 2026." in page(cast.charlie, path)
    assert "12.00 EUR" not in page(cast.alice)


@pytest.mark.parametrize(
    ("day", "now"),
    [
        (14, "Sending is limited."),
        (21, "Mail can be read,"),
        (35, "New mail is put off"),
        (60, "All"),
    ],
)
def test_what_is_stopped_is_said_in_words(cast, day, now):
    bill(cast.other_customer)
    live_through(0, day)

    [banner] = banners.for_user(cast.charlie, house_name="Restante")

    assert banner.level == "full"
    assert banner.lines[0].startswith(now)


def test_while_only_a_letter_comes_next_the_earliest_day_of_the_next_stop_is_named(cast):
    bill(cast.other_customer)
    live_through(0, 35)

    lines = banners.for_user(cast.charlie, house_name="Restante")[0].lines

    assert lines[1].startswith("Not before 31 December 2026, and after another letter: All")


@pytest.mark.parametrize(
    ("stops", "word", "line"),
    [
        ({"sign_in": "shut"}, "Stopped", "Nobody signs in to a mailbox"),
        ({"sign_in": "read_only"}, "Read only", "Mail can be read, not changed"),
        (
            {"sign_in": "read_only", "receiving": "put_off"},
            "New mail waits",
            "Mail can be read, not changed · New mail waits at its senders",
        ),
        ({"sending": "limited"}, "Active", "Sending is limited"),
    ],
)
def test_a_mailbox_says_what_its_organisation_may_not_do(cast, twin, stops, word, line):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    stop(cast.customer, **stops)

    assert f">{word}</span>" in page(cast.alice)
    assert f">{line}</p>" in page(cast.alice, f"/mailboxes/{mailbox.uuid}/")


def test_who_may_not_see_bills_sees_no_amount(cast):
    reader = make_member("reader@example.test", cast.other_customer, Membership.Role.READ_ONLY)
    bill(cast.other_customer)
    live_through(0, 3)

    [banner] = banners.for_user(reader, house_name="Restante")

    assert banner.title == "Juniper: a bill is not paid. Your owners can see it."
    assert not banner.can_pay


def test_a_pause_is_said_and_no_day_is_named(cast):
    bill(cast.other_customer)
    live_through(0, 7)
    dunning.pause(actor=ACTOR, run=run_of(cast.other_customer), reason="x", at=noon(8))

    lines = banners.for_user(cast.charlie, house_name="Restante")[0].lines

    assert "Reminders are paused. Nothing more is stopped until they go on." in lines
    assert not [line for line in lines if line.startswith("From ")]


def test_money_that_is_in_is_thanked_for_until_the_sweep_has_seen_it(cast):
    Dunning.objects.create(customer=cast.other_customer, began_at=AT, due_on=AT.date())

    assert shown(cast.charlie) == [("Juniper: your payment has come in.", "near")]


def test_who_is_stopped_reads_the_reason_and_each_switch(cast):
    stop(cast.other_customer, sign_in="shut", sending="shut")

    [banner] = banners.for_user(cast.charlie, house_name="Restante")

    assert banner.title == "Juniper is stopped by Restante."
    assert banner.lines == [
        "Spam was sent.",
        "Nobody signs in to a mailbox.",
        "Mail arrives.",
        "Nothing can be sent.",
    ]


@pytest.mark.parametrize(
    ("stops", "line"),
    [
        ({"sign_in_below": "shut"}, "Nobody can sign in for now."),
        ({"sign_in_below": "read_only"}, "Mail can be read,"),
        ({"receiving_below": "put_off"}, "New mail is put off:"),
        ({"sending_below": "limited"}, "Sending is limited."),
    ],
)
def test_a_resellers_customers_read_what_reaches_them_and_not_why(cast, stops, line):
    stop(cast.reseller, **stops)

    [banner] = banners.for_user(cast.alice, house_name="Restante")

    assert banner.title == "Alder: something at Rowan is open that concerns your mail."
    assert banner.lines[0].startswith(line)
    assert "Spam" not in str(banner)


def test_what_a_reseller_has_of_its_own_does_not_reach_its_customers_pages(cast):
    stop(cast.reseller, sign_in="shut", receiving="put_off", sending="shut")

    assert banners.for_user(cast.alice, house_name="Restante") == []
    assert len(banners.for_user(cast.rita, house_name="Restante")) == 1


# Leaving ----------------------------------------------------------------------------------


def close_at_once(cast, client):
    client.post(f"/organisations/{cast.customer.uuid}/close", {"name": "alder"})
    later = timezone.now() + timedelta(days=3, minutes=1)
    cooling.make_due(engine=engine(), at=later)
    standing.close_along(grace=timedelta(days=30), at=later)


def test_an_organisation_closes_after_the_wait_and_one_button_brings_it_back(cast, twin):
    mailbox = make_mailbox(cast.domain)
    client = Client()
    signed_in(cast.alice, client)
    asked = client.post(f"/organisations/{cast.customer.uuid}/close", {"name": "alder"})
    cast.customer.refresh_from_db()
    waiting = PendingChange.objects.waiting().get(), cast.customer.state
    close_at_once(cast, client)
    mailbox.refresh_from_db()
    closed = mailbox.state
    banner = page(cast.alice)
    kept = client.post(f"/organisations/{cast.customer.uuid}/keep", follow=True)
    cast.customer.refresh_from_db()

    assert asked.status_code == 302
    assert (waiting[0].kind, waiting[1]) == ("close_all", "active")
    assert closed == "closing"
    assert "Alder is closed." in banner
    assert "Keep it: take all mailboxes back" in banner
    assert "Keep it: take all mailboxes back" not in page(cast.bob)
    assert "Taken back." in kept.content.decode()
    assert cast.customer.state == "active"
    assert "already" not in client.get("/changes/").content.decode()


def test_the_name_has_to_be_typed(cast):
    client = Client()
    signed_in(cast.alice, client)

    answer = client.post(f"/organisations/{cast.customer.uuid}/close", {"name": "Juniper"})

    assert answer.status_code == 422
    assert "This is not its name." in answer.content.decode()
    assert not PendingChange.objects.exists()


@pytest.mark.parametrize("path", ["keep", "close"])
def test_what_cannot_be_done_is_said(cast, path):
    if path == "close":
        stop(cast.customer, "debt", "closed")
    client = Client()
    signed_in(cast.alice, client)

    answer = client.post(
        f"/organisations/{cast.customer.uuid}/{path}", {"name": "Alder"}, follow=True
    )

    text = {"keep": "Nothing of this kind stands", "close": "Alder is closed already."}[path]
    assert text in answer.content.decode()


@pytest.mark.parametrize(
    ("whose", "text"), [("reseller", "has customers"), ("provider", "The house itself")]
)
def test_who_has_customers_and_the_house_do_not_close(cast, whose, text):
    with pytest.raises(standing.Refused, match=text):
        cooling.ask_to_close_all(
            actor=ACTOR, organisation=getattr(cast, whose), wait=timedelta(0), at=AT
        )


def test_a_closing_that_has_become_impossible_fails_with_the_reason(cast, twin):
    cooling.ask_to_close_all(
        actor=cast.actor(cast.alice), organisation=cast.customer, wait=timedelta(0), at=AT
    )
    stop(cast.customer, "debt", "closed")

    assert cooling.make_due(engine=engine(), at=AT) == 0
    assert PendingChange.objects.get().failure == "Alder is closed already."
