"""Staff see who does not pay, and steer what comes next."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.access import system
from accounts.models import Membership, Setback
from hosting import dunning
from hosting.models import Dunning
from mailstore import standing
from mailstore.models import Restriction
from tests.factories import make_mailbox
from tests.hosting.dunning_rows import bill, noon, post, run_of
from tests.staffing import act, facts, in_role, said

pytestmark = [
    pytest.mark.django_db(databases=["default", "reports"]),
    # No day and no month ends between a test's look at the clock and the page's.
    pytest.mark.usefixtures("still_clock"),
]
DUNNING = "/staff/hosting/dunning/"
SETBACKS = "/staff/accounts/setback/"
RESTRICTIONS = "/staff/mailstore/restriction/"


@pytest.fixture
def run(cast):
    """Juniper has owed 12.00 EUR for 15 days, by the clock of this machine."""
    due = dunning.today(timezone.now()) - timedelta(days=15)
    bill(cast.other_customer, due=due)
    for day in range(16):
        dunning.sweep(at=noon(day, due))
        post(noon(day, due))
    return run_of(cast.other_customer)


def test_the_list_says_who_owes_how_much_and_what_comes(staff, run):
    text = staff.get(DUNNING).content.decode()

    day = run.next_on.strftime("%-d %B %Y")
    for part in ("Juniper", "12.00 EUR", "Sending limited", f"{day}: Read only"):
        assert part in text


def test_the_list_takes_the_same_queries_for_one_and_for_three(
    staff, run, cast, django_assert_max_num_queries
):
    def count():
        with django_assert_max_num_queries(60) as captured:
            staff.get(DUNNING)
        return len(captured)

    first = count()
    bill(cast.customer, due=run.due_on)
    bill(cast.reseller, due=run.due_on)
    dunning.sweep(at=timezone.now())

    assert Dunning.objects.count() == 3
    assert count() == first


@pytest.mark.parametrize("state", ["open", "paused", "ended", "nonsense"])
def test_the_list_can_be_narrowed(staff, run, state):
    dunning.pause(actor=system("tests"), run=run, reason="x", at=timezone.now())
    found = staff.get(DUNNING, {"state": state}).context["cl"].result_count

    assert found == {"open": 1, "paused": 1, "ended": 0, "nonsense": 1}[state]


def test_a_run_shows_its_bills_and_what_was_done(staff, run):
    text = staff.get(f"{DUNNING}{run.pk}/change/").content.decode()

    assert "Bills that are overdue" in text
    assert "T-000001" in text
    assert "Announced" in text or "Taken" in text


def test_it_says_when_nobody_can_be_told(staff, run):
    Membership.objects.filter(organisation=run.customer).delete()

    assert (
        "nobody has an address outside" in staff.get(f"{DUNNING}{run.pk}/change/").content.decode()
    )


def test_staff_pause_and_go_on_with_a_reason(staff, run):
    asked = act(staff, "pause", run, path=DUNNING).content.decode()
    paused = act(staff, "pause", run, path=DUNNING, reason="Disputed", confirmed="yes")
    run.refresh_from_db()
    note = run.paused_at, "Paused: Disputed" in staff.get(DUNNING).content.decode()
    act(staff, "resume", run, path=DUNNING, reason="Settled", confirmed="yes")
    run.refresh_from_db()

    assert "No further letter and no further step" in asked
    assert said(paused) == ["Customers whose reminders are paused now: 1."]
    assert note[0] is not None
    assert note[1]
    assert run.paused_at is None
    assert facts("dunning.paused") == [("Juniper", "sam@example.test")]


def test_staff_give_more_time(staff, run, cast):
    until = dunning.today(timezone.now()) + timedelta(days=10)
    given = {"reason": "Asked", "until": str(until), "confirmed": "yes"}
    answer = act(staff, "extend", run, path=DUNNING, **given)
    cast.other_customer.refresh_from_db()

    assert said(answer) == ["Customers who have more time: 1."]
    assert cast.other_customer.state == "active"
    assert "More time until" in staff.get(DUNNING).content.decode()


@pytest.mark.parametrize("action", ["pause", "resume", "extend"])
def test_what_cannot_be_done_is_said_in_the_form(staff, run, action):
    Dunning.objects.update(ended_at=timezone.now())
    until = str(dunning.today(timezone.now()) + timedelta(days=10))
    fields = {"reason": "x", "until": until, "confirmed": "yes"}

    text = act(staff, action, run, path=DUNNING, **fields).content.decode()

    assert "over" in text
    page = staff.get(f"{DUNNING}{run.pk}/change/")
    assert page.context["row_actions"] == []
    assert "Over" in staff.get(DUNNING).content.decode()


def test_staff_without_the_right_see_nothing(cast, run):
    assert in_role(cast.sam, "support").get(DUNNING).status_code == 403
    assert in_role(cast.sam, "staff_billing").get(f"{RESTRICTIONS}add/").status_code == 403


# Stopping an organisation -----------------------------------------------------------------


def stop(client, organisation, **fields):
    fields = {"organisation": organisation.pk, "reason": "Spam", **fields}
    return client.post(f"{RESTRICTIONS}add/", fields, follow=True)


@pytest.mark.parametrize(
    ("fields", "switches"),
    [
        ({"keeps_receiving": "on"}, ("shut", "open", "shut", "open", "open")),
        ({}, ("shut", "put_off", "shut", "open", "open")),
        ({"reaches_below": "on"}, ("shut", "put_off", "shut", "shut", "put_off")),
    ],
)
def test_staff_stop_an_organisation_with_or_without_its_mail(staff, cast, fields, switches):
    make_mailbox(cast.domain)
    answer = stop(staff, cast.reseller, **fields)
    names = ("sign_in", "receiving", "sending", "sign_in_below", "receiving_below")
    cast.reseller.refresh_from_db()

    assert tuple(getattr(cast.reseller, name) for name in names) == switches
    assert said(answer) == ["Rowan is stopped. Open sessions end within seconds."]
    assert cast.reseller.state == "suspended"


def test_the_page_that_asks_is_there(staff):
    text = staff.get(f"{RESTRICTIONS}add/").content.decode()

    assert "New mail goes on arriving" in text


@pytest.mark.parametrize("field", ["organisation", "reason"])
def test_nobody_is_stopped_without_a_name_or_a_reason(staff, cast, field):
    fields = {"organisation": cast.customer.pk, "reason": "Spam", field: ""}
    staff.post(f"{RESTRICTIONS}add/", fields)

    assert not Restriction.objects.exists()


def test_the_house_cannot_be_chosen(staff, cast):
    answer = stop(staff, cast.provider)

    assert answer.status_code == 200
    assert not Restriction.objects.exists()


def test_staff_let_it_go_on(staff, cast):
    stop(staff, cast.customer)
    row = Restriction.objects.get()
    page = staff.get(f"{RESTRICTIONS}{row.pk}/change/")
    act(staff, "lift", row, path=RESTRICTIONS, reason="Explained", confirmed="yes")
    row.refresh_from_db()
    cast.customer.refresh_from_db()

    assert [name for name, _label in page.context["row_actions"]] == ["lift"]
    assert (row.lift_reason, row.lifted_by) == ("Explained", "sam@example.test")
    assert cast.customer.state == "active"
    for state, found in (("yes", 0), ("no", 1), ("nonsense", 1)):
        assert staff.get(RESTRICTIONS, {"stands": state}).context["cl"].result_count == found


def test_what_a_debt_stops_is_not_lifted_past_the_debt(staff, run):
    row = Restriction.objects.get()

    text = act(staff, "lift", row, path=RESTRICTIONS, reason="x", confirmed="yes").content.decode()

    assert "Unpaid bills stop it" in text
    assert Restriction.objects.standing().exists()


def test_a_refusal_of_the_verb_is_shown_in_the_form(staff, cast, monkeypatch):
    def refuse(**_given):
        raise standing.Refused("Not now.")

    monkeypatch.setattr(standing, "impose", refuse)

    assert "Not now." in stop(staff, cast.customer).content.decode()


# The command ------------------------------------------------------------------------------


def test_the_command_says_what_would_be_done_and_then_does_it(cast, capsys):
    due = dunning.today(timezone.now())
    bill(cast.other_customer, due=due)
    call_command("sweep_dunning", "--dry-run")
    foreseen = capsys.readouterr().out
    untouched = Dunning.objects.exists()
    call_command("sweep_dunning")

    then = (due + timedelta(days=3)).strftime("%-d %B %Y")
    assert foreseen == (
        f"Juniper: owes 12.00 EUR; takes the step of day 0; then on {then}: Reminder\n"
        "Customers with something to do now: 1. Nothing was changed.\n"
    )
    assert not untouched
    assert capsys.readouterr().out == "Moves made: 1.\n"
    assert Client().get("/healthz").status_code in {200, 503}


def test_the_command_says_who_is_set_free(cast, run, capsys):
    run.customer.invoices.get().open_item.delete()
    call_command("sweep_dunning", "--dry-run")

    assert "Juniper: owes nothing; ends, and all that is stopped goes on" in capsys.readouterr().out


# Whom a sweep failed for ------------------------------------------------------------------


def test_staff_see_whom_it_failed_for_and_have_it_tried_at_once(staff, cast):
    bill(cast.customer, currency="XXX")
    dunning.sweep(at=timezone.now())
    listed = staff.get(SETBACKS).content.decode()

    page = act(staff, "try_now", Setback.objects.get(), path=SETBACKS)
    dunning.sweep(at=timezone.now())

    assert "Alder" in listed
    assert "KeyError: &#x27;XXX&#x27;" in listed
    assert said(page) == ["Tried again within a minute: 1."]
    assert Setback.objects.get().tries == 2
