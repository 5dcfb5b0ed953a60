"""What an organisation may do: restrictions are imposed and lifted, and their sum takes hold.

Signing in, receiving and sending are three switches. The mail server reads them from the
organisation's row at every sign-in and delivery, so a change holds from its commit on. What is
stopped `below` holds for the customers of a reseller, whose own rows do not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts import outbox, setbacks
from accounts.access import Actor, Capability, system
from accounts.models import SWITCHES, Organisation, OrganisationQuerySet, on_clock_of
from mailstore import holding, provisioning
from mailstore.models import ClosedAlong, Mailbox, Restriction

Cause = Restriction.Cause
_HOUSE = system("standing")
_CLOSING, _OPENING = "closing along", "bringing back"
_OPEN_STATES = (Mailbox.State.ACTIVE, Mailbox.State.PENDING, Mailbox.State.SUSPENDED)
NOTHING: Mapping[str, str] = MappingProxyType({name: ways[0] for name, ways in SWITCHES.items()})


class Reopen(Protocol):
    """The verb that takes back the closing of one mailbox, with all that hangs on it."""

    def __call__(self, *, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
        """Raises `provisioning.WrongState` if the mailbox is not closing."""


class Refused(Exception):
    """The organisation cannot be restricted or freed in this way."""


def reach(mailbox: Mailbox) -> dict[str, str]:
    """How each switch stands for one mailbox; load `organisation__parent` with it.

    The views that the mail server reads say the same.
    """
    owner, above = mailbox.organisation, mailbox.organisation.parent
    return {
        name: stricter(
            name, getattr(owner, name), getattr(above, f"{name}_below") if above else None
        )
        for name in SWITCHES
        if not name.endswith("_below")
    }


def stricter(name: str, own: str, above: str | None) -> str:
    """How a switch stands where the owner has it one way and whoever is above another."""
    ways = SWITCHES[name]
    return own if above is None else max(own, above, key=ways.index)


def refuse_to_close(organisation: Organisation) -> None:
    """Raise `Refused` unless the organisation may be closed at its own wish."""
    if organisation.kind == Organisation.Kind.PROVIDER:
        message = "The house itself cannot be stopped."
        raise Refused(message)
    if organisation.state == Organisation.State.CLOSED:
        message = f"{organisation} is closed already."
        raise Refused(message)
    if organisation.children.exclude(state=Organisation.State.CLOSED).exists():
        message = f"{organisation} has customers. They are closed before it is."
        raise Refused(message)


@transaction.atomic
def impose(
    *,
    actor: Actor,
    organisation: Organisation,
    cause: Restriction.Cause,
    state: Restriction.State,
    stops: Mapping[str, str],
    reason: str,
    at: datetime,
    now: datetime | None = None,
) -> Restriction:
    """Restrict an organisation for this cause, instead of what stood for it until now.

    `stops` names the switches that are not open. Called twice, it changes nothing more. Load
    `parent` with the organisation. `now` is what time it really is, where `at` is by the clock of
    a test organisation: sessions end by that one.
    """
    _must_stop(actor, organisation, cause)
    if organisation.kind == Organisation.Kind.PROVIDER:
        message = "The house itself cannot be stopped."
        raise Refused(message)
    if not reason.strip():
        message = "Say why. The organisation reads it."
        raise Refused(message)
    lock(organisation)
    restriction, _is_new = Restriction.objects.standing().update_or_create(
        organisation=organisation,
        cause=cause,
        defaults={**NOTHING, **stops, "state": state, "reason": reason.strip()[:500]},
        create_defaults={
            **NOTHING,
            **stops,
            "organisation": organisation,
            "cause": cause,
            "state": state,
            "reason": reason.strip()[:500],
            "imposed_by": actor.name,
            "imposed_at": at,
        },
    )
    _add_up(organisation, actor=actor, at=at, now=now or at)
    return restriction


@transaction.atomic
def lift(
    *,
    actor: Actor,
    organisation: Organisation,
    cause: Restriction.Cause,
    reason: str,
    at: datetime,
    now: datetime | None = None,
) -> None:
    """End what stands for this cause; what was closed by it comes back, unless it was erased.

    `now` is as for `impose`.
    """
    if cause == Cause.WISH:
        actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage)
    else:
        _must_stop(actor, organisation, cause)
    if not reason.strip():
        message = "Say why this ends."
        raise Refused(message)
    lock(organisation)
    standing = Restriction.objects.standing().filter(organisation=organisation, cause=cause)
    if not standing.update(lifted_by=actor.name, lifted_at=at, lift_reason=reason.strip()[:500]):
        message = f"Nothing of this kind stands on {organisation} any more."
        raise Refused(message)
    _add_up(organisation, actor=actor, at=at, now=now or at)


def close_along(
    *,
    grace: timedelta,
    at: datetime,
    among: Organisation | None = None,
    now: datetime | None = None,
    limit: int = 200,
) -> int:
    """Close the mailboxes of closed organisations; returns how many.

    Those of one test organisation by its clock, and `now` says what time it really is; or of all
    that live by the real one. What a
    hold reaches stays open until the hold is released, and what is frozen until somebody answers
    the alarm. One that fails waits alone.
    """
    due = Mailbox.objects.filter(
        on_clock_of(among, "organisation__"),
        organisation__state=Organisation.State.CLOSED,
        state__in=_OPEN_STATES,
        frozen_at__isnull=True,
    ).exclude(pk__in=holding.held().values("pk"))
    due = due.exclude(pk__in=setbacks.waiting(work=_CLOSING, at=at)).order_by("pk")
    found = list(due.select_related("organisation__parent", "domain")[:limit])
    closed = 0
    for mailbox in found:
        with _apart(_CLOSING, mailbox.pk, mailbox=mailbox, at=at):
            closed += _close(mailbox, grace=grace, at=at, now=now or at)
    if among is None and len(found) < limit:
        setbacks.forget(work=_CLOSING, at=at)
    return closed


def bring_back(
    *,
    reopen: Reopen,
    at: datetime,
    among: Organisation | None = None,
    now: datetime | None = None,
    limit: int = 200,
) -> int:
    """Reopen what was closed along, where nothing closes it any more; returns how many.

    `among` and `now` are as for `close_along`.
    """
    freed = ClosedAlong.objects.filter(
        on_clock_of(among, "mailbox__organisation__"), restriction__lifted_at__isnull=False
    ).exclude(mailbox__organisation__state=Organisation.State.CLOSED)
    due = freed.exclude(pk__in=setbacks.waiting(work=_OPENING, at=at)).order_by("pk")
    found = list(due.select_related("mailbox__organisation__parent", "mailbox__domain")[:limit])
    reopened = 0
    for row in found:
        with _apart(_OPENING, row.pk, mailbox=row.mailbox, at=at):
            reopened += _reopen(row, reopen=reopen, at=at, now=now or at)
    if among is None and len(found) < limit:
        setbacks.forget(work=_OPENING, at=at)
    return reopened


def _apart(
    work: str, row_id: int, *, mailbox: Mailbox, at: datetime
) -> AbstractContextManager[None]:
    """One that fails is left for later; a test clock tells of it itself, and waits for nobody."""
    if mailbox.organisation.is_test:
        return nullcontext()
    return setbacks.apart(
        work=work, row_id=row_id, name=str(mailbox), organisation=mailbox.organisation, at=at
    )


def tests_to_follow() -> OrganisationQuerySet:
    """Test organisations whose mailboxes are not as their state says yet."""
    open_ones = Mailbox.objects.filter(organisation=OuterRef("pk"), state__in=_OPEN_STATES)
    freed = ClosedAlong.objects.filter(
        mailbox__organisation=OuterRef("pk"), restriction__lifted_at__isnull=False
    )
    is_closed = Q(state=Organisation.State.CLOSED)
    waiting = is_closed & Q(Exists(open_ones)) | ~is_closed & Q(Exists(freed))
    return Organisation.objects.filter(waiting, is_test=True).order_by("pk")


@transaction.atomic
def _close(mailbox: Mailbox, *, grace: timedelta, at: datetime, now: datetime) -> bool:
    """One mailbox, unless its organisation was reopened or the mailbox moved a moment ago."""
    lock(mailbox.organisation)
    closing = Restriction.objects.standing().filter(
        organisation=mailbox.organisation, state=Restriction.State.CLOSED
    )
    restriction = closing.order_by("imposed_at").first()
    if restriction is None:
        return False
    was_suspended = mailbox.state == Mailbox.State.SUSPENDED
    try:
        provisioning.close(actor=_HOUSE, mailbox=mailbox, grace=grace, at=at, now=now)
    except (provisioning.WrongState, holding.Stopped):
        return False
    ClosedAlong.objects.update_or_create(
        mailbox=mailbox,
        defaults={"restriction": restriction, "was_suspended": was_suspended},
    )
    return True


@transaction.atomic
def _reopen(row: ClosedAlong, *, reopen: Reopen, at: datetime, now: datetime) -> bool:
    if not ClosedAlong.objects.filter(pk=row.pk).delete()[0]:
        return False
    try:
        reopen(actor=_HOUSE, mailbox=row.mailbox, at=at)
        if row.was_suspended:
            provisioning.suspend(actor=_HOUSE, mailbox=row.mailbox, at=at, now=now)
    except provisioning.WrongState:
        return False  # It was erased, or somebody reopened it.
    return True


def _add_up(organisation: Organisation, *, actor: Actor, at: datetime, now: datetime) -> None:
    """Write the sum of what stands to the organisation's own row. Its lock is held."""
    standing = list(Restriction.objects.standing().filter(organisation=organisation))
    before = Organisation.objects.get(pk=organisation.pk)
    states = Organisation.State.values
    after = {
        name: max((getattr(each, name) for each in standing), key=ways.index, default=ways[0])
        for name, ways in SWITCHES.items()
    }
    state = max((each.state for each in standing), key=states.index, default=states[0])
    changed = {name for name, value in after.items() if getattr(before, name) != value}
    if state == before.state and not changed:
        return
    since = before.state_since if state == before.state else at
    Organisation.objects.filter(pk=organisation.pk).update(**after, state=state, state_since=since)
    organisation.refresh_from_db(fields=[*after, "state", "state_since"])
    _end_sessions(organisation, changed=changed, at=now)
    outbox.record(
        kind="organisation.standing_changed",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=organisation.subject,
        data={
            "state": state,
            "was": before.state,
            **{
                name: {"old": getattr(before, name), "new": after[name]} for name in sorted(changed)
            },
        },
    )
    outbox.nudge("hosting.follow_standing")


