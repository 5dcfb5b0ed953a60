"""The database refuses to change what happened."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts import chaining, guarding, numbering
from accounts.models import Checkpoint, Event
from tests.accounts.unguarded import unguarded
from tests.factories import AT

pytestmark = pytest.mark.django_db(databases="__all__")
CHANGES = {
    "seq": 10**6,
    "kind": "x.y",
    "actor_name": "x",
    "data": {"x": 1},
    "at": AT.replace(year=2027),
    "organisation_id": 1,
    "address": "192.0.2.1",
    "commitment": "x",
    "door": "api",
}


@pytest.fixture
def event(cast):
    numbering.number_all()
    chaining.chain_all()
    return Event.objects.order_by("-pk").first()


def refused(work):
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        work()


@pytest.mark.parametrize("column", CHANGES)
def test_what_was_written_stays(event, column):
    refused(lambda: Event.objects.filter(pk=event.pk).update(**{column: CHANGES[column]}))


@pytest.mark.parametrize(
    "change",
    [{"position": 10**6}, {"position": None}, {"link": "x"}, {"own_place": 7}, {"own_link": ""}],
)
def test_places_and_links_are_given_once(event, change):
    refused(lambda: Event.objects.filter(pk=event.pk).update(**change))


def test_nothing_is_removed(event):
    refused(lambda: Event.objects.filter(pk=event.pk).delete())
    refused(lambda: Event.objects.all().delete())


def test_checkpoints_stay_as_well(event):
    row = Checkpoint.objects.create(at=AT, position=1, link="x", seal="x")

    refused(lambda: Checkpoint.objects.filter(pk=row.pk).update(link="y"))
    refused(row.delete)


def test_the_origin_can_be_forgotten(event):
    assert Event.objects.filter(pk=event.pk).update(address="", session="", salt=None) == 1


def test_the_guards_are_made_anew_by_every_migration(event):
    with unguarded():
        pass
    with connection.cursor() as cursor:
        for statement in guarding.GUARD.let_go(connection.vendor):
            cursor.execute(statement)

    guarding.hold(using=connection.alias)

    refused(lambda: Event.objects.filter(pk=event.pk).delete())


def test_guards_are_made_in_the_database_that_has_events(event):
    for alias in connections:
        guarding.hold(using=alias)

    refused(lambda: Event.objects.filter(pk=event.pk).delete())
