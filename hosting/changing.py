"""Changes of what was bought: to another plan, to the other protocol, and back.

What a page shows before the button and what the button does come from the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from hosting import billing, clocks, limits, metering, money, ordering, selling
from hosting.billing import Buyer, Turn
from hosting.charges import Charge
from hosting.limits import Rooms
from hosting.models import Contract, Plan, PlanChange
from hosting.periods import Period
from mailstore import credentials, holding, provisioning, standing, switching
from mailstore.models import Mailbox, PendingChange
from mailstore.switching import Effect, Terms


class PlanRefused(Exception):
    """The mailbox cannot go over to this plan; the text says why."""


class SamePlan(PlanRefused):
    """The mailbox is on this plan already."""


class OrganisationStopped(PlanRefused):
    """Whoever owns the mailbox, or sells to them, is suspended or closed."""


class NothingToTakeBack(PlanRefused):
    """There was no change, or the time in which it could be taken back is over."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """What a mailbox brings to the bill of one month, without tax, before and after a change."""

    period: Period
    currency: str
    before: Sequence[Charge]
    after: Sequence[Charge]

    @property
    def name_text(self) -> str:
        """`October 2026`."""
        return f"{self.period.starts_at:%B %Y}"

    @property
    def before_minor(self) -> int:
        """If nothing changes."""
        return sum(line.net_minor for line in self.before)

    @property
    def after_minor(self) -> int:
        """If it changes."""
        return sum(line.net_minor for line in self.after)

    @property
    def before_text(self) -> str:
        """The same in words."""
        return money.minor_text(self.before_minor, currency=self.currency)

    @property
    def after_text(self) -> str:
        """The same in words."""
        return money.minor_text(self.after_minor, currency=self.currency)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """One change, with everything that decides about it looked up."""

    contract: Contract
    plan: Plan
    effect: Effect

    @property
    def old_plan(self) -> Plan:
        """What the mailbox leaves."""
        return self.contract.plan


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change as it would be made at a moment, with its price."""

    settled: Settled
    at: datetime
    this_month: Month
    full_month: Month


def running(mailbox: Mailbox) -> Contract:
    """The contract of a mailbox; raises `provisioning.WrongState` if there is none."""
    contracts = Contract.objects.filter(mailbox=mailbox, ends_at=None)
    found = contracts.select_related("plan__retention_policy").first()
    if found is None:
        message = f"{mailbox} is on no plan at present."
        raise provisioning.WrongState(message)
    found.mailbox = mailbox
    return found


def propose(*, mailbox: Mailbox, plan: Plan, at: datetime) -> Proposal:
    """What a change at this moment would do and cost; nothing is changed.

    Raises `PlanRefused`, `selling.NotOnSale`, `switching.BelowUse`, `pricing.NoPrice`,
    `provisioning.WrongState` and `holding.Stopped`.
    """
    selling.refuse_off_sale(plan)
    at = clocks.moment_for(mailbox.organisation, at)
    settled = _settle(mailbox, plan, at=at)
    buyer = billing.buyer(mailbox.organisation)
    turn = _turn(settled.contract, plan=plan, at=at)
    period = Period.of(at)
    return Proposal(
        settled=settled,
        at=at,
        this_month=_month(buyer, turn, mailbox_id=mailbox.pk, period=period),
        full_month=_month(buyer, turn, mailbox_id=mailbox.pk, period=period.next),
    )


def as_it_is(*, mailbox: Mailbox, at: datetime) -> tuple[Month, Month]:
    """This month and a full one, if nothing changes."""
    buyer, period = billing.buyer(mailbox.organisation), Period.of(at)
    this_month, full_month = (
        _month(buyer, None, mailbox_id=mailbox.pk, period=each) for each in (period, period.next)
    )
    return this_month, full_month


def cost_of_closing(*, mailbox: Mailbox, closes_at: datetime, at: datetime) -> list[Month]:
    """This month and, if it closes later, those until then, with the closing and without it."""
    buyer = billing.buyer(mailbox.organisation)
    turn = _turn(running(mailbox), plan=None, at=closes_at)
    months = Period.of(at).until(Period.of(closes_at))
    return [_month(buyer, turn, mailbox_id=mailbox.pk, period=period) for period in months]


@transaction.atomic
def change(
    *,
    actor: Actor,
    mailbox: Mailbox,
    plan: Plan,
    gathers: bool = False,
    widens: bool = False,
    wait: timedelta,
    at: datetime,
) -> PlanChange:
    """Go over to another plan at once; what makes mail less safe waits. `at` is the real time.

    Raises what `propose` raises, and `limits.LimitReached`. For `gathers` see
    `switching.change_terms`; `widens` lets every app password sign in by the plan's protocol.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    selling.refuse_off_sale(plan)
    now, at = at, clocks.moment_for(mailbox.organisation, at)
    locked = lock(mailbox, at=at)
    made = _make(locked, plan, actor=actor, gathers=gathers, wait=wait, at=at, now=now)
    mailbox.refresh_from_db()
    if widens:
        credentials.widen(actor=actor, mailbox=mailbox, protocol=plan.protocol, at=at)
    return made


@transaction.atomic
def take_back(*, actor: Actor, mailbox: Mailbox, wait: timedelta, at: datetime) -> PlanChange:
    """Go back to the plan before the last change, as if there had been none; its price holds.

    Raises `NothingToTakeBack`, and what `change` raises: what was ordered since may have taken
    the room, and more may be stored than the old plan holds.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    now, at = at, clocks.moment_for(mailbox.organisation, at)
    locked = lock(mailbox, at=at)
    last = last_change(mailbox, at=at)
    if last is None:
        message = "There is no change that could be taken back."
        raise NothingToTakeBack(message)
    made = _make(locked, last.old_plan, actor=actor, undo=last, wait=wait, at=at, now=now)
    PlanChange.objects.filter(pk=last.pk).update(undone_at=at)
    mailbox.refresh_from_db()
    return made


