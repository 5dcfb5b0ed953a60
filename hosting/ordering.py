"""Ordering: a plan turns into a mailbox, a contract and a price on the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.access import Actor
from hosting import money
from hosting.models import Contract, Plan
from hosting.models.plans import GIGABYTE
from mailstore import provisioning, quotas
from mailstore.models import Domain, Mailbox


class LimitAbovePlan(Exception):
    """The plan does not reach as high as the limit that was asked for."""


def order(
    *,
    actor: Actor,
    domain: Domain,
    local_part: str,
    plan: Plan,
    label: str = "",
    quota_bytes: int | None = None,
    at: datetime,
) -> Mailbox:
    """Open a mailbox on a plan, with the plan's limit or another within it: both or neither.

    Raises `LimitAbovePlan`, and what `provisioning.open_mailbox` raises.
    """
    limit = plan.quota_bytes if quota_bytes is None else quota_bytes
    check_limit(actor=actor, plan=plan, quota_bytes=limit)
    with transaction.atomic():
        mailbox = provisioning.open_mailbox(
            actor=actor,
            domain=domain,
            local_part=local_part,
            protocol=plan.protocol,
            quota_bytes=limit,
            window_days=plan.window_days,
            retention_policy=plan.retention_policy,
            label=label,
            at=at,
        )
        Contract.objects.create(mailbox=mailbox, plan=plan, starts_at=at)
    return mailbox


def check_limit(*, actor: Actor, plan: Plan, quota_bytes: int) -> None:
    """Raise `LimitAbovePlan` unless the plan, or the actor, may go so high."""
    if quota_bytes > plan.ceiling_bytes and not actor.is_staff:
        message = f"This plan goes up to {quotas.byte_text(plan.ceiling_bytes)}."
        raise LimitAbovePlan(message)


def change_limit(*, actor: Actor, mailbox: Mailbox, quota_bytes: int, at: datetime) -> None:
    """Change the limit within what the plan allows; staff may go beyond it."""
    contract = Contract.objects.filter(mailbox=mailbox, ends_at=None).select_related("plan").first()
    if contract is not None:
        check_limit(actor=actor, plan=contract.plan, quota_bytes=quota_bytes)
    quotas.change_limit(actor=actor, mailbox=mailbox, quota_bytes=quota_bytes, at=at)


def end_contracts(*, limit: int = 500) -> int:
    """End the contracts of mailboxes that close, at the moment they began to; returns how many."""
    ended = 0
    running = Contract.objects.filter(ends_at=None, mailbox__closing_since__isnull=False)
    for contract in running.select_related("mailbox").order_by("pk")[:limit]:
        ended += running.filter(pk=contract.pk).update(ends_at=contract.mailbox.closing_since)
    return ended


@transaction.atomic
def reopen(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Take back a closing; the plan goes on from now."""
    closing_since = mailbox.closing_since
    provisioning.reopen(actor=actor, mailbox=mailbox, at=at)
    contracts = Contract.objects.filter(mailbox=mailbox)
    contracts.filter(ends_at=None).update(ends_at=closing_since)
    last = contracts.order_by("-ends_at").first()
    if last is not None:
        Contract.objects.create(mailbox=mailbox, plan=last.plan, starts_at=at)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What somebody with these needs would pay, and what we would advise, with the reason."""

    gigabytes: int
    devices: int
    pop_text: str
    # Otherwise what is kept lies on the person's own computer only.
    fits_pop: bool
    imap_text: str
    recommended: str
    reason: str


def estimate(*, pop: Plan, imap: Plan, gigabytes: int, devices: int) -> Estimate:
    """Prices and advice for keeping `gigabytes` of mail and reading it on `devices`."""
    recommended, reason = _advice(pop, gigabytes=gigabytes, devices=devices)
    return Estimate(
        gigabytes=gigabytes,
        devices=devices,
        pop_text=_monthly(pop, stored_bytes=0),
        fits_pop=gigabytes * GIGABYTE <= pop.quota_bytes,
        imap_text=_monthly(imap, stored_bytes=gigabytes * GIGABYTE),
        recommended=recommended,
        reason=reason,
    )


def _monthly(plan: Plan, *, stored_bytes: int) -> str:
    cost: Decimal = plan.monthly_cost(stored_bytes=stored_bytes)
    return money.text(cost, currency=plan.currency)


def _advice(pop: Plan, *, gigabytes: int, devices: int) -> tuple[str, str]:
    if devices > 1:
        return "imap", (
            f"You read mail on {devices} devices. With IMAP all of them show the same; with POP "
            "the first one that fetches a message takes it away from the others."
        )
    if gigabytes * GIGABYTE > pop.quota_bytes:
        return "imap", (
            f"You keep {gigabytes} GB. POP would hold all of it on one computer, which you "
            "would have to back up yourself; IMAP keeps it on the server."
        )
    return "pop", (
        "You read mail on one device and keep little. POP costs less, as long as you back up "
        "that device yourself."
    )
