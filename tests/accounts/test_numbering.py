from __future__ import annotations

import pytest

from accounts import numbering, outbox
from accounts.access import system
from accounts.models import Event, EventCounter
from tests.accounts.unguarded import unguarded
from tests.factories import AT

ACTOR = system("tests")


@pytest.fixture
def record(cast):
    """Records some facts of Alice's organisation; gives their keys."""

    def record(count=1):
        facts = [
            outbox.record(
                kind="mailbox.suspended",
                at=AT,
                actor=ACTOR,
                organisation=cast.customer,
                subject=("mailbox", "0" * 32, f"m{number}"),
            )
            for number in range(count)
        ]
        return [fact.seq for fact in facts]

    return record


def places(keys=None):
    facts = Event.objects.order_by("seq")
    chosen = facts if keys is None else facts.filter(pk__in=keys)
    return dict(chosen.values_list("seq", "position"))


def test_facts_get_places_without_gaps_in_the_order_of_their_keys(record):
    before = numbering.number_all()
    keys = record(5)

    last = numbering.number_all()

    assert last == before + 5
    assert places(keys) == dict(zip(keys, range(before + 1, before + 6), strict=True))


def test_numbering_again_changes_nothing(record):
    record(3)
    last = numbering.number_all()
    before = places()

    assert numbering.number_all() == last
    assert places() == before


def test_fact_that_shows_later_with_a_lower_key_comes_behind_those_that_were_read(record):
    [late] = record()
    hidden = Event.objects.get(pk=late)
    with unguarded():
        hidden.delete()
    hidden.seq = late
    record(2)
    read_up_to = numbering.number_all()

    hidden.save(force_insert=True)
    numbering.number_all()

    assert places()[late] == read_up_to + 1


def test_many_facts_are_numbered_in_pieces(record, monkeypatch):
    before = numbering.number_all()
    monkeypatch.setattr(numbering, "BATCH", 2)
    keys = record(5)

    assert numbering.number_all() == before + 5
    assert list(places(keys).values()) == [before + place for place in range(1, 6)]


def test_there_is_one_counter(db):
    numbering.counter()

    assert numbering.counter().pk == 1
    assert EventCounter.objects.count() == 1
    assert len(bytes(numbering.counter().cipher_key)) == 16
