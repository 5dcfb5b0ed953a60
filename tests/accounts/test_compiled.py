"""Queries that are compiled once find what the same queries find that are not."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import close_old_connections, connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from accounts.compiled import CompiledQuery, tuples
from accounts.models import Setback
from tests.factories import AT

pytestmark = pytest.mark.django_db


@pytest.fixture
def setbacks(cast):
    return [
        Setback.objects.create(
            work="odd" if n % 2 else "even",
            row_id=n,
            name=f"n{n}",
            organisation=cast.customer,
            failed_first_at=AT + timedelta(days=n),
            failed_at=AT,
            next_try_at=AT,
        )
        for n in range(20)
    ]


NAMED = CompiledQuery(
    lambda names: (
        Setback.objects.filter(name__among=names)
        .order_by("row_id")
        .values_list("row_id", "failed_first_at", "organisation__uuid")
    )
)
EITHER = CompiledQuery(
    lambda numbers, names: (
        Setback.objects.filter(Q(row_id__among=numbers) | Q(name__among=names), work="even")
        .order_by("row_id")
        .values_list("row_id", flat=False)
    )
)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 20])
def test_each_number_of_keys_finds_its_rows_with_their_types(cast, setbacks, count):
    names = [setback.name for setback in setbacks[:count]]

    rows = NAMED.rows(names=names)

    assert [row[0] for row in rows] == list(range(count))
    assert [row[1] for row in rows] == [AT + timedelta(days=n) for n in range(count)]
    assert {row[2] for row in rows} == {cast.customer.uuid}
    assert all(isinstance(row[2], UUID) for row in rows)


def test_the_same_keys_twice_find_each_row_once(setbacks):
    assert [row[0] for row in NAMED.rows(names=["n3", "n3", "n1", "no such"])] == [1, 3]


def test_no_keys_find_nothing_and_ask_nobody(setbacks):
    with CaptureQueriesContext(connection) as captured:
        assert NAMED.rows(names=[]) == []
        assert EITHER.rows(numbers=[], names=[]) == []

    assert len(captured) == 0


@pytest.mark.parametrize(
    ("numbers", "names", "found"),
    [([2, 4], [], [2, 4]), ([], ["n6"], [6]), ([2, 3], ["n8", "n9"], [2, 8])],
)
def test_lists_of_two_kinds_keep_apart(setbacks, numbers, names, found):
    assert [row[0] for row in EITHER.rows(numbers=numbers, names=names)] == found


def test_what_a_key_says_is_never_read_as_sql(setbacks):
    hostile = ["n1' OR '1'='1", "%s", "%(x)s", "\x010", "n2"]

    assert [row[0] for row in NAMED.rows(names=hostile)] == [2]


def test_rows_that_come_later_are_found_by_the_same_statement(cast, setbacks):
    NAMED.rows(names=["n1"])
    Setback.objects.filter(name="n1").update(row_id=99)

    assert [row[0] for row in NAMED.rows(names=["n1"])] == [99]


def test_keys_may_stand_in_several_places(setbacks):
    either = CompiledQuery(
        lambda names: (
            Setback.objects.filter(Q(name__among=names) | Q(work__among=names))
            .order_by("row_id")
            .values_list("row_id")
        )
    )

    assert [row[0] for row in either.rows(names=["odd", "n2"])] == [1, 2, *range(3, 20, 2)]


def test_tuples_are_those_of_the_query_set(cast, setbacks):
    rows = Setback.objects.filter(work="odd").order_by("-row_id")
    wanted = rows.values_list("name", "failed_first_at", "organisation__uuid")

    assert tuples(wanted[2:5]) == list(wanted[2:5])
    assert tuples(wanted.none()) == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps no plans.")
def test_plan_is_made_once_for_all_keys(setbacks):
    for count in range(1, 12):
        NAMED.rows(names=[setback.name for setback in setbacks[:count]])

    with CaptureQueriesContext(connection) as captured:
        NAMED.rows(names=["n1"])
    assert "accounts_setback" in captured.captured_queries[0]["sql"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%setback%'"
        )
        assert cursor.fetchall() == [(7,)]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no connections.")
@pytest.mark.django_db(transaction=True)
def test_connection_that_the_database_ended_between_two_requests_is_made_anew():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [process] = cursor.fetchone()
    another = connection.copy()
    with another.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [process])
    another.close()
    close_old_connections()

    assert NAMED.rows(names=["n1"]) == []
