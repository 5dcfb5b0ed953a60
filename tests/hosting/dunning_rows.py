"""A course of days for tests of dunning: the sweep each noon, and letters that go out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from accounts.models import Notice
from hosting import dunning
from hosting.models import Dunning
from tests.hosting.ledger_rows import make_bill

DUE = date(2026, 11, 1)


def noon(day, due=DUE):
    """The moment at which day `day` after the due date has begun everywhere."""
    there = due + timedelta(days=day)
    return datetime(there.year, there.month, there.day, 12, tzinfo=UTC)


def bill(customer, total_minor=1200, *, due=DUE, **more):
    return make_bill(customer, total_minor, days=0, at=noon(0, due) - timedelta(hours=12), **more)


def post(at):
    """The relay takes what waits."""
    return Notice.objects.filter(sent_at=None).update(sent_at=at)


def live_through(first, last, due=DUE, sweep=dunning.sweep):
    """One sweep a day, and its letters sent; says on which day which step was in force."""
    for day in range(first, last + 1):
        sweep(at=noon(day, due))
        post(noon(day, due))


def run_of(customer):
    return Dunning.objects.filter(customer=customer).latest("pk")


def letters(name="dunning"):
    return list(Notice.objects.filter(name=name).order_by("pk"))
