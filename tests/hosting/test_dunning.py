from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.template.loader import render_to_string

from accounts import mailer
from accounts.access import MEMBER_ROLES, STAFF_ROLES, Forbidden, system
from accounts.models import Event, Membership, Notice, Organisation, Setback, User
from hosting import dunning, ledger, ordering
from hosting.dunning import sweeping
from hosting.models import Dunning, DunningStep, OpenItem
from mailstore import holding, standing
from mailstore.models import Hold, Mailbox, Restriction
from tests.factories import make_mailbox, make_member
from tests.hosting.billing_rows import make_profile
from tests.hosting.dunning_rows import DUE, bill, letters, live_through, noon, post, run_of
from tests.hosting.ledger_rows import paid

pytestmark = pytest.mark.django_db(databases="__all__")
ACTOR = system("tests")
SWITCHES = ("state", "sending", "sign_in", "receiving")
OPEN = ("active", "open", "open", "open")


@pytest.fixture
def debtor(cast):
    """A customer of the house."""
    return cast.other_customer


def stands(organisation):
    organisation.refresh_from_db()
    return tuple(getattr(organisation, name) for name in SWITCHES)


def pay(invoice, amount_minor=None):
    payment = paid(amount_minor or invoice.total_minor, customer=invoice.customer)
    ledger.match(actor=ACTOR, payment=payment, invoice=invoice, at=noon(0))


def contexts():
    return [letter.context for letter in letters()]


# The whole course -------------------------------------------------------------------------


def test_the_whole_course_day_by_day(debtor):
    bill(debtor)
    seen = {}
    for day in range(-2, 62):
        live_through(day, day)
        seen.setdefault(stands(debtor), day)

    assert seen == {
        OPEN: -2,
        ("past_due", "open", "open", "open"): 3,
        ("past_due", "limited", "open", "open"): 14,
        ("suspended", "limited", "read_only", "open"): 21,
        ("suspended", "shut", "read_only", "put_off"): 35,
        ("closed", "shut", "read_only", "put_off"): 60,
    }
    taken = DunningStep.objects.filter(kind="take").values_list("day", "at")
    assert list(taken) == [(day, noon(day)) for day in (0, 3, 7, 14, 21, 35, 46, 60)]
    assert len(letters()) == 8


def test_each_stop_is_announced_in_the_letter_before_with_its_day(debtor):
    bill(debtor)
    live_through(0, 61)

    told = {c["next_on_text"]: c["next_is_stop"] for c in contexts() if "next_on_text" in c}

    stops = {noon(day).strftime("%-d %B %Y"): day in {14, 21, 35, 60} for day in (3, 7, 14, 21)}
    later = {noon(day).strftime("%-d %B %Y"): day in {35, 60} for day in (35, 46, 60)}
    assert told == {**stops, **later}


@pytest.mark.parametrize(
    "due", [date(2028, 2, 20), date(2026, 12, 20), date(2027, 2, 20), date(2027, 3, 20)]
)
def test_days_are_counted_through_leap_days_and_ends_of_years(debtor, due):
    bill(debtor, due=due)
    live_through(0, 61, due)

    taken = DunningStep.objects.filter(kind="take").values_list("day", "at")
    assert list(taken) == [(day, noon(day, due)) for day in (0, 3, 7, 14, 21, 35, 46, 60)]


@pytest.mark.parametrize("hours", [-11, 0, 14])
def test_a_day_has_begun_in_every_zone_before_anything_happens_on_it(debtor, hours):
    bill(debtor)
    zone = datetime.now(UTC).astimezone().tzinfo if hours == 0 else None
    before = noon(0) - timedelta(seconds=1)

    assert dunning.sweep(at=before.astimezone(zone)) == 0
    assert dunning.sweep(at=noon(0).astimezone(zone)) == 1


def test_the_same_moment_again_does_nothing_more(debtor):
    bill(debtor)
    live_through(0, 21)
    count = Notice.objects.count(), DunningStep.objects.count(), Event.objects.count()

    assert [dunning.sweep(at=noon(21)) for _ in range(3)] == [0, 0, 0]
    assert (Notice.objects.count(), DunningStep.objects.count(), Event.objects.count()) == count


