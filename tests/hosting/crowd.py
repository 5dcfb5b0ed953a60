"""A reseller of any size, made by a few statements: customers, mailboxes, use and sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from accounts.models import Membership, Organisation, User
from hosting.models import Contract, Limits, Plan
from hosting.periods import Period
from mailstore.models import Domain, LastLogin, Mailbox, Usage
from tests.factories import PASSWORD

_FIRST = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper")
_SECOND = (
    "Bakery",
    "Dental Care",
    "Garage",
    "Law Office",
    "Print Shop",
    "Quartet",
    "Travel",
    "GmbH",
)
_PEOPLE = ("anna", "ben", "carla", "david", "eva", "office", "info", "sales", "jobs", "hello")
_AT_ONCE = 2_000
_MEGABYTE = 10**6


def name_of(number):
    """A name that is told apart from the others, and now and then long."""
    name = f"{_FIRST[number % 10]} {_SECOND[number // 10 % 8]} {number:04}"
    return f"{name} and Daughters, Suppliers of Fine Stationery" if number % 97 == 0 else name


def make_customers(reseller, count, *, mailboxes, now):
    """Customers of one reseller with so many mailboxes each, as after a year; returns them."""
    kind, states = Organisation.Kind.CUSTOMER, Organisation.State
    customers = Organisation.objects.bulk_create(
        (
            Organisation(
                kind=kind,
                name=name_of(number),
                parent=reseller,
                external_ref=f"C-{number:05}" if number % 3 else "",
                state=states.SUSPENDED if number % 211 == 7 else states.ACTIVE,
                created_at=now - timedelta(days=365 - number % 360),
            )
            for number in range(count)
        ),
        batch_size=_AT_ONCE,
    )
    domains = Domain.objects.bulk_create(
        (
            Domain(
                name=f"customer{number:04}.test",
                organisation=customer,
                state=Domain.State.CONFIRMED,
            )
            for number, customer in enumerate(customers)
            if number % 50 != 3
        ),
        batch_size=_AT_ONCE,
    )
    Limits.objects.bulk_create(
        Limits(organisation=customer, mailboxes=mailboxes + (number % 20 > 0) * 10)
        for number, customer in enumerate(customers)
    )
    _make_mailboxes(domains, mailboxes, now=now)
    return customers


def fill(domain, count, *, now):
    """So many mailboxes of one customer."""
    _make_mailboxes([domain], count, now=now)


def _make_mailboxes(domains, count, *, now):
    plans = {plan.protocol: plan for plan in Plan.objects.order_by("-pk")}
    boxes = Mailbox.objects.bulk_create(
        (_box(domain, number) for domain in domains for number in range(count)),
        batch_size=_AT_ONCE,
    )
    since = Period.of(now).previous.starts_at
    Contract.objects.bulk_create(
        (Contract(mailbox=box, plan=plans[box.protocol], starts_at=since) for box in boxes),
        batch_size=_AT_ONCE,
    )
    Usage.objects.bulk_create(
        (
            Usage(
                username=box.address,
                bytes=(number * 7919 % 900) * _MEGABYTE * (1 if box.protocol == "pop" else 9),
                since=int(since.timestamp()),
            )
            for number, box in enumerate(boxes)
        ),
        batch_size=_AT_ONCE,
    )
    LastLogin.objects.bulk_create(
        (
            LastLogin(
                username=box.address,
                proto="imap",
                device="-",
                address="192.0.2.1",
                last_login=int(now.timestamp()) - number * 613 % 4_000_000,
            )
            for number, box in enumerate(boxes)
            if number % 3
        ),
        batch_size=_AT_ONCE,
    )


def _box(domain, number):
    local_part = f"{_PEOPLE[number % 10]}{number // 10 or ''}"
    protocol = "pop" if number % 3 == 0 else "imap"
    return Mailbox(
        address=f"{local_part}@{domain.name}",
        local_part=local_part,
        domain=domain,
        organisation=domain.organisation,
        protocol=protocol,
        state=Mailbox.State.ACTIVE,
        quota_bytes=10**9 if protocol == "pop" else 10**10,
        window_days=30,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def make_sibling(cast):
    """Another reseller with a person of its own, beside Rita's."""
    reseller = Organisation.objects.create(
        kind=Organisation.Kind.RESELLER, name="Sorrel", parent=cast.provider
    )
    user = User.objects.create_user("sven@example.test", PASSWORD)
    Membership.objects.create(user=user, organisation=reseller, role=Membership.Role.OWNER)
    return reseller, user
