from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from accounts.access import Forbidden, system
from accounts.models import SWITCHES, Event, Organisation, Setback
from hosting import ordering
from mailstore import holding, provisioning, standing
from mailstore.models import AppPassword, ClosedAlong, Hold, Mailbox, Restriction
from tests.factories import AT, make_mailbox
from tests.plans import rows_read

pytestmark = pytest.mark.django_db(databases="__all__")
ACTOR = system("tests")
GRACE = timedelta(days=30)
LATER = AT + timedelta(hours=1)
State, Cause = Organisation.State, Restriction.Cause


def stop(organisation, cause="debt", state="suspended", actor=ACTOR, reason="Not paid", **stops):
    return standing.impose(
        actor=actor,
        organisation=organisation,
        cause=Cause(cause),
        state=Restriction.State(state),
        stops=stops,
        reason=reason,
        at=AT,
    )


def free(organisation, cause="debt", actor=ACTOR, reason="Paid", at=LATER):
    standing.lift(actor=actor, organisation=organisation, cause=Cause(cause), reason=reason, at=at)


def switches(organisation):
    organisation.refresh_from_db()
    return {name: getattr(organisation, name) for name in SWITCHES if "below" not in name}


def close_along(at=AT, limit=200):
    return standing.close_along(grace=GRACE, at=at, limit=limit)


def bring_back(limit=200, at=LATER):
    return standing.bring_back(reopen=ordering.reopen, at=at, limit=limit)


def row(view, address, proto=None):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {view} WHERE username = %s", [address])  # noqa: S608
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    [found] = [each for each in rows if proto in {None, each.get("proto")}]
    return found


@pytest.fixture
def mailbox(cast):
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.update(password_hash="{PLAIN}secret")
    AppPassword.objects.create(mailbox=mailbox, label="Phone", digest="d" * 64)
    return mailbox


def test_a_restriction_holds_by_the_organisations_own_row(cast):
    stop(cast.customer, sign_in="read_only", sending="limited")

    assert switches(cast.customer) == {
        "sign_in": "read_only",
        "receiving": "open",
        "sending": "limited",
    }
    assert (cast.customer.state, cast.customer.state_since) == (State.SUSPENDED, AT)
    [event] = Event.objects.filter(kind="organisation.standing_changed")
    assert event.data == {
        "was": "active",
        "state": "suspended",
        "sign_in": {"old": "open", "new": "read_only"},
        "sending": {"old": "open", "new": "limited"},
    }


def test_imposed_twice_it_changes_nothing_more(cast):
    first = stop(cast.customer, sign_in="read_only")
    second = stop(cast.customer, sign_in="read_only")

    assert first.pk == second.pk
    assert Event.objects.filter(kind="organisation.standing_changed").count() == 1


def test_the_strictest_of_each_switch_holds_while_several_stand(cast):
    stop(cast.customer, "debt", "past_due", sign_in="read_only", receiving="put_off")
    stop(cast.customer, "abuse", "suspended", sign_in="shut")
    both = switches(cast.customer), cast.customer.state
    free(cast.customer, "abuse")
    debt = switches(cast.customer), cast.customer.state
    free(cast.customer)

    assert both == ({"sign_in": "shut", "receiving": "put_off", "sending": "open"}, "suspended")
    assert debt == ({"sign_in": "read_only", "receiving": "put_off", "sending": "open"}, "past_due")
    assert set(switches(cast.customer).values()) == {"open"}
    assert (cast.customer.state, cast.customer.state_since) == (State.ACTIVE, LATER)


def test_a_milder_step_takes_the_place_of_a_harder_one(cast):
    stop(cast.customer, sign_in="shut", receiving="put_off")
    stop(cast.customer, sign_in="read_only")

    assert switches(cast.customer)["receiving"] == "open"
    assert switches(cast.customer)["sign_in"] == "read_only"


def test_sessions_are_ended_where_signing_in_changes_and_nowhere_else(cast, mailbox):
    other = make_mailbox(cast.other_domain)
    stop(cast.customer, sending="limited")
    mailbox.refresh_from_db()
    untouched = mailbox.sessions_end_asked_at
    stop(cast.customer, sign_in="read_only")
    mailbox.refresh_from_db()
    other.refresh_from_db()

    assert untouched is None
    assert mailbox.sessions_end_asked_at == AT
    assert other.sessions_end_asked_at is None


