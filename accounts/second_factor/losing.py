"""The way out for whoever lost the second factor: it takes days, and everybody hears of it.

The person asks with the password and a link to the address; whoever manages people in an
organisation, and staff, may ask for a member. Then the wait begins. Letters go out at once and
every day, to the person, to all owners of its organisations and to who sells to them. Each of them
can call it off, and so does any sign-in with the factor that was said to be lost. Only after the
wait the devices are removed and all sessions end; the next sign-in asks for a new device.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone as clock
from django.utils.translation import gettext as _

from accounts import lost_links, membership, notices, personal_facts, sessions
from accounts.access import Actor, Capability, Forbidden, Origin, system
from accounts.models import FactorLoss, Organisation, User
from accounts.second_factor import devices, telling, tries

# Staff who know better may make it shorter, but everybody must have had a day to object.
SHORTEST = timedelta(hours=24)
_DAILY = timedelta(days=1)
_REASON_LENGTH = 300


class NothingToLose(Exception):
    """The person has no second factor."""


class WaitsAlready(Exception):
    """Somebody asked before, and the wait goes on."""


class Over(Exception):
    """It was called off or carried out meanwhile."""


class NeedsReason(Exception):
    """Whoever asks for somebody else says why."""


class TooShort(Exception):
    """Everybody must have had time to object."""


def waiting(user: User) -> FactorLoss | None:
    """What the person waits for."""
    return FactorLoss.objects.filter(user=user, state=FactorLoss.State.WAITING).first()


def send_link(*, user: User, at: datetime) -> None:
    """Write to the person's address; the link there begins the wait.

    Raises `NothingToLose`, and `signing_in.NotNow` for whoever asks again and again.
    """
    _must_have_factor(user)
    tries.begin_letter(user=user, at=at)
    notices.tell(user=user, name="second_factor_lost", context={"asking": user.pk}, at=at)


def ask(*, token: str, address: str, at: datetime, origin: Origin | None = None) -> FactorLoss:
    """The wait begins, by the link of the letter.

    Raises `lost_links.NotValid`, `NothingToLose` and `WaitsAlready`.
    """
    user = lost_links.asker(token)
    actor = membership.actor_for(user, origin=origin)
    return _begin(user=user, actor=actor, reason="", address=address, at=at)


def ask_for(
    *, actor: Actor, user: User, organisation: Organisation, reason: str, at: datetime
) -> FactorLoss:
    """The wait begins for a member of an organisation that the actor manages.

    Raises `Forbidden`, `NeedsReason`, `NothingToLose` and `WaitsAlready`.
    """
    actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage)
    member = user.memberships.filter(organisation=organisation).first()
    if member is None or not membership.may_appoint(actor, organisation, member.role):
        message = _("This person does not belong here, or may do more than you.")
        raise Forbidden(message)
    return _begin(user=user, actor=actor, reason=_clean(reason), address="", at=at)


@transaction.atomic
def _begin(*, user: User, actor: Actor, reason: str, address: str, at: datetime) -> FactorLoss:
    _must_have_factor(user)
    try:
        with transaction.atomic():
            loss = FactorLoss.objects.create(
                user=user,
                asked_by=actor.name,
                reason=reason,
                address=address,
                asked_at=at,
                due_at=at + timedelta(days=settings.LOST_FACTOR_WAIT_DAYS),
                told_at=at,
            )
    except IntegrityError as error:
        message = _("Somebody asked before. The wait goes on.")
        raise WaitsAlready(message) from error
    personal_facts.record(
        kind="second_factor.lost",
        user=user,
        actor=actor,
        at=at,
        data={"reason": reason, "due_at": loss.due_at.isoformat()},
    )
    _write(loss, "asked", at=at)
    return loss


@transaction.atomic
def call_off(*, loss: FactorLoss, actor: Actor, at: datetime) -> FactorLoss:
    """The factor stays. Whoever may do so was asked before; raises `Over`."""
    if not _end(loss, FactorLoss.State.CALLED_OFF, by=actor.name, at=at):
        message = _("It was called off or carried out already.")
        raise Over(message)
    personal_facts.record(kind="second_factor.loss_called_off", user=loss.user, actor=actor, at=at)
    _write(loss, "called_off", at=at)
    return loss


def found_again(user: User, *, actor: Actor, at: datetime) -> bool:
    """The person proved the factor, so it is not lost; returns whether anything was called off."""
    loss = waiting(user)
    if loss is None:
        return False
    try:
        call_off(loss=loss, actor=actor, at=at)
    except Over:
        return False
    return True


@transaction.atomic
def hasten(
    *, actor: Actor, loss: FactorLoss, due_at: datetime, reason: str, at: datetime
) -> FactorLoss:
    """Operators who are sure of somebody make the wait shorter, never below a day from asking.

    Everybody is told again. Raises `Forbidden`, `NeedsReason`, `TooShort` and `Over`.
    """
    actor.must_everywhere(Capability.RUN_HOUSE, refusal=_("Only operators may do this."))
    why = _clean(reason)
    if due_at < loss.asked_at + SHORTEST or due_at < at:
        hours = int(SHORTEST.total_seconds() // 3600)
        text = _("Everybody must have %(hours)s hours to object.")
        raise TooShort(text % {"hours": hours})
    open_one = FactorLoss.objects.filter(
        pk=loss.pk, state=FactorLoss.State.WAITING, due_at__gt=due_at
    )
    if not open_one.update(due_at=due_at, told_at=at):
        message = _("It is over, or due by then anyway.")
        raise Over(message)
    loss.refresh_from_db()
    personal_facts.record(
        kind="second_factor.loss_hastened",
        user=loss.user,
        actor=actor,
        at=at,
        data={"reason": why, "due_at": due_at.isoformat()},
    )
    _write(loss, "hastened", at=at, hastened_by=actor.name, why=why)
    return loss


def remind(*, at: datetime, limit: int = 200) -> int:
    """Write to everybody once more, a day after the last letter; returns of how many losses."""
    due = _waiting().filter(told_at__lte=at - _DAILY, due_at__gt=at).order_by("told_at")
    count = 0
    for loss in due[:limit]:
        with transaction.atomic():
            mine = FactorLoss.objects.filter(
                pk=loss.pk, state=FactorLoss.State.WAITING, told_at=loss.told_at
            )
            if mine.update(told_at=at):
                _write(loss, "reminder", at=at)
                count += 1
    return count


def finish_due(*, at: datetime, limit: int = 200) -> int:
    """Remove the factors of those whose wait is over; returns of how many people."""
    due = _waiting().filter(due_at__lte=at).order_by("due_at")
    return sum(_finish(loss, at=at) for loss in due[:limit])


@transaction.atomic
def _finish(loss: FactorLoss, *, at: datetime) -> bool:
    # The row of the person first, as everywhere, so that no device is enrolled meanwhile.
    User.objects.select_for_update().get(pk=loss.user_id)
    if not _end(loss, FactorLoss.State.DONE, by="", at=at):
        return False
    count = devices.remove_all(loss.user)
    sessions.drop_all(loss.user)
    personal_facts.record(
        kind="second_factor.loss_done",
        user=loss.user,
        actor=system("second factor"),
        at=at,
        data={"devices": count},
    )
    _write(loss, "done", at=at)
    return True


def _end(loss: FactorLoss, state: FactorLoss.State, *, by: str, at: datetime) -> bool:
    open_one = FactorLoss.objects.filter(pk=loss.pk, state=FactorLoss.State.WAITING)
    return bool(open_one.update(state=state, ended_by=by, ended_at=at))


def _waiting() -> QuerySet[FactorLoss]:
    waiting_ones = FactorLoss.objects.filter(state=FactorLoss.State.WAITING)
    return waiting_ones.select_related("user")


def _must_have_factor(user: User) -> None:
    if not devices.has_any(user):
        message = _("There is no second factor to lose.")
        raise NothingToLose(message)


def _clean(reason: str) -> str:
    why = " ".join(reason.replace("\0", "").split())[:_REASON_LENGTH]
    if not why:
        message = _("Say why. Everybody who is told reads it.")
        raise NeedsReason(message)
    return why


def _write(loss: FactorLoss, what: str, *, at: datetime, **more: Any) -> None:
    """To the person, to the owners of its organisations, and to the owners of who sells to them."""
    user = loss.user
    context = {
        "what": what,
        "person": user.email,
        "asked_by": loss.asked_by,
        "reason": loss.reason,
        "address": loss.address,
        "due_at": _moment_text(loss.due_at),
        "loss": str(loss.uuid),
        **more,
    }
    notices.tell(user=user, name="second_factor_loss", context=context, at=at)
    notices.announce(
        organisations=telling.all_who_watch(user),
        name="second_factor_loss",
        context=context,
        at=at,
        but=frozenset({user.email}),
    )


def _moment_text(moment: datetime) -> str:
    return f"{clock.localtime(moment):%Y-%m-%d %H:%M} UTC"
