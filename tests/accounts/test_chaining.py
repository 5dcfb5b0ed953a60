"""The chain of events, computed again here with nothing of the product but what is documented."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC

import pytest

from accounts import chaining, forgetting, numbering, outbox, verifying, visits
from accounts.access import Door, Origin
from accounts.models import BEGINNING, ChainHead, Event, OwnChain
from tests.factories import AT

PHONE = Origin(door=Door.PANEL, address="192.0.2.7", session="ab" * 8)


@pytest.fixture
def record(cast):
    """Records some facts; gives their keys."""

    def record(count=1, organisation=None, origin=PHONE, **data):
        actor = replace(cast.actor(cast.alice), origin=origin)
        facts = [
            outbox.record(
                kind="mailbox.suspended",
                at=AT,
                actor=actor,
                organisation=organisation or cast.customer,
                subject=("mailbox", "0" * 32, f"m{number}"),
                data=data,
            )
            for number in range(count)
        ]
        return [fact.seq for fact in facts]

    return record


def chained():
    numbering.number_all()
    return chaining.chain_all()


def sha256(*lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def text_of(event):
    """The text of an event as the documentation says it."""
    said = {
        "form": 1,
        "place": event.own_place,
        "id": str(event.seq),
        "type": event.kind,
        "at": event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "organisation": str(event.organisation.uuid),
        "actor": {
            "kind": event.actor_kind,
            "id": event.actor_id,
            "name": event.actor_name,
            "standing": event.standing,
            "role": event.role,
        },
        "visit": str(event.visit.uuid) if event.visit else None,
        "door": event.door,
        "origin": event.commitment,
        "subject": {
            "kind": event.subject_kind,
            "id": event.subject_id,
            "name": event.subject_name,
        },
        "data": event.data,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def test_links_are_what_an_outsider_computes(cast, record):
    record(2, label={"old": "ä\u202e", "new": [1, 2.5, None, True]})
    record(1, organisation=cast.other_customer, origin=Origin())
    visits.begin(actor=cast.actor(cast.rita), organisation=cast.customer, reason="x", at=AT)
    record(1)

    chained()

    link, own = BEGINNING, {}
    for event in Event.objects.order_by("position").select_related("organisation", "visit"):
        key = event.organisation_id
        place, before = own.get(key, (0, BEGINNING))
        assert event.own_place == place + 1
        own[key] = event.own_place, sha256(before, text_of(event))
        link = sha256(link, own[key][1])
        assert (event.own_link, event.link) == (own[key][1], link)
    head = ChainHead.objects.get()
    assert (head.position, head.link) == (Event.objects.count(), link)
    heads = OwnChain.objects.values_list("organisation_id", "place", "link")
    assert {key: (place, link) for key, place, link in heads} == own


def test_chaining_again_changes_nothing(record):
    record(3)
    chained()
    before = list(Event.objects.order_by("seq").values_list("link", flat=True))

    assert chained() == 0
    assert list(Event.objects.order_by("seq").values_list("link", flat=True)) == before


def test_many_are_chained_in_pieces_with_the_same_links(record, monkeypatch):
    record(7)
    monkeypatch.setattr(chaining, "BATCH", 3)

    chained()

    assert verifying.verify().faults == []
    assert Event.objects.filter(link="").count() == 0


def test_chaining_stops_where_it_is_told_to_and_goes_on(record, monkeypatch):
    record(7)
    monkeypatch.setattr(chaining, "BATCH", 3)
    numbering.number_all()
    turns = iter([True, False])

    assert chaining.chain_all(may_go_on=lambda: next(turns)) == 3
    chaining.chain_all()

    assert verifying.verify().faults == []


def test_a_fact_without_a_place_is_not_chained_yet(record):
    record(1)

    chaining.chain_all()

    assert Event.objects.exclude(link="").count() == 0


def test_old_events_get_the_mailbox_that_they_belong_to(record, cast):
    keys = record(1, mailbox="11" * 16)
    Event.objects.filter(pk__in=keys).update(belongs_to="")

    chained()

    assert Event.objects.get(pk=keys[0]).belongs_to == "0" * 32


def test_a_batch_costs_the_same_statements_however_large(record, django_assert_num_queries):
    record(40)
    numbering.number_all()
    chaining.chain(limit=10)

    # Head, whether there is more, savepoint, lock, facts, heads of organisations, links, heads,
    # head, end of the savepoint; SQLite writes a link a statement.
    with django_assert_num_queries(10, exact=False):
        chaining.chain(limit=30)


# From where -----------------------------------------------------------------------------


def test_address_and_session_are_in_the_chain_by_a_commitment(record):
    [key] = record(1)
    event = Event.objects.get(pk=key)

    assert (event.address, event.session, event.door) == ("192.0.2.7", "ab" * 8, "panel")
    assert event.commitment == outbox.commitment(bytes(event.salt), PHONE)
    assert "192.0.2.7" not in text_of(event)


def test_two_events_from_one_place_do_not_show_that_they_are(record):
    first, second = Event.objects.filter(pk__in=record(2))

    assert first.commitment != second.commitment


def test_forgotten_origins_leave_the_chain_whole(record):
    [key] = record(1)
    chained()
    before = Event.objects.get(pk=key)

    assert forgetting.forget_origins(before=AT) == 0
    assert forgetting.forget_origins(before=AT.replace(year=2028)) == 1

    event = Event.objects.get(pk=key)
    assert (event.address, event.session, event.salt) == ("", "", None)
    assert (event.commitment, event.link) == (before.commitment, before.link)
    assert verifying.verify().faults == []


def test_an_actor_without_an_origin_commits_to_nothing(record):
    event = Event.objects.get(pk=record(1, origin=Origin())[0])

    assert (event.commitment, event.salt, event.door) == ("", None, "")