def test_sessions_of_a_resellers_customers_end_when_it_is_passed_on(cast, mailbox):
    stop(cast.reseller, sign_in="shut")
    mailbox.refresh_from_db()
    own_only = mailbox.sessions_end_asked_at
    stop(cast.reseller, sign_in="shut", sign_in_below="read_only")
    mailbox.refresh_from_db()

    assert (own_only, mailbox.sessions_end_asked_at) == (None, AT)


@pytest.mark.parametrize("person", ["alice", "rita", "charlie"])
def test_only_staff_restrict_and_free(cast, person):
    actor = cast.actor(getattr(cast, person))
    stop(cast.customer)

    with pytest.raises(Forbidden):
        stop(cast.customer, actor=actor)
    with pytest.raises(Forbidden):
        free(cast.customer, actor=actor)


def test_owners_take_their_own_wish_back(cast):
    stop(cast.customer, "wish", "closed")
    with pytest.raises(Forbidden):
        free(cast.customer, "wish", actor=cast.actor(cast.bob))
    free(cast.customer, "wish", actor=cast.actor(cast.alice))

    cast.customer.refresh_from_db()
    assert cast.customer.state == State.ACTIVE


def test_the_house_itself_is_never_stopped(cast):
    with pytest.raises(standing.Refused):
        stop(cast.provider)
    with pytest.raises(IntegrityError):
        Organisation.objects.filter(pk=cast.provider.pk).update(state=State.CLOSED)


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_needed_both_ways(cast, reason):
    with pytest.raises(standing.Refused):
        stop(cast.customer, reason=reason)
    stop(cast.customer)
    with pytest.raises(standing.Refused):
        free(cast.customer, reason=reason)


def test_what_does_not_stand_cannot_be_lifted(cast):
    stop(cast.customer, "abuse")

    with pytest.raises(standing.Refused):
        free(cast.customer, "debt")


# What the mail server reads ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("whose", "stops", "sentence"),  # None stands for yes
    [
        ("customer", {}, None),
        ("customer", {"sign_in": "read_only"}, None),
        ("customer", {"sending": "shut", "receiving": "put_off"}, None),
        ("customer", {"sign_in": "shut"}, "Signing in is stopped for your organisation."),
        ("reseller", {"sign_in": "shut"}, None),
        ("reseller", {"sign_in_below": "shut"}, "Ask the company you have this mailbox from."),
        ("other_customer", {"sign_in": "shut"}, None),
    ],
)
def test_who_signs_in(cast, mailbox, whose, stops, sentence):
    stop(getattr(cast, whose), **stops)

    for view in ("dovecot_passdb", "dovecot_app_password"):
        answer = row(view, mailbox.address, "imap")
        assert answer["nologin"] == ("y" if sentence else None)
        assert (sentence or "") in (answer["reason"] or "")


@pytest.mark.parametrize(
    ("whose", "stops", "may"),
    [
        ("customer", {}, (False, "all", "open")),
        ("customer", {"sign_in": "read_only"}, (False, "read-only", "open")),
        ("customer", {"receiving": "put_off", "sending": "limited"}, (True, "all", "limited")),
        ("customer", {"sending": "shut"}, (False, "all", "shut")),
        ("reseller", {"sign_in": "read_only", "receiving": "put_off"}, (False, "all", "open")),
        ("reseller", {"sign_in_below": "read_only"}, (False, "read-only", "open")),
        ("reseller", {"receiving_below": "put_off"}, (True, "all", "open")),
        ("reseller", {"sending_below": "limited"}, (False, "all", "limited")),
    ],
)
def test_what_a_mailbox_may(cast, mailbox, whose, stops, may):
    stop(getattr(cast, whose), **stops)

    answer = row("dovecot_userdb", mailbox.address)

    assert answer["receives"] == "y"
    assert (answer["put_off"] is not None, answer["rights"], answer["sends"]) == may


@pytest.mark.parametrize(
    ("stops", "is_refused"),
    [({}, False), ({"sending": "limited"}, False), ({"sending": "shut"}, True)],
)
def test_who_may_send(cast, mailbox, stops, is_refused):
    stop(cast.customer, **stops)

    assert (row("dovecot_passdb", mailbox.address, "submission")["nologin"] == "y") == is_refused


