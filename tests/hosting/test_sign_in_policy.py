"""App passwords only, for an organisation: its page, and every door by which mailboxes come."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.models import Event, Organisation
from hosting import public_ids
from hosting.models import Plan
from mailstore import credentials
from mailstore.models import Device, Mailbox
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.test_pages import text_of
from tests.staffing import MAILBOXES, said, signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def url(cast, name="app_passwords"):
    return reverse(f"organisations:{name}", args=[cast.customer.uuid])


def switch_on(cast):
    return signed_in(cast.alice).post(url(cast, "default_app_passwords"), {"state": "on"})


def opened_by_password(cast, local_part="shared"):
    mailbox = make_mailbox(cast.domain, local_part)
    credentials.set_mailbox_password(
        actor=cast.actor(cast.sam), mailbox=mailbox, password="long enough", at=AT
    )
    Device.objects.create(
        mailbox=mailbox,
        credential="-",
        protocol="imap",
        first_at=AT,
        last_at=timezone.now() - timedelta(days=2),
        last_address="203.0.113.7",
    )
    return mailbox


def test_the_page_switches_it_for_new_mailboxes(cast):
    alice = signed_in(cast.alice)
    assert "A mailbox password may be set for new mailboxes" in text_of(alice.get(url(cast)))

    answer = alice.post(url(cast, "default_app_passwords"), {"state": "on"}, follow=True)

    assert said(answer) == ["Only app passwords open new mailboxes from now on."]
    assert "Only app passwords open new mailboxes, whoever orders them" in text_of(answer)
    answer = alice.post(url(cast, "default_app_passwords"), {"state": "off"}, follow=True)
    assert said(answer) == ["A mailbox password may open new mailboxes too from now on."]
    assert not Organisation.objects.get(pk=cast.customer.pk).app_passwords_only


@pytest.mark.parametrize("name", ["default_app_passwords", "require_app_passwords"])
def test_a_form_that_makes_no_sense_changes_nothing(cast, name):
    opened_by_password(cast)

    answer = signed_in(cast.alice).post(url(cast, name), {"state": "?", "expected": "-1"})

    assert answer.status_code == 302
    assert not Organisation.objects.get(pk=cast.customer.pk).app_passwords_only
    assert not Mailbox.objects.filter(app_passwords_only=True).exists()


def test_the_page_says_what_would_stop_before_it_does(cast):
    mailbox = opened_by_password(cast)
    make_mailbox(cast.domain, "plain")
    alice = signed_in(cast.alice)

    page = alice.get(url(cast))

    assert "2 mailboxes may be opened by a mailbox password." in text_of(page)
    assert "In 1 of them a program did so within 30 days, and would stop" in text_of(page)
    assert mailbox.address in text_of(page)
    answer = alice.post(url(cast, "require_app_passwords"), {"expected": "1"}, follow=True)
    assert said(answer) == ["Only app passwords open 2 further mailboxes now."]
    assert "Only app passwords open them, or there are none." in text_of(answer)
    assert Mailbox.objects.filter(app_passwords_only=True).count() == 2


def test_the_page_asks_again_where_more_would_stop_by_now(cast):
    opened_by_password(cast)

    answer = signed_in(cast.alice).post(
        url(cast, "require_app_passwords"), {"expected": "0"}, follow=True
    )

    assert said(answer)[0].startswith("Meanwhile further programs signed in")
    assert not Mailbox.objects.filter(app_passwords_only=True).exists()


def test_who_may_only_read_sees_it_without_buttons_and_billing_not_at_all(cast):
    opened_by_password(cast)

    page = signed_in(cast.bob).get(url(cast)).content.decode()
    cast.customer.memberships.filter(user=cast.bob).update(role="billing")

    assert "shared@alder.test" in page
    assert url(cast, "require_app_passwords") not in page
    assert signed_in(cast.bob).get(url(cast)).status_code == 403


def test_who_comes_from_above_is_named_where_a_mailbox_is_shown(cast):
    cache.clear()
    signed_in(cast.rita).get(url(cast))
    mailbox = opened_by_password(cast)
    signed_in(cast.alice).get(url(cast))
    signed_in(cast.rita).get(url(cast))

    looked = Event.objects.filter(kind="mailbox.looked_at")
    assert list(looked.values_list("actor_name", "subject_id")) == [
        (cast.rita.email, str(mailbox.uuid))
    ]


def test_the_way_to_it_is_shown_to_whoever_may_go_it(cast):
    people = reverse("people:detail", args=[cast.customer.uuid])

    assert url(cast) in signed_in(cast.alice).get(people).content.decode()
    assert url(cast) not in signed_in(cast.bob).get(people).content.decode()


def test_the_activity_tells_it_in_sentences(cast):
    opened_by_password(cast)
    switch_on(cast)
    signed_in(cast.alice).post(url(cast, "require_app_passwords"), {"expected": "1"})

    page = text_of(signed_in(cast.alice).get("/activity/"))

    assert "From here on, only app passwords open new mailboxes." in page
    assert (
        "Only app passwords open 1 mailbox from here on, where a mailbox password did too." in page
    )


# Every door by which mailboxes come ------------------------------------------------------


def order(cast):
    domain = public_ids.encode("dom", cast.domain.uuid)
    return {"domain_id": domain, "local_part": "new", "plan": "imap"}


def by_page(cast, _folder):
    form = {"domain": "alder.test", "local_part": "new", "protocol": "imap"}
    signed_in(cast.alice).post(reverse("mailboxes:order"), form)


def by_program(cast, _folder):
    Caller(make_key(cast.customer).secret).post("/mailboxes", order(cast))


def by_batch(cast, _folder):
    item = {"key": "a", "operation": "create_mailbox", "body": order(cast)}
    Caller(make_key(cast.customer).secret).post("/batch", {"items": [item]})


def by_staff(cast, _folder):
    form = {"domain": cast.domain.pk, "local_part": "new", "plan": Plan.objects.get(slug="imap").pk}
    signed_in(cast.sam).post(f"{MAILBOXES}add/", {**form, "confirmed": "yes"})


def by_command(_cast, folder):
    path = folder / "list.csv"
    path.write_text("address,plan\nnew@alder.test,imap\n")
    call_command("import_mailboxes", path)


@pytest.mark.parametrize("door", [by_page, by_program, by_batch, by_staff, by_command])
def test_whatever_door_a_mailbox_comes_through_it_takes_it(cast, tmp_path, door):
    switch_on(cast)

    door(cast, tmp_path)

    assert Mailbox.objects.get(address="new@alder.test").app_passwords_only
