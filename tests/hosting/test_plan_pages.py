"""The doors to a change of plan: pages, staff action and command."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from hosting.models import BulkRequest, Contract, Limits, Plan, PlanChange
from mailstore import credentials
from mailstore.models import AppPassword, Mailbox, PendingChange, Usage
from tests.factories import AT, make_mailbox
from tests.staffing import act, ask_in_bulk, signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def letter(subject):
    return f"Subject: {subject}\r\nMessage-ID: <{subject}@x.test>\r\n\r\nHello\r\n".encode()


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    for folder in ("INBOX", "Sent", "Trash"):
        twin.store(user=mailbox.address, folder=folder, message=letter(folder))
    Usage.objects.create(username=mailbox.address, bytes=300, messages=3)
    return mailbox


@pytest.fixture
def alice(client, cast):
    signed_in(cast.alice, client)
    return client


def path(mailbox, name, *more):
    return reverse(f"mailboxes:{name}", args=[mailbox.uuid, *more])


def text_of(response):
    return " ".join(response.content.decode().split())


def test_choices_stand_side_by_side_with_their_prices(alice, mailbox):
    text = text_of(alice.get(path(mailbox, "plans")))

    assert "Your plan" in text
    assert "See what POP changes" in text
    assert "3 messages wait here until one program fetches them" in text
    assert "if you stay" in text
    assert "if you change now" in text
    assert "1.00 EUR" in text


def test_who_may_only_look_sees_no_amounts(client, cast, mailbox):
    signed_in(cast.bob, client)

    for page in (
        path(mailbox, "plans"),
        path(mailbox, "change_plan", "pop"),
        path(mailbox, "close"),
    ):
        text = text_of(client.get(page))
        assert " EUR" not in text
        assert "with costs" not in text


def test_choice_that_is_impossible_says_what_must_go(alice, mailbox):
    Usage.objects.update(bytes=3 * 10**9)

    text = text_of(alice.get(path(mailbox, "plans")))

    assert "Remove 2 GB first (exactly 2000000000 B)." in text
    response = alice.get(path(mailbox, "change_plan", "pop"))
    assert response.status_code == 409
    assert "Remove 2 GB first" in text_of(response)


def test_preview_says_what_changes_what_it_costs_and_what_goes_out_of_sight(alice, cast, mailbox):
    credentials.issue(
        actor=cast.actor(cast.alice),
        mailbox=mailbox,
        label="Phone",
        allows_pop=False,
        at=AT,
    )

    text = text_of(alice.get(path(mailbox, "change_plan", "pop")))

    assert "2 messages" in text
    assert "in other folders go out of sight" in text
    assert "Removed mail comes back for" in text
    assert "30 days after a program fetched it" in text
    assert "Its app password is not meant for POP." in text
    assert "Type the address to confirm" in text
    assert Contract.objects.get().plan.slug == "imap"


def test_preview_names_days_no_earlier_than_the_rules_hold(alice, mailbox, twin):
    alice.post(path(mailbox, "change_plan", "pop"), {"address": mailbox.address})
    PendingChange.objects.all().delete()
    Mailbox.objects.update(former_policy=None, window_days=14)
    trash = twin.accounts[mailbox.address].folders["Trash"]
    trash.append(letter("Old"), at=timezone.now() - timedelta(days=90))

    text = text_of(alice.get(path(mailbox, "change_plan", "imap")))

    effective = timezone.now() + timedelta(hours=72)
    assert "2 of the messages in Trash" in text
    assert f"{effective:%-d %b}</time> (1)" in text


def test_preview_names_removed_mail_that_the_shorter_window_ends_for(alice, mailbox, twin):
    store = twin.accounts[mailbox.address].store
    twin.remove(user=mailbox.address, folder="INBOX", uids=[1])
    for days in (40, 20, 5):
        old = letter(f"Removed {days}")
        store["INBOX"].append(old, at=timezone.now() - timedelta(days=days))

    text = text_of(alice.get(path(mailbox, "change_plan", "pop")))

    assert "1 message (" in text
    assert "among the removed mail could not be brought back any more" in text


def test_change_is_made_and_taken_back(alice, cast, mailbox):
    credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone", allows_pop=False, at=AT
    )
    asked = {"address": mailbox.address, "gathers": "on", "widens": "on"}

    response = alice.post(path(mailbox, "change_plan", "pop"), asked, follow=True)

    text = text_of(response)
    assert "Mail is read by POP from now on." in text
    assert "Changed from IMAP to POP on" in text
    assert "2.50 EUR a month" in text
    mailbox.refresh_from_db()
    assert mailbox.protocol == "pop"
    assert AppPassword.objects.get().allows_pop
    assert mailbox.protocol_switches.get().gathers
    text = text_of(alice.post(path(mailbox, "take_back_plan"), follow=True))
    assert "The mailbox is back on IMAP, with everything in it." in text
    text = text_of(alice.post(path(mailbox, "take_back_plan"), follow=True))
    assert "There is no change that could be taken back." in text
    assert Mailbox.objects.get().protocol == "imap"


def test_change_that_is_less_safe_needs_the_address(alice, mailbox):
    response = alice.post(path(mailbox, "change_plan", "pop"), {"address": "other@alder.test"})

    assert response.status_code == 422
    assert not PlanChange.objects.exists()


def test_change_that_makes_nothing_less_safe_needs_no_typing(alice, cast, twin):
    pop = make_mailbox(cast.domain, "till", "pop")
    twin.know(pop.address)

    page = text_of(alice.get(path(pop, "change_plan", "imap")))
    alice.post(path(pop, "change_plan", "imap"), {})

    assert "Type the address" not in page
    pop.refresh_from_db()
    assert (pop.protocol, pop.former_policy) == ("imap", None)
    assert not PendingChange.objects.exists()


def test_larger_plan_of_the_same_protocol_switches_nothing(alice, mailbox):
    larger = Plan.objects.get(slug="imap")
    prices = list(larger.prices.all())
    larger.pk, larger.slug, larger.name, larger.ceiling_bytes = None, "imap-xl", "XL", 10**12
    larger.quota_bytes = 10**11
    larger.save(force_insert=True)
    assert "See what XL changes" not in text_of(alice.get(path(mailbox, "plans")))
    for price in prices:
        price.pk, price.plan = None, larger
        price.save(force_insert=True)

    assert "See what XL changes" in text_of(alice.get(path(mailbox, "plans")))
    text = text_of(alice.get(path(mailbox, "change_plan", "imap-xl")))
    assert "Your devices" not in text
    assert "The tripwire fires at" in text
    text = text_of(alice.post(path(mailbox, "change_plan", "imap-xl"), {}, follow=True))

    assert "The plan is XL from now on." in text
    assert not mailbox.protocol_switches.exists()


def test_limit_that_is_reached_is_told(alice, cast, mailbox, twin):
    pop = make_mailbox(cast.domain, "till", "pop")
    twin.know(pop.address)
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=1)

    response = alice.post(path(pop, "change_plan", "imap"), {})

    assert response.status_code == 409
    assert "Alder may spend 0.01 EUR a month" in text_of(response)


def test_plan_that_nobody_knows_is_absent(alice, mailbox):
    assert alice.get(path(mailbox, "change_plan", "gold")).status_code == 404


def test_plan_off_sale_and_the_same_plan_are_refused_on_their_pages(alice, mailbox):
    Plan.objects.filter(slug="pop").update(is_on_sale=False)

    for slug, said in (("pop", "not on sale"), ("imap", "on the plan IMAP already")):
        for ask in (alice.get, alice.post):
            response = ask(path(mailbox, "change_plan", slug))
            assert response.status_code == 409
            assert said in text_of(response)
    assert "Not on sale at the moment." in text_of(alice.get(path(mailbox, "plans")))


def test_nothing_is_offered_while_the_mail_server_cannot_be_asked(alice, mailbox, twin):
    twin.is_down = True

    text = text_of(alice.get(path(mailbox, "change_plan", "pop")))

    assert "The mail server cannot be asked at the moment" in text
    assert "with costs" not in text


def test_mailbox_without_a_plan_says_so(alice, mailbox):
    Contract.objects.update(ends_at=timezone.now())

    text = text_of(alice.get(path(mailbox, "plans")))

    assert "is on no plan at present" in text
    assert "After that" not in text_of(alice.get(path(mailbox, "close")))


def test_closing_says_what_it_costs(alice, mailbox):
    text = text_of(alice.get(path(mailbox, "close")))

    closes = timezone.now() + timedelta(hours=72)
    assert f"{closes:%B %Y}" in text
    assert "charged to the second of the closing" in text


def test_number_of_queries_is_known(alice, mailbox, django_assert_num_queries):
    with django_assert_num_queries(32):
        alice.get(path(mailbox, "plans"))


# Staff ----------------------------------------------------------------------------------


def test_staff_foresee_and_change_plans(staff, mailbox):
    plan = Plan.objects.get(slug="pop")
    act(staff, "change_plan", mailbox)
    where = f"/staff/hosting/bulkrequest/{BulkRequest.objects.get().pk}/ask/"

    foreseen = staff.post(where, {"reason": "x", "plan": plan.pk}, follow=True)

    assert "2.50 EUR → 1.00 EUR" in text_of(foreseen)
    assert "Some of it waits." in text_of(foreseen)
    assert not PlanChange.objects.exists()
    staff.post(where, {"reason": "x", "plan": plan.pk, "confirmed": "yes"})
    assert PlanChange.objects.get().by.endswith("sam@example.test")


def test_staff_see_who_cannot_go_over(staff, cast, mailbox):
    other = make_mailbox(cast.domain, "till")
    Usage.objects.create(username=other.address, bytes=10**9 + 1)

    asked, page = ask_in_bulk(
        staff, "change_plan", mailbox, other, plan=Plan.objects.get(slug="pop").pk
    )

    assert (asked.done_count, asked.failed_count) == (1, 1)
    assert "Remove 1 B first (exactly 1 B)." in text_of(page)
    assert PlanChange.objects.get().mailbox == mailbox


# The command ----------------------------------------------------------------------------


def run(capsys, *arguments):
    call_command("change_plan", *arguments)
    return capsys.readouterr().out


def test_command_says_what_it_would_do_and_does_it(capsys, mailbox):
    dry = run(capsys, mailbox.address, "pop", "--dry-run")
    assert "Limit: 10 GB -> 1 GB" in dry
    assert "Removed mail comes back for: 30 days -> 14 days (the old holds until" in dry
    assert "2.50 EUR -> 1.00 EUR" in dry
    assert not PlanChange.objects.exists()

    done = run(capsys, mailbox.address, "pop", "--gather")

    assert done.endswith("hello@alder.test went from IMAP to POP.\n")
    assert mailbox.protocol_switches.get().gathers


def test_command_refuses_in_words(capsys, mailbox):
    Usage.objects.update(bytes=10**9 + 1)

    for arguments, said in (
        ((mailbox.address, "pop"), "Remove 1 B first"),
        ((mailbox.address, "imap"), "on the plan IMAP already"),
        ((mailbox.address, "gold"), "There is no plan gold."),
        (("nobody@alder.test", "pop"), "There is no mailbox"),
    ):
        with pytest.raises(CommandError, match=said):
            run(capsys, *arguments)