def _end_sessions(organisation: Organisation, *, changed: set[str], at: datetime) -> None:
    """Sessions are as they were opened, so those that would be otherwise now have to end."""
    whose = Q()
    if "sign_in" in changed:
        whose |= Q(organisation=organisation)
    if "sign_in_below" in changed:
        whose |= Q(organisation__parent=organisation)
    if whose:
        Mailbox.objects.standing().filter(whose).lock().update(sessions_end_asked_at=at)
        outbox.nudge("mailstore.end_due_sessions")


def lock(organisation: Organisation) -> None:
    """Two changes of one organisation follow each other, or their sum would miss one.

    Take it before the lock of any mailbox, or two wait for each other. The key stays free:
    whoever writes an event about one of its mailboxes does not wait.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)


def _must_stop(actor: Actor, organisation: Organisation, cause: Cause) -> None:
    """Whoever sells to an organisation stops it for a cause of its own; staff for any."""
    if cause == Cause.ABOVE:
        actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage[1:])
        return
    # What an unpaid bill stops is a matter of money, and abuse one of mail.
    needed = Capability.MANAGE_BILLS if cause == Cause.DEBT else Capability.MANAGE_PEOPLE
    refusal = "Only staff in charge of this stop an organisation and let it go on."
    actor.must_everywhere(needed, refusal=refusal)
