"""What stops all removal: holds, and the freeze of a mailbox whose tripwire fired."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from accounts import outbox
from accounts.access import Actor, Forbidden
from accounts.models import Organisation, User
from mailstore.models import Domain, Hold, Mailbox, PurgeRun, WorkState
from mailstore.models.mailboxes import MailboxQuerySet

Scope = Organisation | Domain | Mailbox


class Stopped(Exception):
    """Nothing may be removed from the mailbox now; the text says why."""


class HoldRefused(Exception):
    """The hold cannot be placed or released in this way."""


def refuse_if_stopped(mailbox: Mailbox) -> None:
    """Raise `Stopped` under a hold or a freeze. Call it with the mailbox's row locked."""
    if mailbox.frozen_at is not None:
        message = f"{mailbox.address} is frozen since {mailbox.frozen_at:%Y-%m-%d %H:%M} UTC."
        raise Stopped(message)
    refuse_if_held(mailbox)


def refuse_if_held(mailbox: Mailbox) -> None:
    """Raise `Stopped` under a hold."""
    hold = Hold.objects.standing().on(mailbox).order_by("placed_at").first()
    if hold is not None:
        message = f"{mailbox.address} is held: {hold.matter}."
        raise Stopped(message)


def held() -> MailboxQuerySet:
    """Every mailbox that a standing hold reaches."""
    standing = Hold.objects.standing()
    organisations = standing.exclude(organisation=None).values("organisation")
    return Mailbox.objects.standing().filter(
        Q(pk__in=standing.exclude(mailbox=None).values("mailbox"))
        | Q(domain__in=standing.exclude(domain=None).values("domain"))
        | Q(organisation__in=organisations)
        | Q(organisation__parent__in=organisations)
        | Q(organisation__parent__parent__in=organisations)
    )


def lock(mailbox: Mailbox) -> Mailbox:
    """The mailbox's row as it is now, locked until the transaction ends.

    Placing a hold takes the same lock, so it waits for the batch that is being removed and
    stands before the next one begins.
    """
    rows = Mailbox.objects.select_for_update(of=("self",))
    return rows.select_related("organisation__parent", "domain").get(pk=mailbox.pk)


def place(
    *, actor: Actor, user: User, scope: Scope, matter: str, reason: str, at: datetime
) -> Hold:
    """Stop all removal below `scope`. Once this returns, nothing more is removed."""
    _only_staff(actor)
    if not matter.strip() or not reason.strip():
        message = "A hold needs a matter and a reason."
        raise HoldRefused(message)
    with transaction.atomic():
        hold = Hold.objects.create(
            matter=matter.strip(),
            reason=reason.strip(),
            placed_by=user,
            placed_at=at,
            **{type(scope).__name__.lower(): scope},
        )
        _record("hold.placed", hold=hold, actor=actor, at=at)
    _wait_for_running(scope)
    return hold


def release(*, actor: Actor, user: User, hold: Hold, reason: str, at: datetime) -> None:
    """Let removal go on; somebody else than who placed the hold must say so."""
    _only_staff(actor)
    if user.pk == hold.placed_by_id:
        message = "Somebody else than the person who placed a hold releases it."
        raise HoldRefused(message)
    if not reason.strip():
        message = "Say why the hold ends."
        raise HoldRefused(message)
    with transaction.atomic():
        released = Hold.objects.standing().filter(pk=hold.pk)
        if not released.update(released_by=user, released_at=at, release_reason=reason.strip()):
            message = "This hold has been released already."
            raise HoldRefused(message)
        _record("hold.released", hold=hold, actor=actor, at=at)


def _only_staff(actor: Actor) -> None:
    if not actor.is_staff:
        message = "Only staff place and release holds."
        raise Forbidden(message)


def _wait_for_running(scope: Scope) -> None:
    """Take, for a moment, the lock of each mailbox below that a worker may be removing from."""
    # The erasure of a closed mailbox has a plan, but no lease.
    at_work = PurgeRun.objects.filter(
        Q(state=WorkState.RUNNING) | Q(state=WorkState.PLANNED, kind=PurgeRun.Kind.CLOSING)
    )
    with transaction.atomic():
        below = Mailbox.objects.select_for_update().filter(_below(scope))
        list(below.filter(pk__in=at_work.values("mailbox")).order_by("pk").values_list("pk"))


def _below(scope: Scope) -> Q:
    if isinstance(scope, Mailbox):
        return Q(pk=scope.pk)
    if isinstance(scope, Domain):
        return Q(domain=scope)
    return Q(
        organisation__in=Organisation.objects.filter(
            Q(pk=scope.pk) | Q(parent=scope) | Q(parent__parent=scope)
        ).values("pk")
    )


def _record(kind: str, *, hold: Hold, actor: Actor, at: datetime) -> None:
    scope = hold.organisation or hold.domain or hold.mailbox
    organisation = (
        scope if isinstance(scope, Organisation) else getattr(scope, "organisation", None)
    )
    assert organisation is not None  # noqa: S101  # A constraint of the table says so.
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation,
        subject=hold.subject,
        data={"scope": str(scope)},
    )