def test_a_worker_that_was_away_for_30_days_skips_no_step(debtor):
    bill(debtor)
    live_through(0, 10)
    live_through(40, 100)

    taken = DunningStep.objects.filter(kind="take").order_by("pk")
    days = [(step.day, (step.at.date() - DUE).days) for step in taken]
    assert days == [(0, 0), (3, 3), (7, 7), (14, 40), (21, 47), (35, 61), (46, 68), (60, 82)]


def test_after_a_pause_of_the_worker_letters_do_not_come_all_at_once(debtor):
    bill(debtor)
    live_through(30, 60)

    taken = DunningStep.objects.filter(kind="take").order_by("pk")
    days = [(step.day, (step.at.date() - DUE).days) for step in taken]
    assert days == [(0, 30), (3, 33), (7, 37), (14, 44), (21, 51)]


def test_nothing_is_stopped_while_the_announcement_could_not_be_sent(debtor):
    bill(debtor)
    live_through(0, 6)
    for day in range(7, 30):
        dunning.sweep(at=noon(day))
    unsent = stands(debtor)
    post(noon(30))
    live_through(31, 36)
    still = stands(debtor)
    live_through(37, 37)

    assert unsent == still == ("past_due", "open", "open", "open")
    assert stands(debtor)[1] == "limited"


# Who is told, and by whom -----------------------------------------------------------------


def test_owners_and_those_for_billing_are_told_and_nobody_else(cast, debtor):
    for role in MEMBER_ROLES:
        make_member(f"{role}@example.test", debtor, role)
    for role in STAFF_ROLES:
        make_member(f"{role}@example.test", cast.provider, role)
    gone = make_member("gone@example.test", debtor, Membership.Role.OWNER)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    bill(debtor)
    dunning.sweep(at=noon(0))

    assert [letter.to for letter in letters()] == [
        "billing@example.test",
        "charlie@example.test",
        "owner@example.test",
    ]


def test_letters_go_to_addresses_outside_where_there_is_one(cast, debtor):
    make_member(f"boss@{cast.other_domain.name}", debtor, Membership.Role.OWNER)
    bill(debtor)
    dunning.sweep(at=noon(0))

    assert [letter.to for letter in letters()] == ["charlie@example.test"]


def test_who_has_no_address_outside_gets_letters_and_is_never_stopped(cast, debtor):
    User.objects.filter(pk=cast.charlie.pk).update(email=f"boss@{cast.other_domain.name}")
    bill(debtor)
    live_through(0, 90)

    assert {letter.to for letter in letters()} == {f"boss@{cast.other_domain.name}"}
    assert stands(debtor) == ("past_due", "open", "open", "open")


def test_a_customer_without_people_is_never_stopped(cast, debtor):
    Membership.objects.filter(organisation=debtor).delete()
    bill(debtor)
    live_through(0, 90)

    assert stands(debtor) == ("past_due", "open", "open", "open")


def test_a_resellers_customer_is_reminded_only_if_it_wants_that_and_in_its_name(cast):
    invoice = bill(cast.customer, seller=cast.reseller)
    live_through(0, 30)
    quiet = letters(), stands(cast.customer)
    profile = make_profile(cast.reseller, duns_customers=True)
    live_through(31, 31)
    begun = contexts()[0]
    profile.duns_customers = False
    profile.save()
    live_through(32, 32)

    assert quiet == ([], OPEN)
    assert (begun["writer"], begun["bills"][0]["number"]) == ("Rowan", invoice.number)
    assert run_of(cast.customer).ended_at == noon(32)


def test_a_resellers_debt_reaches_its_customers_last_and_is_told_before(cast):
    bill(cast.reseller)
    make_mailbox(cast.domain)
    seen = {}
    for day in range(62):
        live_through(day, day)
        cast.reseller.refresh_from_db()
        reseller = cast.reseller
        below = (reseller.sending_below, reseller.sign_in_below, reseller.receiving_below)
        seen.setdefault(below, day)

    assert seen == {
        ("open", "open", "open"): 0,
        ("limited", "open", "open"): 21,
        ("limited", "read_only", "open"): 35,
        ("limited", "read_only", "put_off"): 60,
    }
    told = [(letter.to, letter.context.get("next_on_text")) for letter in letters("dunning_below")]
    assert told == [
        ("alice@example.test", noon(21).strftime("%-d %B %Y")),
        ("alice@example.test", noon(35).strftime("%-d %B %Y")),
        ("alice@example.test", None),
        ("alice@example.test", noon(60).strftime("%-d %B %Y")),
        ("alice@example.test", None),
    ]
    assert all("12.00" not in str(letter.context) for letter in letters("dunning_below"))
    assert stands(cast.customer) == OPEN
    assert standing.close_along(grace=timedelta(30), at=noon(61)) == 0