def last_change(mailbox: Mailbox, *, at: datetime) -> PlanChange | None:
    """The change that can be taken back now, or None."""
    last = PlanChange.objects.filter(mailbox=mailbox).select_related("old_plan", "new_plan")
    found = last.order_by("-pk").first()
    is_open = found and found.undone_at is None and found.undo_until and at < found.undo_until
    return found if is_open else None


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A mailbox whose row and whose owner's limits are locked until the transaction ends."""

    mailbox: Mailbox
    rooms: Rooms


def lock(mailbox: Mailbox, *, at: datetime) -> Locked:
    """Keep everybody else from changing what decides about a change of plan."""
    rooms = limits.lock([mailbox.organisation], at=at)
    standing.lock(mailbox.organisation)
    return Locked(rooms=rooms, mailbox=holding.lock(mailbox))


def _make(
    locked: Locked,
    plan: Plan,
    *,
    actor: Actor,
    gathers: bool = False,
    undo: PlanChange | None = None,
    wait: timedelta,
    at: datetime,
    now: datetime,
) -> PlanChange:
    mailbox = locked.mailbox
    settled = _settle(mailbox, plan, undo=undo, at=at)
    wanted = limits.Wanted(plan=plan, instead_of=settled.old_plan)
    locked.rooms.take(mailbox.organisation, wanted)
    made = _written(settled, actor=actor, undo_until=None if undo else at + wait, at=at)
    switching.change_terms(
        actor=actor,
        mailbox=mailbox,
        terms=settled.effect.terms,
        gathers=gathers,
        keeps_fetches=undo is not None,
        wait=wait,
        at=at,
        now=now,
    )
    ordering.change_contract(settled.contract, plan=plan, at=at)
    return made


def _settle(
    mailbox: Mailbox, plan: Plan, *, undo: PlanChange | None = None, at: datetime
) -> Settled:
    """Everything that can be said against it is said here, except the limits."""
    _refuse_if_stopped(mailbox)
    contract = running(mailbox)
    if contract.plan_id == plan.pk:
        message = f"{mailbox} is on the plan {plan} already."
        raise SamePlan(message)
    owner = mailbox.organisation
    selling.Shelf([owner], plans=[plan], at=at).check_price(owner, plan)
    terms = Terms(
        protocol=plan.protocol,
        quota_bytes=undo.old_quota_bytes if undo else plan.nearest_limit(mailbox.quota_bytes),
        window_days=undo.old_window_days if undo else _window(mailbox, contract.plan, plan),
        retention_policy=plan.retention_policy,
    )
    effect = switching.foresee(mailbox=mailbox, terms=terms)
    return Settled(contract=contract, plan=plan, effect=effect)


def _window(mailbox: Mailbox, old_plan: Plan, new_plan: Plan) -> int:
    """The new plan's, unless somebody chose another than came with the old plan."""
    on_its_way = PendingChange.objects.waiting().filter(mailbox=mailbox, kind="plan")
    came_with_plan = mailbox.window_days == old_plan.window_days or on_its_way.exists()
    return new_plan.window_days if came_with_plan else mailbox.window_days


def _turn(contract: Contract, *, plan: Plan | None, at: datetime) -> Turn:
    """The contract as `ordering.change_contract` would end it."""
    moment = max(at, contract.starts_at)
    return Turn(
        mailbox_id=contract.mailbox_id,
        plan_id=plan.pk if plan else None,
        at=metering.seconds(moment),
        mark=ordering.mark_at(contract, at=moment),
    )


def _month(buyer: Buyer, turn: Turn | None, *, mailbox_id: int, period: Period) -> Month:
    before = billing.foreseen(buyer, mailbox_id=mailbox_id, turn=None, period=period)
    after = (
        billing.foreseen(buyer, mailbox_id=mailbox_id, turn=turn, period=period) if turn else before
    )
    return Month(period=period, currency=buyer.currency, before=before, after=after)


def _refuse_if_stopped(mailbox: Mailbox) -> None:
    stopped = provisioning.stopped_at(mailbox.organisation)
    if stopped is not None:
        message = f"{stopped} is {stopped.get_state_display().lower()}: no plan is changed now."
        raise OrganisationStopped(message)


def _written(
    settled: Settled, *, actor: Actor, undo_until: datetime | None, at: datetime
) -> PlanChange:
    mailbox = settled.contract.mailbox
    outbox.record(
        kind="mailbox.plan_changed",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={
            "old": settled.old_plan.name,
            "new": settled.plan.name,
            "previous_plan": settled.old_plan.slug,
            "plan": settled.plan.slug,
        },
    )
    return PlanChange.objects.create(
        mailbox=mailbox,
        old_plan=settled.old_plan,
        new_plan=settled.plan,
        old_quota_bytes=mailbox.quota_bytes,
        old_window_days=mailbox.window_days,
        at=at,
        by=actor.name,
        undo_until=undo_until,
    )