@pytest.fixture
def crowd(mailbox):
    """Neighbours: some are in use, and some are closed with nothing left of their homes."""
    terms = {name: getattr(mailbox, name) for name in ("domain", "organisation", "protocol")}
    terms |= {"quota_bytes": 1, "window_days": 30, "password_hash": "{PLAIN}secret"}
    ends = [{"state": "active"}, {"state": "closed", "erased_at": AT}]
    crowd = Mailbox.objects.bulk_create(
        Mailbox(address=f"neighbour{number}@alder.test", **terms, **end)
        for number in range(40)
        for end in ends
    )
    AppPassword.objects.bulk_create(
        AppPassword(mailbox=each, label="Phone", digest=f"{each.pk:064}") for each in crowd
    )


@pytest.mark.parametrize(
    ("view", "condition"),
    [
        ("dovecot_userdb", "username = 'hello@alder.test' AND receives = 'y'"),
        ("dovecot_passdb", "username = 'hello@alder.test' AND proto = 'imap'"),
        ("dovecot_app_password", f"username = 'hello@alder.test' AND digest = '{'d' * 64}'"),
    ],
)
def test_a_sign_in_looks_at_one_mailbox_and_not_at_all(crowd, view, condition):
    query = f"SELECT * FROM {view} WHERE {condition}"  # noqa: S608

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
            plan = [line for *_numbers, line in cursor.fetchall()]
        assert [line for line in plan if line == "SCAN m"] == []
    else:
        # Else it reads so small a table from end to end, whatever the index could do.
        # A few more may lie under the same entry of an index; there are eighty neighbours.
        assert 1 <= rows_read(query, tables="mailstore_", without=["seqscan"]) <= 10


# Closing and coming back ------------------------------------------------------------------


def state_of(mailbox):
    mailbox.refresh_from_db()
    return mailbox.state


def test_mailboxes_close_along_and_come_back_as_they_were(cast, mailbox):
    suspended = make_mailbox(cast.domain, "resting")
    provisioning.suspend(actor=ACTOR, mailbox=suspended, at=AT)
    given_up = make_mailbox(cast.domain, "given-up")
    provisioning.close(actor=ACTOR, mailbox=given_up, grace=GRACE, at=AT)
    stop(cast.customer, state="closed", sign_in="shut")

    assert close_along() == 2
    assert close_along() == 0
    assert {state_of(m) for m in (mailbox, suspended, given_up)} == {Mailbox.State.CLOSING}
    assert mailbox.erase_after == AT + GRACE
    assert bring_back() == 0
    free(cast.customer)
    assert bring_back() == 2
    assert bring_back() == 0
    assert state_of(mailbox) == Mailbox.State.PENDING
    assert state_of(suspended) == Mailbox.State.SUSPENDED
    assert state_of(given_up) == Mailbox.State.CLOSING


def test_they_stay_closed_while_another_cause_closes_them(cast, mailbox):
    stop(cast.customer, "debt", "closed")
    stop(cast.customer, "wish", "closed")
    close_along()
    free(cast.customer, "debt")
    assert bring_back() == 0
    free(cast.customer, "wish")

    assert bring_back() == 1
    assert not ClosedAlong.objects.exists()


def test_what_a_hold_reaches_stays_open_until_it_is_released(cast, mailbox):
    hold = holding.place(
        actor=ACTOR, by=cast.sam, scope=cast.domain, matter="Case 7", reason="Court", at=AT
    )
    stop(cast.customer, state="closed", sign_in="read_only", receiving="put_off")

    assert close_along() == 0
    assert state_of(mailbox) == Mailbox.State.ACTIVE
    Hold.objects.filter(pk=hold.pk).update(released_by=cast.alice, released_at=AT)
    assert close_along(at=LATER) == 1
    assert state_of(mailbox) == Mailbox.State.CLOSING
    assert mailbox.erase_after == LATER + GRACE


def test_what_was_erased_does_not_come_back(cast, mailbox):
    stop(cast.customer, state="closed")
    close_along()
    Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.CLOSED)
    free(cast.customer)

    assert bring_back() == 0
    assert not ClosedAlong.objects.exists()