@pytest.mark.parametrize("name", ["dunning", "dunning_below"])
def test_every_letter_can_be_read(cast, name):
    bill(cast.reseller)
    live_through(0, 61)
    payment = paid(5000, customer=cast.reseller)
    ledger.settle(customer=cast.reseller, at=noon(61))
    live_through(62, 62)

    for letter in letters(name):
        subject, text, html = mailer.rendered(name, {**letter.context, "panel_url": "https://x"})
        assert subject
        assert "{" not in subject + text
        assert letter.context["organisation"] in text
        assert "None" not in text + html
    assert payment.pk


# The end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [0, 5, 14, 21, 35, 50, 61])
def test_payment_undoes_every_step_at_once(cast, debtor, day):
    invoice = bill(debtor)
    live_through(0, day)
    stopped = stands(debtor)[1:] != OPEN[1:]
    before = len(letters())
    pay(invoice)
    dunning.work_off(debtor, at=noon(day) + timedelta(seconds=1))

    assert stands(debtor) == OPEN
    assert run_of(debtor).ended_at is not None
    assert len(letters()) == before + stopped
    assert not dunning.sweep(at=noon(day + 30))


def test_a_write_off_ends_it_as_well(debtor):
    invoice = bill(debtor)
    live_through(0, 36)
    ledger.write_off(actor=ACTOR, invoice=invoice, reason="Goodwill", at=noon(36))
    live_through(37, 37)

    assert stands(debtor) == OPEN


def test_money_that_no_bill_has_taken_yet_counts(debtor):
    bill(debtor)
    live_through(0, 22)
    paid(1200, customer=debtor)
    live_through(23, 23)

    assert stands(debtor) == OPEN


def test_credit_takes_the_oldest_bill_first(debtor):
    bill(debtor)
    bill(debtor, due=DUE + timedelta(days=20))
    live_through(0, 22)
    paid(1200, customer=debtor)
    live_through(23, 23)

    assert stands(debtor) == ("past_due", "open", "open", "open")
    assert run_of(debtor).due_on == DUE + timedelta(days=20)


def test_paying_the_oldest_bill_steps_back_to_what_the_next_one_has_come_to(debtor):
    oldest = bill(debtor)
    bill(debtor, due=DUE + timedelta(days=30))
    live_through(0, 36)
    pay(oldest)
    live_through(37, 37)
    back = stands(debtor), run_of(debtor).day
    live_through(38, 44)

    assert back == (("past_due", "open", "open", "open"), 7)
    assert stands(debtor) == ("past_due", "limited", "open", "open")
    assert DunningStep.objects.filter(kind="back").count() == 1


def test_a_new_debt_after_the_end_is_a_new_run(debtor):
    pay(first := bill(debtor))
    assert not dunning.sweep(at=noon(0))
    bill(debtor, due=DUE + timedelta(days=40))
    live_through(40, 44)

    assert first.open_item
    assert Dunning.objects.filter(customer=debtor).count() == 1
    assert run_of(debtor).day == 3


@pytest.mark.parametrize(("amount", "reaches"), [(499, "open"), (500, "limited")])
def test_a_small_amount_is_asked_for_and_stops_nothing(debtor, amount, reaches):
    bill(debtor, amount)
    live_through(0, 20)

    assert stands(debtor)[1] == reaches
    assert [c["total_text"] for c in contexts()][:3] == [f"{amount / 100:.2f} EUR"] * 3


def test_what_grows_beyond_small_is_announced_before_anything_stops(debtor):
    bill(debtor, 300)
    live_through(0, 50)
    bill(debtor, 300, due=DUE + timedelta(days=51))
    live_through(51, 57)
    announced = stands(debtor)[1], run_of(debtor).next_on
    live_through(58, 58)

    assert announced == ("open", DUE + timedelta(days=58))
    assert stands(debtor)[1] == "limited"


