"""The change feed and the documents in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from accounts import numbering, outbox
from accounts.access import system
from accounts.models import Event, Organisation
from hosting import feed, invoicing, public_ids
from hosting.dunning import debts
from hosting.feed import TYPES
from hosting.feed.catalogue import type_of
from hosting.importing import runs
from mailstore import credentials, holding, provisioning, purging, quotas, standing
from mailstore.engine import EngineUnavailable
from mailstore.models import Restriction
from tests.factories import AT, make_mailbox
from tests.hosting.billing_rows import ACTOR
from tests.hosting.ledger_rows import make_bill

pytestmark = pytest.mark.django_db(databases="__all__")

STAFF = system("tests")
# What was recorded of these before the outside was told of them is not enough.
WHOLE_ONLY = {"invoice.voided", "recovery.restored"}


def told(cast, *, kind=None, actor=None, **narrowed):
    page = feed.read(actor=actor or cast.actor(cast.rita), **narrowed)
    return [each for each in page.documents if kind is None or each["type"] == kind]


def test_document_says_ids_and_states_and_nothing_about_people(cast):
    mailbox = make_mailbox(cast.domain, "alice.private")

    [created] = told(cast, kind="mailbox.created")

    event = Event.objects.get(kind="mailbox.created")
    assert created == {
        "id": feed.names().encode(event.seq),
        "type": "mailbox.created",
        "seq": event.position,
        "created_at": "2026-11-02T09:30:00Z",
        "organisation_id": public_ids.encode("org", cast.customer.uuid),
        "is_test": False,
        "data": {
            "object": "mailbox",
            "id": public_ids.encode("mbx", mailbox.uuid),
            "protocol": "imap",
            "quota_bytes": mailbox.quota_bytes,
        },
    }


def test_nothing_personal_is_in_any_document(cast, twin):
    """Everything that can be done with a mailbox, with names planted that must not come out."""
    mailbox = make_mailbox(cast.domain, "secret-name")
    twin.know(mailbox.address)
    actor = cast.actor(cast.alice)
    issued = credentials.issue(actor=actor, mailbox=mailbox, label="secret-label", at=AT)
    credentials.revoke(actor=actor, app_password=issued.app_password, at=AT)
    credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="secret-word", at=AT)
    provisioning.describe(actor=actor, mailbox=mailbox, label="secret-label", at=AT)
    quotas.change_limit(actor=actor, mailbox=mailbox, quota_bytes=10**9, at=AT)
    provisioning.suspend(actor=actor, mailbox=mailbox, at=AT)
    provisioning.resume(actor=actor, mailbox=mailbox, at=AT)
    holding.place(
        actor=STAFF, by=cast.sam, scope=mailbox, matter="secret-matter", reason="secret", at=AT
    )

    documents = told(cast)

    text = json.dumps(documents)
    assert {each["type"] for each in documents} >= {
        *("mailbox.created", "mailbox.updated", "mailbox.suspended", "mailbox.resumed"),
        *("app_password.created", "app_password.revoked", "hold.placed"),
    }
    for planted in ("secret", "alder", "example.test", "Alder", "Sam"):
        assert planted not in text


def test_change_of_a_mailbox_names_what_changed_and_tells_figures_only(cast):
    mailbox = make_mailbox(cast.domain)
    actor = cast.actor(cast.alice)
    provisioning.describe(actor=actor, mailbox=mailbox, label="Front desk", at=AT)
    quotas.change_limit(actor=actor, mailbox=mailbox, quota_bytes=10**9, at=AT)
    credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="", at=AT)

    changes = [each["data"] for each in told(cast, kind="mailbox.updated")]

    for change in changes:
        del change["object"], change["id"]
    assert changes == [
        {"changed": ["label"]},
        {"changed": ["quota_bytes"], "quota_bytes": 10**9},
        {"changed": ["password"]},
    ]


def test_hold_says_on_what_it_stands(cast):
    mailbox = make_mailbox(cast.domain)
    ids = {
        "organisation_on_hold_id": (cast.customer, "org"),
        "domain_id": (cast.domain, "dom"),
        "mailbox_id": (mailbox, "mbx"),
    }
    for scope, _prefix in ids.values():
        holding.place(actor=STAFF, by=cast.sam, scope=scope, matter="x", reason="y", at=AT)

    found = [each["data"] for each in told(cast, kind="hold.placed")]

    for data, (name, (scope, prefix)) in zip(found, ids.items(), strict=True):
        assert data[name] == public_ids.encode(prefix, scope.uuid)


@pytest.fixture
def run(cast, twin):
    """A purge of one old message, planned."""
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    junk = twin.accounts[mailbox.address].folders["Junk"]
    junk.append(b"Message-ID: <1@x.test>\r\n\r\nx\r\n", at=AT - timedelta(days=40))
    return purging.plan_retention(mailbox=mailbox, engine=twin, at=AT)


def purges(cast):
    return [each for each in told(cast) if each["type"].startswith("purge.")]


def test_purge_is_told_from_the_plan_to_the_end(cast, twin, run):
    purging.work_off(run=run, engine=twin, now=lambda: AT)

    planned, completed = purges(cast)

    ids = {
        "object": "purge_run",
        "id": public_ids.encode("prg", run.uuid),
        "mailbox_id": public_ids.encode("mbx", run.mailbox.uuid),
        "kind": "retention",
    }
    assert planned["type"] == "purge.planned"
    assert planned["data"] == ids | {"state": "planned", "message_count": 0, "size_bytes": 0}
    assert completed["type"] == "purge.completed"
    assert completed["data"].items() >= (ids | {"state": "done", "message_count": 1}).items()


def test_purge_that_is_held_back_is_told_of_once(cast, twin, run):
    holding.place(actor=STAFF, by=cast.sam, scope=run.mailbox, matter="secret", reason="y", at=AT)
    for minutes in range(3):
        purging.work_off(run=run, engine=twin, now=lambda m=minutes: AT + timedelta(minutes=m))

    assert [each["type"] for each in purges(cast)] == ["purge.planned", "purge.held_back"]


def test_purge_that_fails_is_told_of_once(cast, twin, run):
    twin.is_down = True
    for minutes in range(3):
        with pytest.raises(EngineUnavailable):
            purging.work_off(run=run, engine=twin, now=lambda m=minutes: AT + timedelta(minutes=m))

    assert [each["type"] for each in purges(cast)] == ["purge.planned", "purge.failed"]


def test_bill_is_overdue_once_and_voided_with_its_credit_note(cast):
    bill = make_bill(cast.customer, 1000)
    late = debts.begins_at(bill.open_item.due_on) + timedelta(days=1)
    on_the_day = late - timedelta(days=1)

    assert debts.tell_of_overdue(at=on_the_day) == 0
    assert debts.tell_of_overdue(at=late) == 1
    assert debts.tell_of_overdue(at=late) == 0
    note = invoicing.credit(actor=ACTOR, invoice=bill, reason="secret", at=late)

    [overdue] = told(cast, kind="invoice.overdue")
    [voided] = told(cast, kind="invoice.voided")
    assert overdue["data"]["id"] == public_ids.encode("inv", bill.uuid)
    assert voided["data"] == {
        "object": "invoice",
        "id": public_ids.encode("inv", bill.uuid),
        "state": "voided",
        "credit_note_id": public_ids.encode("crn", note.uuid),
    }


def test_organisation_is_told_of_by_its_state(cast):
    cause, states = Restriction.Cause.ABUSE, Restriction.State
    for state in (states.PAST_DUE, states.SUSPENDED, states.CLOSED):
        standing.impose(
            actor=STAFF,
            organisation=cast.customer,
            cause=cause,
            state=state,
            stops={},
            reason="secret",
            at=AT,
        )
    standing.lift(actor=STAFF, organisation=cast.customer, cause=cause, reason="x", at=AT)

    types = [each["type"] for each in told(cast) if each["type"].startswith("organisation.")]

    assert types == [
        "organisation.past_due",
        "organisation.suspended",
        "organisation.closed",
        "organisation.resumed",
    ]


def test_list_of_mailboxes_is_told_of_when_it_is_done(cast, staff):
    listed = runs.take_in(
        actor=cast.actor(cast.sam),
        by=cast.sam,
        file_name="x.csv",
        text="address,plan\nnew@alder.test,imap\n",
        at=AT,
    )
    runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=AT)
    runs.run(import_id=listed.pk, now=lambda: AT)

    [done] = told(cast, kind="import.completed", actor=cast.actor(cast.sam))

    assert done["data"] == {
        "object": "import",
        "id": public_ids.encode("imp", listed.uuid),
        "state": "finished",
        "row_count": 1,
        "done_count": 1,
        "problem_count": 0,
    }


def test_fact_from_before_the_feed_that_lacks_an_id_stays_inside(cast):
    outbox.record(
        kind="invoice.credited",
        at=AT,
        actor=STAFF,
        organisation=cast.customer,
        subject=("invoice", str(uuid4()), "R-1"),
        data={"corrects": "R-0"},
    )

    assert told(cast, kind="invoice.voided") == []


# Reading ----------------------------------------------------------------------------------


def test_feed_is_read_on_from_where_it_was_left(cast):
    for number in range(5):
        make_mailbox(cast.domain, f"box{number}")
    actor, seen, after = cast.actor(cast.rita), [], 0
    while True:
        page = feed.read(actor=actor, after_seq=after, limit=2)
        seen += page.documents
        after = page.last_seq
        if not page.has_more:
            break

    assert [each["seq"] for each in seen] == sorted({each["seq"] for each in seen})
    assert len([each for each in seen if each["type"] == "mailbox.created"]) == 5
    assert feed.read(actor=actor, after_seq=after).documents == []


def test_place_moves_on_where_there_is_nothing_for_the_reader(cast):
    make_mailbox(cast.other_domain)

    page = feed.read(actor=cast.actor(cast.rita))

    assert [each for each in page.documents if each["type"] == "mailbox.created"] == []
    assert page.last_seq == numbering.number_all()


def test_place_beyond_the_end_stays(cast):
    assert feed.read(actor=cast.actor(cast.rita), after_seq=10**9).last_seq == 10**9


def test_feed_is_narrowed_to_types(cast):
    make_mailbox(cast.domain)

    documents = told(cast, types={"mailbox.created"})

    assert [each["type"] for each in documents] == ["mailbox.created"]


def test_stranger_reads_nothing_of_it(cast):
    make_mailbox(cast.domain)

    assert told(cast, actor=cast.actor(cast.charlie)) == []


@pytest.mark.parametrize("mode", [True, False])
def test_key_reads_its_own_mode(mode, cast):
    trial = Organisation.objects.create(
        kind="customer", name="Trial", parent=cast.reseller, is_test=True
    )
    for organisation in (trial, cast.customer):
        outbox.record(
            kind="mailbox.suspended",
            at=AT,
            actor=STAFF,
            organisation=organisation,
            subject=("mailbox", str(uuid4()), "x"),
        )
    actor = replace(cast.actor(cast.rita), is_test=mode)

    found = told(cast, actor=actor, kind="mailbox.suspended")

    assert [each["is_test"] for each in found] == [mode]


def test_event_is_found_by_its_id_in_ones_own_tree_only(cast):
    make_mailbox(cast.domain)
    [created] = told(cast, kind="mailbox.created")

    assert feed.find(actor=cast.actor(cast.rita), public_id=created["id"]) == created
    for actor, public_id in (
        (cast.actor(cast.charlie), created["id"]),
        (cast.actor(cast.rita), public_ids.encode("evt", uuid4())),
        (cast.actor(cast.rita), feed.names().encode(10**9)),
        (cast.actor(cast.rita), "evt_1"),
    ):
        with pytest.raises(public_ids.NoSuchId):
            feed.find(actor=actor, public_id=public_id)


def test_ids_of_events_tell_no_numbers_and_lead_back(db):
    names = feed.names()

    ids = [names.encode(seq) for seq in (1, 2, 3, 2**62)]

    assert [names.decode(each) for each in ids] == [1, 2, 3, 2**62]
    assert all(re.fullmatch("evt_[0-9a-f]{32}", each) for each in ids)
    assert len({each[4:12] for each in ids}) == 4


def test_body_is_the_same_document_in_bytes(cast):
    make_mailbox(cast.domain)
    [created] = told(cast, kind="mailbox.created")

    assert json.loads(feed.body(created)) == created


@pytest.mark.parametrize("name", [each for each in TYPES if each not in WHOLE_ONLY])
def test_every_type_can_be_told_with_nothing_but_a_subject(name, cast):
    """Whatever a fact lacks is left out; nothing of the feed fails by it."""
    if type_of(name, {"moment": None, "percent": 100, "state": "active"}) != name:
        return
    outbox.record(
        kind=name,
        at=AT,
        actor=STAFF,
        organisation=cast.customer,
        subject=("x", str(uuid4()), "x"),
        data={"percent": 100},
    )

    assert [each["type"] for each in told(cast, kind=name)] == [name]