def test_work_is_done_in_pieces(cast):
    for name in ("a", "b", "c"):
        make_mailbox(cast.domain, name)
    stop(cast.customer, state="closed")

    assert [close_along(limit=2) for _ in range(3)] == [2, 1, 0]
    free(cast.customer)
    assert [bring_back(limit=2) for _ in range(3)] == [2, 1, 0]


def test_one_mailbox_of_a_closed_organisation_cannot_be_reopened(cast, mailbox):
    stop(cast.customer, state="closed")
    close_along()
    mailbox = Mailbox.objects.select_related("organisation").get(pk=mailbox.pk)

    with pytest.raises(provisioning.WrongState, match="Alder is closed"):
        ordering.reopen(actor=cast.actor(cast.alice), mailbox=mailbox, at=LATER)


def test_a_mailbox_that_moved_meanwhile_is_left_alone(cast, mailbox):
    stop(cast.customer, state="closed")
    provisioning.close(actor=ACTOR, mailbox=mailbox, grace=GRACE, at=AT)

    assert not standing._close(mailbox, grace=GRACE, at=AT, now=AT)


def test_a_restriction_that_was_lifted_meanwhile_closes_nothing(cast, mailbox):
    stop(cast.customer, state="closed")
    free(cast.customer)

    assert not standing._close(mailbox, grace=GRACE, at=AT, now=AT)
    assert state_of(mailbox) == Mailbox.State.ACTIVE


@pytest.mark.parametrize("whose", ["customer", "reseller"])
@pytest.mark.parametrize(("state", "is_refused"), [("past_due", False), ("suspended", True)])
def test_no_mailbox_is_added_below_who_is_stopped(cast, whose, state, is_refused):
    stop(getattr(cast, whose), state=state)
    cast.domain.refresh_from_db()

    def add():
        make_mailbox(type(cast.domain).objects.get(pk=cast.domain.pk))

    if is_refused:
        with pytest.raises(provisioning.OrganisationStopped, match="is suspended"):
            add()
    else:
        add()


# One that fails --------------------------------------------------------------------------


BREAK = {
    "sqlite": """
        CREATE TRIGGER broken BEFORE UPDATE OF state ON mailstore_mailbox WHEN old.id = {pk}
        BEGIN SELECT RAISE(ABORT, 'broken'); END
    """,
    "postgresql": """
        CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'broken'; END $$;
        CREATE TRIGGER broken BEFORE UPDATE OF state ON mailstore_mailbox
            FOR EACH ROW WHEN (old.id = {pk}) EXECUTE FUNCTION broken()
    """,
}


def break_state_of(mailbox):
    """The database refuses to change it, as a rule might of which nobody thought."""
    with connection.cursor() as cursor:
        cursor.execute(BREAK[connection.vendor].format(pk=mailbox.pk))


def mend():
    table = "" if connection.vendor == "sqlite" else "ON mailstore_mailbox"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER broken {table}")


def test_a_mailbox_that_cannot_be_closed_holds_up_no_other(cast, mailbox):
    other = make_mailbox(cast.other_domain)
    break_state_of(mailbox)
    stop(cast.customer, state="closed")
    stop(cast.other_customer, state="closed")

    assert [close_along(limit=1) for _ in range(2)] == [0, 1]

    assert (state_of(mailbox), state_of(other)) == ("active", "closing")
    setback = Setback.objects.get()
    assert (setback.work, setback.organisation) == ("closing along", cast.customer)
    assert (setback.name, "broken" in setback.failure) == ("hello@alder.test", True)
    mend()
    assert close_along() == 0
    assert close_along(at=AT + timedelta(minutes=1)) == 1
    assert not Setback.objects.exists()


def test_a_mailbox_that_cannot_come_back_holds_up_no_other(cast, mailbox):
    other = make_mailbox(cast.domain, "other")
    stop(cast.customer, state="closed")
    close_along()
    free(cast.customer)
    break_state_of(mailbox)

    assert [bring_back(limit=1) for _ in range(2)] == [0, 1]

    assert (state_of(mailbox), state_of(other)) == ("closing", "pending")
    assert Setback.objects.get().work == "bringing back"
    mend()
    assert bring_back() == 0
    assert bring_back(at=LATER + timedelta(minutes=1)) == 1
    assert not Setback.objects.exists()
