"""A seller's customers: opened, named, limited, stopped and let go on.

The seller is a reseller, or the house. Whoever does it has a role there; what a customer's own
people may do is a matter of other verbs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import inviting, outbox
from accounts.access import Actor, Capability
from accounts.models import SWITCHES, Membership, Organisation
from hosting import clocks
from hosting.models import CustomerFigures, Limits
from mailstore import cooling, standing
from mailstore.models import PendingChange, Restriction

_NAME_LENGTH = 120
_REF_LENGTH = 120
_HIGHEST = 2**31 - 1
_HIGHEST_BYTES = 10**18
# A suspended customer's mail still arrives; nobody signs in and nothing is sent.
_SUSPENDED: Mapping[str, str] = {
    "sign_in": SWITCHES["sign_in"][-1],
    "sending": SWITCHES["sending"][-1],
}


class Refused(Exception):
    """It cannot be so; `field` names what it is about, if it is about one thing."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class RefTaken(Refused):
    """Another customer of the seller has this reference."""


@transaction.atomic
def open_customer(
    *,
    actor: Actor,
    reseller: Organisation,
    name: str,
    owner_email: str | None = None,
    external_ref: str = "",
    is_test: bool = False,
    at: datetime,
) -> Organisation:
    """A new customer, whose owner is invited by a letter; load `parent` with the seller.

    Raises `Refused`. Whether somebody signs in with that address already changes nothing.
    """
    must_open(actor, reseller)
    customer = Organisation(
        kind=Organisation.Kind.CUSTOMER,
        name=checked_name(name),
        parent=reseller,
        external_ref=checked_ref(external_ref),
        is_test=is_test,
        created_at=at,
    )
    email = checked_email(owner_email) if owner_email else ""
    _save_with_ref(customer)
    CustomerFigures.objects.create(organisation=customer)
    _record("organisation.created", customer, actor=actor, at=at)
    if email:
        # Whoever may open a customer names who owns it first: nothing of anybody is in it yet.
        owner = Membership.Role.OWNER
        inviting.ask(actor=actor, organisation=customer, email=email, role=owner, at=at)
    return customer


def invite_owner(*, actor: Actor, customer: Organisation, email: str, at: datetime) -> None:
    """Ask somebody to own a customer, or write again; raises `Refused`.

    Only whoever may do all that an owner does makes one: a reseller's owner, not its admin.
    """
    _must_manage(actor, customer)
    with _said_of("email"):
        inviting.invite(
            actor=actor, organisation=customer, email=email, role=Membership.Role.OWNER, at=at
        )


@transaction.atomic
def rename(
    *, actor: Actor, customer: Organisation, name: str, external_ref: str, at: datetime
) -> None:
    """Another name, another reference of the seller, or both; raises `Refused`."""
    _must_manage(actor, customer)
    before = {"name": customer.name, "external_ref": customer.external_ref}
    after = {"name": checked_name(name), "external_ref": checked_ref(external_ref)}
    changed = {
        key: {"old": before[key], "new": value}
        for key, value in after.items()
        if before[key] != value
    }
    if not changed:
        return
    for key in changed:
        setattr(customer, key, after[key])
    # The rest of the row may have changed since it was read.
    _save_with_ref(customer, only=changed)
    _record("organisation.updated", customer, actor=actor, at=at, data=changed)


@transaction.atomic
def set_limits(
    *,
    actor: Actor,
    customer: Organisation,
    mailboxes: int | None,
    domains: int | None,
    stored_bytes: int | None,
    at: datetime,
) -> None:
    """How far a customer may go; None stands for no limit. Raises `Refused`.

    A limit below what is there takes nothing away: it lets nothing be added.
    """
    _must_manage(actor, customer)
    wanted = {"mailboxes": mailboxes, "domains": domains, "stored_bytes": stored_bytes}
    for field, value in wanted.items():
        highest = _HIGHEST_BYTES if field == "stored_bytes" else _HIGHEST
        if value is not None and not 0 <= value <= highest:
            message = f"A limit lies between 0 and {highest}."
            raise Refused(message, field=field)
    Limits.objects.get_or_create(organisation=customer)
    limits = Limits.objects.select_for_update().get(organisation=customer)
    before = {field: getattr(limits, field) for field in wanted}
    changed = {f: {"old": before[f], "new": wanted[f]} for f in wanted if before[f] != wanted[f]}
    if not changed:
        return
    for field, value in wanted.items():
        setattr(limits, field, value)
    limits.save(update_fields=list(wanted))
    _record("limits.set", customer, actor=actor, at=at, data=changed)


