"""Full disks: while a file for a program is written, a bill is printed, and a month is closed."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from django.core.cache import caches
from django.db import OperationalError
from django.utils import timezone

from accounts.models import Event, Organisation
from hosting import exports, invoicing, papers, tasks
from hosting.exports import keeping, writing
from hosting.invoicing import closing
from hosting.models import Invoice, InvoiceCounter
from tests.disks import database_up_to, files_up_to
from tests.factories import make_cast, make_domain
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import (
    ACTOR,
    CLOSED_AT,
    OCTOBER,
    make_profile,
    moment,
    sold,
    used,
)

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def files():
    return sorted(path.name for path in keeping._folder().glob("*"))


def asked(caller):
    answer = caller.post("/exports", {"kind": "activity"})
    return answer.json()["result_path"].removeprefix("/api/v1")


def in_turn(number):
    """When the lease of each attempt before is over."""
    return lambda: timezone.now() + timedelta(minutes=3 * number)


@pytest.fixture
def program(cast):
    # So much has happened that the file has more than one piece.
    many = [event(cast, number) for number in range(1_200)]
    Event.objects.bulk_create(many)
    return Caller(make_key(cast.customer).secret)


def event(cast, number):
    return Event(
        kind="domain.added",
        at=CLOSED_AT,
        organisation=cast.customer,
        actor_kind="system",
        actor_id="tests",
        actor_name="tests",
        subject_kind="domain",
        subject_id=str(number),
        subject_name=f"d{number}.test",
        data={},
    )


@pytest.mark.parametrize("percent", [0, 50, 99])
def test_export_that_finds_no_room_leaves_nothing_and_is_whole_later(program, percent):
    """Nowhere, in the midst of it, and at its last lines."""
    first = asked(program)
    assert tasks.write_exports() == 1
    size, before = program.get(first).json()["size_bytes"], files()
    path = asked(program)

    with files_up_to(size * percent // 100):
        assert tasks.write_exports() == 1

    told = program.get(path).json()
    assert (files(), told["state"], told["content_path"]) == (before, "running", None)
    assert told["problem"] == "There is no room for the file just now. It is tried again by itself."
    assert program.get(f"{path}/content").status_code == 409
    assert Event.objects.filter(kind="export.ready").count() == 1

    assert exports.resume(now=in_turn(1)) == 1

    told = program.get(path).json()
    whole = b"".join(program.get(f"{path}/content").streaming_content)
    assert (told["state"], told["problem"], len(files())) == ("ready", None, 2)
    assert told["line_count"] == whole.count(b"\n") > 1_200
    assert Event.objects.filter(kind="export.ready").count() == 2


def test_export_that_never_finds_room_is_given_up_and_says_so(program):
    path = asked(program)

    with files_up_to(10_000):
        done = [exports.resume(now=in_turn(n)) for n in range(writing._MOST_TRIES + 2)]

    told = program.get(path).json()
    assert done == [1] * (writing._MOST_TRIES + 1) + [0]
    assert (told["state"], files()) == ("failed", [])
    assert told["problem"].startswith("There was no room for the file. Ask for it again later")
    [finished] = Event.objects.filter(kind="operation.finished")
    assert finished.data["state"] == "failed"
    assert exports.resume(now=in_turn(10)) == 0
    path = asked(program)
    assert exports.resume(now=timezone.now) == 1
    assert program.get(path).json()["state"] == "ready"


def test_a_short_file_fits_where_a_long_one_does_not(program, cast):
    charlie = Caller(make_key(cast.other_customer).secret)
    long, short = asked(program), asked(charlie)

    with files_up_to(20_000):
        assert tasks.write_exports() == 2

    assert program.get(long).json()["state"] == "running"
    assert charlie.get(short).json()["state"] == "ready"


# Bills ------------------------------------------------------------------------------------


def test_paper_that_cannot_be_kept_is_printed_nevertheless(cast):
    make_profile(cast.provider)
    make_profile(cast.reseller)
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    bill = Invoice.objects.get(customer=cast.customer)
    kept = papers.pdf(bill, papers.paper(bill))
    caches["papers"].clear()

    with files_up_to(0):
        made = papers.pdf(bill, papers.paper(bill))

    assert made == kept
    assert caches["papers"]._list_cache_files() == []
    assert papers.pdf(bill, papers.paper(bill)) == kept
    assert len(caches["papers"]._list_cache_files()) == 1


CUSTOMERS = 30


def close():
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)


def numbers_of(seller):
    numbers = Invoice.objects.filter(seller=seller).values_list("number", flat=True)
    return sorted(int(number.rpartition("-")[2]) for number in numbers)


def is_without_gaps(seller):
    following = InvoiceCounter.objects.get(seller=seller).next_number
    return numbers_of(seller) == list(range(1, following))


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_month_that_finds_no_room_loses_and_doubles_no_number(monkeypatch, counts):
    """With ever more room, one page after the other, until all bills are written."""
    monkeypatch.setattr(closing, "CHUNK", 10)
    cast = make_cast()
    make_profile(cast.provider)
    make_profile(cast.reseller)
    for number in range(CUSTOMERS):
        parent = (cast.provider, cast.reseller)[number % 2]
        owner = Organisation.objects.create(kind="customer", name=f"C{number}", parent=parent)
        used(sold(make_domain(f"c{number}.test", owner), "a"), (moment(1), 10**9))

    full = 0
    for room in count():
        try:
            with database_up_to(room):
                close()
            break
        except OperationalError as failure:
            assert "disk is full" in str(failure)  # noqa: PT017
            full += 1
        written = [numbers_of(seller) for seller in (None, cast.reseller)]
        assert all(each == list(range(1, len(each) + 1)) for each in written)

    assert full > 1
    # The reseller has a bill of its own for what its customers used.
    assert Invoice.objects.count() == CUSTOMERS + 1
    assert is_without_gaps(None)
    assert is_without_gaps(cast.reseller)
    close()
    assert Invoice.objects.count() == CUSTOMERS + 1
    counts(times_full=full)