def test_what_is_left_small_after_a_payment_gives_everything_back(debtor):
    invoice = bill(debtor)
    live_through(0, 36)
    pay(invoice, 800)
    live_through(37, 50)

    assert stands(debtor) == ("past_due", "open", "open", "open")
    assert run_of(debtor).day == 7


# Closing ----------------------------------------------------------------------------------


def test_mailboxes_close_on_day_60_and_come_back_by_paying(cast, debtor):
    mailbox = make_mailbox(cast.other_domain)
    invoice = bill(debtor)
    live_through(0, 60)
    standing.close_along(grace=settings.CLOSING_GRACE, at=noon(60))
    mailbox.refresh_from_db()
    closed = mailbox.state, mailbox.erase_after
    pay(invoice)
    dunning.work_off(debtor, at=noon(70))
    standing.bring_back(reopen=ordering.reopen, at=noon(70))
    mailbox.refresh_from_db()

    assert closed == (Mailbox.State.CLOSING, noon(60) + settings.CLOSING_GRACE)
    assert mailbox.state == Mailbox.State.PENDING


def test_a_hold_stops_the_closing(cast, debtor):
    mailbox = make_mailbox(cast.other_domain)
    holding.place(
        actor=ACTOR, by=cast.sam, scope=debtor, matter="Case 7", reason="Court", at=noon(0)
    )
    bill(debtor)
    live_through(0, 61)

    assert standing.close_along(grace=settings.CLOSING_GRACE, at=noon(61)) == 0
    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.ACTIVE
    assert Hold.objects.standing().exists()


# Staff ------------------------------------------------------------------------------------


def test_a_pause_keeps_what_is_and_stops_what_comes(debtor):
    bill(debtor)
    live_through(0, 22)
    dunning.pause(actor=ACTOR, run=run_of(debtor), reason="Disputed", at=noon(22))
    live_through(23, 60)
    paused = stands(debtor)
    dunning.resume(actor=ACTOR, run=run_of(debtor), reason="Settled", at=noon(60))
    live_through(60, 73)
    announced = stands(debtor), run_of(debtor).next_on
    live_through(74, 74)

    assert paused == announced[0] == ("suspended", "limited", "read_only", "open")
    assert announced[1] == DUE + timedelta(days=74)
    assert stands(debtor)[3] == "put_off"


def test_a_paused_run_still_ends_by_payment(debtor):
    invoice = bill(debtor)
    live_through(0, 22)
    dunning.pause(actor=ACTOR, run=run_of(debtor), reason="Disputed", at=noon(22))
    pay(invoice)
    live_through(23, 23)

    assert stands(debtor) == OPEN


def test_more_time_gives_everything_back_until_then(debtor):
    bill(debtor)
    live_through(0, 36)
    until = DUE + timedelta(days=50)
    dunning.extend(actor=ACTOR, run=run_of(debtor), until=until, reason="Asked", at=noon(36))
    back = stands(debtor)
    live_through(37, 63)
    later = stands(debtor)
    live_through(64, 64)

    assert back == OPEN
    assert later == ("past_due", "open", "open", "open")
    assert stands(debtor)[1] == "limited"


@pytest.mark.parametrize("verb", [dunning.pause, dunning.resume])
@pytest.mark.parametrize("reason", ["", " "])
def test_a_reason_is_needed(debtor, verb, reason):
    bill(debtor)
    live_through(0, 0)

    with pytest.raises(dunning.NotPossible, match="Say why"):
        verb(actor=ACTOR, run=run_of(debtor), reason=reason, at=noon(1))


def test_only_what_makes_sense_can_be_done(cast, debtor):
    invoice = bill(debtor)
    live_through(0, 0)
    run, soon = run_of(debtor), DUE + timedelta(days=9)
    with pytest.raises(dunning.NotPossible):
        dunning.resume(actor=ACTOR, run=run, reason="x", at=noon(1))
    dunning.pause(actor=ACTOR, run=run, reason="x", at=noon(1))
    with pytest.raises(dunning.NotPossible):
        dunning.pause(actor=ACTOR, run=run, reason="x", at=noon(1))
    with pytest.raises(dunning.NotPossible, match="future"):
        dunning.extend(actor=ACTOR, run=run, until=DUE, reason="x", at=noon(1))
    for verb in (dunning.pause, dunning.resume):
        with pytest.raises(Forbidden):
            verb(actor=cast.actor(cast.charlie), run=run, reason="x", at=noon(1))
    pay(invoice)
    live_through(1, 1)
    with pytest.raises(dunning.NotPossible, match="over"):
        dunning.extend(actor=ACTOR, run=run, until=soon, reason="x", at=noon(1))