def suspend(*, actor: Actor, customer: Organisation, reason: str, at: datetime) -> None:
    """Stop signing in and sending; mail still arrives. Raises `standing.Refused`.

    `at` is what time it really is; it is stopped at the moment of its own clock.
    """
    _must_manage(actor, customer)
    if customer.state == Organisation.State.CLOSED:
        message = f"{customer} is closed already."
        raise standing.Refused(message)
    standing.impose(
        actor=actor,
        organisation=customer,
        cause=Restriction.Cause.ABOVE,
        state=Restriction.State.SUSPENDED,
        stops=_SUSPENDED,
        reason=reason,
        at=clocks.moment_for(customer, at),
        now=at,
    )


def resume(*, actor: Actor, customer: Organisation, reason: str, at: datetime) -> None:
    """Take back what `suspend` stopped, and only that; `at` is as there."""
    _must_manage(actor, customer)
    standing.lift(
        actor=actor,
        organisation=customer,
        cause=Restriction.Cause.ABOVE,
        reason=reason,
        at=clocks.moment_for(customer, at),
        now=at,
    )


def close(*, actor: Actor, customer: Organisation, wait: timedelta, at: datetime) -> PendingChange:
    """Ask for the end, which the customer's owners may call off. Raises `standing.Refused`."""
    _must_manage(actor, customer)
    return cooling.ask_to_close_all(actor=actor, organisation=customer, wait=wait, at=at)


def keep(*, actor: Actor, customer: Organisation, at: datetime) -> None:
    """Take the end back, as long as nothing was erased; `at` is as for `suspend`.

    Raises `standing.Refused`.
    """
    _must_manage(actor, customer)
    standing.lift(
        actor=actor,
        organisation=customer,
        cause=Restriction.Cause.WISH,
        reason=f"{actor.name} took it back.",
        at=clocks.moment_for(customer, at),
        now=at,
    )


def must_open(actor: Actor, reseller: Organisation) -> None:
    """Raise `Forbidden` or `Refused` unless the actor could open customers there now."""
    actor.must(Capability.MANAGE_PEOPLE, lineage=reseller.lineage)
    if reseller.kind == Organisation.Kind.CUSTOMER:
        message = f"{reseller} is a customer, and has none itself."
        raise Refused(message)
    if reseller.state in {Organisation.State.SUSPENDED, Organisation.State.CLOSED}:
        message = f"{reseller} is stopped, and opens nothing until that ends."
        raise Refused(message)


def may_manage(actor: Actor, customer: Organisation) -> bool:
    """Whether the pages offer what the verbs would not refuse; load `parent` with it."""
    return actor.can(Capability.MANAGE_PEOPLE, lineage=customer.lineage[1:])


def checked_name(name: str) -> str:
    """A name as it is kept; raises `Refused`."""
    return _line(name, field="name", longest=_NAME_LENGTH, needed="Give the customer a name.")


def checked_ref(external_ref: str) -> str:
    """A reference as it is kept; raises `Refused`."""
    return _line(external_ref, field="external_ref", longest=_REF_LENGTH, needed="")


def checked_email(email: str) -> str:
    """An address as it is kept; raises `Refused`."""
    with _said_of("owner_email"):
        return inviting.checked_email(email)


@contextmanager
def _said_of(field: str) -> Iterator[None]:
    """What is wrong with an invitation, said of the field that holds the address."""
    try:
        yield
    except inviting.Refused as refusal:
        raise Refused(str(refusal), field=field if refusal.field else "") from refusal


def _line(text: str, *, field: str, longest: int, needed: str) -> str:
    """One line of text that can be printed; raises `Refused`."""
    line = text.strip()
    if needed and not line:
        raise Refused(needed, field=field)
    if len(line) > longest:
        message = f"At most {longest} characters fit."
        raise Refused(message, field=field)
    # Control characters, and those that turn the direction of what follows.
    if any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in line):
        message = "It has signs that cannot be printed. Type it again."
        raise Refused(message, field=field)
    return line


def _must_manage(actor: Actor, customer: Organisation) -> None:
    actor.must(Capability.MANAGE_PEOPLE, lineage=customer.lineage[1:])
    if customer.kind != Organisation.Kind.CUSTOMER:
        message = f"{customer} is no customer."
        raise Refused(message)


def _save_with_ref(customer: Organisation, *, only: Iterable[str] | None = None) -> None:
    try:
        with transaction.atomic():
            customer.save(update_fields=only)
    except IntegrityError as error:
        message = f"Another customer has the reference {customer.external_ref} already."
        raise RefTaken(message, field="external_ref") from error


def _record(
    kind: str,
    customer: Organisation,
    *,
    actor: Actor,
    at: datetime,
    data: dict[str, Any] | None = None,
) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=customer,
        subject=customer.subject,
        data=data or {"external_ref": customer.external_ref},
    )
