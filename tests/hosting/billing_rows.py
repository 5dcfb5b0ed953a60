"""Rows as a month leaves them behind: contracts, and what the meter kept of each day."""

from __future__ import annotations

import io
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import connections
from django.test.utils import CaptureQueriesContext
from PIL import Image

from accounts.access import system
from hosting import ordering, pricing
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Contract, Logo, Plan, PriceList
from hosting.periods import Period
from mailstore.models import Mailbox, Usage, UsageDay
from tests.factories import make_mailbox

OCTOBER = Period(2026, 10)
CLOSED_AT = datetime(2026, 11, 1, 2, tzinfo=UTC)
ACTOR = system("tests")
GIGABYTE = 10**9


def moment(day, hour=0, month=10, year=2026):
    return datetime(year, month, day, hour, tzinfo=UTC)


def make_profile(organisation, country="AT", vat_id="", **fields):
    return BillingProfile.objects.create(
        organisation=organisation,
        legal_name=f"{organisation.name} Ltd",
        address="Mill Lane 4\n1010 Vienna",
        country=country,
        vat_id=vat_id,
        **fields,
    )


def make_logo(organisation, colour="navy", size=(120, 40)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return Logo.objects.create(
        organisation=organisation,
        picture=file.getvalue(),
        media_type="image/png",
        width=size[0],
        height=size[1],
        created_at=CLOSED_AT,
    )


def make_list(seller=None, currency="EUR", audience="retail", *, is_default=False, **prices):
    """`prices` has (per month, included GB, per GB) by the plan's short name."""
    price_list = PriceList.objects.create(
        seller=seller, name="Agreed", audience=audience, currency=currency, is_default=is_default
    )
    for slug, (monthly, gigabytes, storage) in prices.items():
        pricing.succeed(
            actor=ACTOR,
            price_list=price_list,
            plan=Plan.objects.get(slug=slug),
            starts_on=date(2026, 1, 1),
            monthly_price=Decimal(monthly),
            included_bytes=gigabytes * GIGABYTE,
            storage_price=Decimal(storage),
            at=CLOSED_AT,
        )
    return price_list


def sold(domain, name, protocol="imap", *, since=None, until=None):
    """A mailbox whose one contract ran from `since` until `until`."""
    mailbox = make_mailbox(domain, name, protocol)
    Contract.objects.filter(mailbox=mailbox).update(
        starts_at=since or moment(1, month=1), ends_at=until, start_mark=0, end_mark=0
    )
    return mailbox


def used(mailbox, *steps, until=OCTOBER.ends_at):
    """Whole days at one size: (moment from which on, bytes). The meter's rows follow."""
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": 0})
    ends = [at for at, _size in steps[1:]] + [until]
    for (begin, size), end in zip(steps, ends, strict=True):
        first, last = day_of(begin), day_of(end)
        UsageDay.objects.create(
            username=mailbox.address,
            day=first,
            days=last - first,
            byte_seconds=size * DAY_SECONDS,
        )
    Usage.objects.filter(username=mailbox.address).update(
        since=int(until.timestamp()), day_byte_seconds=0
    )


def worked_example(domain):
    """October of the customer in the worked example."""
    sold(domain, "a", "pop")
    sold(domain, "b", "pop", since=moment(12, 10))
    mailbox = sold(domain, "c", "imap")
    used(
        mailbox,
        (moment(1), 18 * GIGABYTE),
        (moment(11), 42 * GIGABYTE),
        (moment(21), 9 * GIGABYTE),
    )
    return mailbox


def day_of(at):
    return int(at.timestamp()) // DAY_SECONDS


def switch(mailbox, slug, at):
    """The mailbox goes over to another plan."""
    ordering.end_contract(mailbox, at=at)
    ordering.open_contract(mailbox=mailbox, plan=Plan.objects.get(slug=slug), at=at)


def mailboxes():
    return Mailbox.objects.order_by("address")


@contextmanager
def counted_queries():
    """Counts queries in all databases, whether the mail server's reports have one of their own."""
    with ExitStack() as open_ones:
        captured = [
            open_ones.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in connections
        ]
        yield lambda: sum(map(len, captured))