# Foreseeing -------------------------------------------------------------------------------


def test_foreseeing_changes_nothing_and_comes_true(cast, debtor):
    bill(debtor)
    first = list(dunning.foresee(at=noon(0)))
    assert not Dunning.objects.exists()
    live_through(0, 6)
    [seventh] = dunning.foresee(at=noon(7))
    live_through(7, 7)

    assert [(f.run.customer, f.decision.move, f.decision.day) for f in first] == [
        (debtor, dunning.Move.TAKE, 0)
    ]
    assert seventh.decision.day == run_of(debtor).day == 7
    assert seventh.decision.next_on == run_of(debtor).next_on


def test_two_who_read_the_same_row_move_it_once(debtor):
    bill(debtor)
    dunning.sweep(at=noon(0))
    stale = run_of(debtor)
    dunning.sweep(at=noon(3))
    decision = dunning.Decision(move=dunning.Move.TAKE, day=3, next_step=None, next_on=None)

    assert not sweeping._write_down(stale, decision, debt=None, at=noon(3))
    assert run_of(debtor).version == stale.version + 1


def test_the_house_and_those_who_owe_nothing_are_left_alone(cast):
    bill(cast.other_customer, due=DUE + timedelta(days=3))

    assert dunning.sweep(at=noon(0)) == 0
    assert not Restriction.objects.exists()
    assert Organisation.objects.exclude(state="active").count() == 0


@pytest.mark.parametrize("ending", ["txt", "html"])
def test_a_letter_names_each_bill_and_leads_to_where_it_is_paid(debtor, ending):
    invoice = bill(debtor)
    live_through(0, 30)

    context = {**contexts()[0], "panel_url": "https://panel.test"}
    text = render_to_string(f"emails/dunning/body.{ending}", context)

    assert text.count("due on") == 1
    assert f"{invoice.number}: " in text
    assert "https://panel.test/billing/invoices/" in text


# One that fails ---------------------------------------------------------------------------


@pytest.fixture
def unknown_currency(cast):
    """A bill that cannot be reminded of: nobody knows how much of that is little."""

    def add():
        return bill(cast.customer, currency="XXX")

    return add


def failures():
    return list(Setback.objects.values_list("work", "organisation__name", "failure"))


def test_who_cannot_be_begun_with_holds_up_no_other(cast, debtor, unknown_currency):
    unknown_currency()
    bill(debtor)

    assert dunning.sweep(at=noon(0)) == 1

    assert [run.customer for run in Dunning.objects.all()] == [debtor]
    assert failures() == [("dunning", "Alder", "KeyError: 'XXX'")]


def test_whose_run_cannot_be_judged_holds_up_no_other(cast, debtor, unknown_currency, caplog):
    bill(cast.customer)
    bill(debtor)
    live_through(0, 2)
    unknown_currency()
    before = run_of(cast.customer).version

    assert dunning.sweep(at=noon(3)) == 1

    assert (run_of(debtor).day, run_of(cast.customer).version) == (3, before)
    assert failures() == [("dunning", "Alder", "KeyError: 'XXX'")]
    assert "One of 2 runs cannot be judged" in caplog.text


def test_who_failed_is_left_out_until_its_next_try(cast, debtor, unknown_currency, caplog):
    bill(debtor)
    unknown_currency()
    dunning.sweep(at=noon(0))
    caplog.clear()

    dunning.sweep(at=noon(0) + timedelta(seconds=59))
    early = caplog.text
    dunning.sweep(at=noon(0) + timedelta(minutes=1))

    assert early == ""
    assert Setback.objects.get().tries == 2


def test_a_setback_ends_with_its_cause(cast, unknown_currency):
    invoice = unknown_currency()
    dunning.sweep(at=noon(0))
    OpenItem.objects.filter(invoice=invoice).update(open_minor=0)
    dunning.sweep(at=noon(0) + timedelta(minutes=1))

    assert failures() == []
