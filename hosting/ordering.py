"""Ordering: a plan turns into a mailbox, a contract and a price on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from accounts import confirming
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import charges, clocks, limits, metering, money, pricing, selling
from hosting.models import Contract, Plan, Price, PriceList
from hosting.models.plans import GIGABYTE
from hosting.periods import Period
from mailstore import domains, provisioning, quotas
from mailstore.models import Domain, Mailbox


class LimitAbovePlan(Exception):
    """The plan does not reach as high as the limit that was asked for."""


def offers(price_list: PriceList | None, *, at: datetime) -> dict[str, Price]:
    """The first plan on sale of each protocol that has a price, with it."""
    plans = list(Plan.objects.on_sale())
    prices = pricing.prices_at(price_list=price_list, plans=plans, at=at) if price_list else {}
    found: dict[str, Price] = {}
    for plan in plans:
        if plan.pk in prices:
            found.setdefault(plan.protocol, prices[plan.pk])
    return found


def rest_of_month_text(price: Price, *, at: datetime) -> str:
    """What the fixed part costs from a moment until the end of its month, to the cent."""
    period = Period.of(at)
    rest = period.end - metering.seconds(at)
    cost = charges.mailbox_minor(price, seconds=rest, period=period)
    return money.minor_text(cost, currency=price.currency)


def order(
    *,
    actor: Actor,
    domain: Domain,
    local_part: str,
    plan: Plan,
    label: str = "",
    external_ref: str = "",
    labels: Mapping[str, str] | None = None,
    quota_bytes: int | None = None,
    at: datetime,
) -> Mailbox:
    """Open a mailbox on a plan, with the plan's limit or another within it: both or neither.

    Raises `selling.NotOnSale`, `pricing.NoPrice`, what `check_limit` raises, `limits.LimitReached`,
    `confirming.NotConfirmed`, and what `provisioning.open_mailbox` raises. A test organisation's
    contract begins at its own moment, whichever door it comes through.
    """
    confirming.must_be_confirmed(actor)
    limit = plan.quota_bytes if quota_bytes is None else quota_bytes
    check_limit(actor=actor, plan=plan, quota_bytes=limit)
    with transaction.atomic():
        owner = domain.organisation
        selling.Shelf([owner], plans=[plan], at=at).check(owner, plan)
        at = clocks.moment_for(owner, at)
        limits.lock([owner], at=at).take(owner, limits.Wanted(mailboxes=1, plan=plan))
        mailbox = provisioning.open_mailbox(
            actor=actor,
            domain=domain,
            local_part=local_part,
            protocol=plan.protocol,
            quota_bytes=limit,
            window_days=plan.window_days,
            retention_policy=plan.retention_policy,
            label=label,
            external_ref=external_ref,
            labels=labels,
            at=at,
        )
        open_contract(mailbox=mailbox, plan=plan, at=at)
    return mailbox


@transaction.atomic
def add_domain(*, actor: Actor, organisation: Organisation, name: str, at: datetime) -> Domain:
    """Take on a domain; raises `limits.LimitReached`, and what `domains.add` raises."""
    limits.lock([organisation], at=at).take(organisation, limits.Wanted(domains=1))
    return domains.add(actor=actor, organisation=organisation, name=name, at=at)


def open_contract(*, mailbox: Mailbox, plan: Plan, at: datetime) -> Contract:
    """From here on the mailbox is charged by this plan."""
    return Contract.objects.create(
        mailbox=mailbox, plan=plan, starts_at=at, start_mark=_mark(mailbox, at)
    )


def _mark(mailbox: Mailbox, at: datetime) -> int:
    found = metering.marks([mailbox.address], at=metering.seconds(at))
    return found.get(mailbox.address, 0)


def check_limit(*, actor: Actor, plan: Plan, quota_bytes: int) -> None:
    """Raise `LimitAbovePlan` unless the plan, or the actor, may go so high.

    Raises `quotas.ImpossibleLimit` for what no mailbox can have.
    """
    quotas.check_limit(quota_bytes)
    if quota_bytes > plan.ceiling_bytes and not actor.can_everywhere(Capability.MANAGE_MAIL):
        message = f"This plan goes up to {quotas.byte_text(plan.ceiling_bytes)}."
        raise LimitAbovePlan(message)


def change_limit(
    *,
    actor: Actor,
    mailbox: Mailbox,
    quota_bytes: int,
    at: datetime,
    now: datetime | None = None,
) -> None:
    """Change the limit within what the plan allows; staff may go beyond it.

    `now` is as for `quotas.change_limit`.
    """
    contract = Contract.objects.filter(mailbox=mailbox, ends_at=None).select_related("plan").first()
    if contract is not None:
        check_limit(actor=actor, plan=contract.plan, quota_bytes=quota_bytes)
    quotas.change_limit(actor=actor, mailbox=mailbox, quota_bytes=quota_bytes, at=at, now=now)


def end_contracts(*, among: Organisation | None = None, limit: int = 500) -> int:
    """End the contracts of mailboxes that close, at the moment they began to; returns how many.

    No clock has a part in it, so it is done for all, or for one organisation alone.
    """
    ended = 0
    running = Contract.objects.filter(ends_at=None, mailbox__closing_since__isnull=False)
    if among is not None:
        running = running.filter(mailbox__organisation=among)
    for contract in running.select_related("mailbox__organisation").order_by("pk")[:limit]:
        closing_since = contract.mailbox.closing_since
        if closing_since is not None:
            ended += end_contract(contract.mailbox, at=closing_since)
    return ended


def end_contract(mailbox: Mailbox, *, at: datetime) -> bool:
    """From here on the mailbox is charged no more; False if it was not.

    A moment that is past has its mark kept with it: the meter has gone on since. As in
    `change_contract`, no contract ends before it began: a closing may carry the time at which
    its worker woke up, and the plan have been changed since.
    """
    running = Contract.objects.filter(mailbox=mailbox, ends_at=None)
    contract = running.first()
    if contract is None:
        return False
    contract.mailbox = mailbox
    moment = max(at, contract.starts_at)
    kept = mailbox.closing_mark if moment == mailbox.closing_since else None
    mark = mark_at(contract, at=moment) if kept is None else kept
    ended = running.filter(pk=contract.pk)
    written_at = clocks.now_for(mailbox.organisation)
    return bool(ended.update(ends_at=moment, end_mark=mark, ended_at=written_at))


def change_contract(contract: Contract, *, plan: Plan, at: datetime) -> Contract:
    """From here on the mailbox is charged by another plan; no second and no byte-second by both.

    Call it with the mailbox locked. A clock that was set back ends no contract before it began.
    """
    moment = max(at, contract.starts_at)
    mark = mark_at(contract, at=moment)
    contract.ends_at, contract.end_mark = moment, mark
    contract.ended_at = clocks.now_for(contract.mailbox.organisation)
    contract.save(update_fields=["ends_at", "end_mark", "ended_at"])
    return Contract.objects.create(
        mailbox=contract.mailbox, plan=plan, starts_at=moment, start_mark=mark
    )


def mark_at(contract: Contract, *, at: datetime) -> int:
    """What the meter says where a running contract is to end; within its first second, nothing."""
    if metering.seconds(at) == metering.seconds(contract.starts_at):
        return contract.start_mark
    return _mark(contract.mailbox, at)


@transaction.atomic
def reopen(*, actor: Actor, mailbox: Mailbox, follows_standing: bool = False, at: datetime) -> None:
    """Take back a closing; the plan goes on from now. Raises `limits.LimitReached`.

    A mailbox that closes takes no place, so another may have taken it. What comes back with its
    organisation (`follows_standing`) has its place, whatever was ordered since.
    """
    owner, plan = mailbox.organisation, last_plan(mailbox)
    at = clocks.moment_for(owner, at)
    # How much is left is looked at before the mailbox takes its place again.
    rooms = None if follows_standing else limits.lock([owner], at=at)
    if mailbox.closing_since is not None:
        end_contract(mailbox, at=mailbox.closing_since)
    provisioning.reopen(actor=actor, mailbox=mailbox, at=at)
    if rooms is not None:
        rooms.take(owner, limits.Wanted(mailboxes=1, plan=plan))
    if plan is not None:
        open_contract(mailbox=mailbox, plan=plan, at=at)


def last_plan(mailbox: Mailbox) -> Plan | None:
    """What the mailbox is on, or was on last."""
    contracts = Contract.objects.filter(mailbox=mailbox).select_related("plan")
    last = contracts.order_by(F("ends_at").desc(nulls_first=True), "-pk").first()
    return last.plan if last else None


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


def estimate(*, pop: Price, imap: Price, gigabytes: int, devices: int) -> Estimate:
    """Prices and advice for keeping `gigabytes` of mail and reading it on `devices`."""
    recommended, reason = _advice(pop.plan, gigabytes=gigabytes, devices=devices)
    return Estimate(
        gigabytes=gigabytes,
        devices=devices,
        pop_text=_monthly(pop, stored_bytes=0),
        fits_pop=gigabytes * GIGABYTE <= pop.plan.quota_bytes,
        imap_text=_monthly(imap, stored_bytes=gigabytes * GIGABYTE),
        recommended=recommended,
        reason=reason,
    )


def _monthly(price: Price, *, stored_bytes: int) -> str:
    return money.text(price.monthly_cost(stored_bytes=stored_bytes), currency=price.currency)


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
