"""Asking for a change: at once where it raises safety, else as a row that waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import notices, outbox
from accounts.access import Actor, Capability, Forbidden
from accounts.models import Organisation
from mailstore import holding, policy, previewing, provisioning, rules, standing, tripwire
from mailstore.cooling import changes, switches
from mailstore.cooling.changes import NotWaiting
from mailstore.engine import Engine
from mailstore.models import Domain, Mailbox, PendingChange, RetentionPolicy

Kind = PendingChange.Kind
# Of these one is enough, whatever it was asked with.
_ONCE = frozenset({Kind.EMPTY_STORE, Kind.CLOSE, Kind.CLOSE_ALL, Kind.TRIPWIRE})


class ReasonNeeded(Exception):
    """Staff who shorten the wait say why."""


def ask_rule(
    *,
    actor: Actor,
    target: rules.Target,
    rule: policy.Rule,
    engine: Engine,
    wait: timedelta,
    at: datetime,
) -> PendingChange | None:
    """Set a rule, at once if no mail goes sooner by it; otherwise the change that waits."""
    _must_manage(actor, target)
    previewing.check_rule(target=target, rule=rule, engine=engine, at=at)
    if not rules.is_less_safe(target=target, rule=rule):
        rules.set_rule(actor=actor, target=target, rule=rule, at=at)
        return None
    return _ask(
        actor=actor,
        target=target,
        kind=Kind.RULE,
        what={
            "folder": rule.folder,
            "counted_from": rule.counted_from.value,
            "days": rule.days,
            "floor_days": rule.floor_days,
            "ceiling_days": rule.ceiling_days,
        },
        sentence=f"Mail in {_place(rule.folder)} of {target} goes after {rule.days} days.",
        wait=wait,
        at=at,
    )


def ask_rule_removal(
    *, actor: Actor, target: rules.Target, folder: str, wait: timedelta, at: datetime
) -> PendingChange | None:
    """Take a rule away, at once if no mail goes sooner by it."""
    if not rules.is_less_safe(target=target, rule=None, folder=folder):
        rules.remove_rule(actor=actor, target=target, folder=folder, at=at)
        return None
    return _ask(
        actor=actor,
        target=target,
        kind=Kind.RULE,
        what={"folder": folder},
        sentence=f"{target} has no rule of its own for {_place(folder)} any more.",
        wait=wait,
        at=at,
    )


def ask_window(
    *, actor: Actor, mailbox: Mailbox, window_days: int, wait: timedelta, at: datetime
) -> PendingChange | None:
    """Change for how long removed mail can be brought back; longer holds at once."""
    if not 1 <= window_days <= policy.LONGEST_DAYS:
        message = f"Days are a whole number from 1 to {policy.LONGEST_DAYS}."
        raise policy.RuleRefused(message)
    if window_days >= mailbox.window_days:
        _must_manage(actor, mailbox)
        switches.set_window(mailbox, window_days=window_days, actor=actor, at=at)
        return None
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.WINDOW,
        what={"window_days": window_days},
        sentence=f"Removed mail of {mailbox} can be brought back for {window_days} days only.",
        wait=wait,
        at=at,
    )


def ask_to_empty_store(
    *, actor: Actor, mailbox: Mailbox, wait: timedelta, at: datetime
) -> PendingChange:
    """Destroy what was removed until now. Never under a hold."""
    holding.refuse_if_stopped(mailbox)
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.EMPTY_STORE,
        what={"until": at.isoformat()},
        sentence=f"All removed mail of {mailbox} is destroyed.",
        wait=wait,
        at=at,
    )


def ask_to_close(
    *, actor: Actor, mailbox: Mailbox, grace: timedelta, wait: timedelta, at: datetime
) -> PendingChange:
    """Close the mailbox. Never under a hold. Raises `provisioning.WrongState` if it closes."""
    holding.refuse_if_held(mailbox)
    if mailbox.state in (Mailbox.State.CLOSING, Mailbox.State.CLOSED):
        message = f"{mailbox} is closing already."
        raise provisioning.WrongState(message)
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.CLOSE,
        what={"grace_seconds": int(grace.total_seconds())},
        sentence=f"{mailbox} is closed.",
        wait=wait,
        at=at,
    )


def ask_to_close_all(
    *, actor: Actor, organisation: Organisation, wait: timedelta, at: datetime
) -> PendingChange:
    """Close the organisation with all its mailboxes. Raises `standing.Refused`."""
    actor.must(Capability.MANAGE_PEOPLE, lineage=organisation.lineage)
    standing.refuse_to_close(organisation)
    return _ask(
        actor=actor,
        target=organisation,
        kind=Kind.CLOSE_ALL,
        what={},
        sentence=f"{organisation} is closed with all its mailboxes.",
        wait=wait,
        at=at,
    )


def ask_tripwire(
    *, actor: Actor, mailbox: Mailbox, is_on: bool, wait: timedelta, at: datetime
) -> PendingChange | None:
    """Switch the tripwire on at once, or off after the wait."""
    if is_on:
        _must_manage(actor, mailbox)
        switches.set_tripwire(mailbox, off_at=None, actor=actor, at=at)
        return None
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.TRIPWIRE,
        what={},
        sentence=f"Nobody is warned any more when much mail of {mailbox} is removed.",
        wait=wait,
        at=at,
    )


def ask_thresholds(
    *,
    actor: Actor,
    target: Mailbox | RetentionPolicy,
    messages: int | None,
    percent: int | None,
    minutes: int | None,
    wait: timedelta,
    at: datetime,
) -> PendingChange | None:
    """Change when the tripwire fires, at once unless it fires later or less often by it.

    For a mailbox, None means what its policy says. Raises `tripwire.ThresholdsRefused`.
    """
    what = {"messages": messages, "percent": percent, "minutes": minutes}
    new, old = tripwire.completed(target, **what), tripwire.thresholds_of(target)
    if not new.is_weaker_than(old):
        _must_manage(actor, target)
        switches.set_thresholds(target, **what, actor=actor, at=at)
        return None
    return _ask(
        actor=actor,
        target=target,
        kind=Kind.THRESHOLDS,
        what=what,
        sentence=(
            f"The tripwire of {target} fires at {new.messages} messages or {new.percent} % "
            f"within {new.minutes} minutes."
        ),
        wait=wait,
        at=at,
    )


def ask_plan(
    *,
    actor: Actor,
    mailbox: Mailbox,
    window_days: int,
    sentence: str,
    wait: timedelta,
    at: datetime,
) -> PendingChange:
    """Let what another plan says hold alone. Until then the safer of the old and the new holds.

    A window that somebody changes meanwhile stays as they set it.
    """
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.PLAN,
        what={"window_days": window_days, "instead_of": mailbox.window_days},
        sentence=sentence,
        wait=wait,
        at=at,
    )


@transaction.atomic
def withdraw_plan(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """The mailbox leaves the plan that was on its way; without one nothing happens."""
    for change in PendingChange.objects.waiting().filter(mailbox=mailbox, kind=Kind.PLAN):
        call_off(actor=actor, change=change, at=at)


@transaction.atomic
def call_off(*, actor: Actor, change: PendingChange, at: datetime) -> None:
    """Any owner or admin of the organisation may stop a change that waits."""
    actor.must(Capability.MANAGE_MAIL, lineage=change.organisation.lineage)
    changes.end(change, PendingChange.State.CALLED_OFF, ended_by=actor.name, at=at)
    changes.record("change.called_off", change=change, actor=actor, at=at)


@transaction.atomic
def shorten(*, actor: Actor, change: PendingChange, reason: str, at: datetime) -> None:
    """Staff let a change take effect now; the reason stays with it."""
    if not actor.is_staff:
        message = "Only staff shorten the wait."
        raise Forbidden(message)
    if not reason.strip():
        message = "Say why this cannot wait."
        raise ReasonNeeded(message)
    waiting = PendingChange.objects.waiting().filter(pk=change.pk)
    if not waiting.update(
        effective_at=at, shortened_by=actor.name, shortening_reason=reason.strip()[:500]
    ):
        raise NotWaiting
    change.refresh_from_db()
    changes.record("change.shortened", change=change, actor=actor, at=at)
    outbox.nudge("mailstore.make_due_changes")


@transaction.atomic
def _ask(
    *,
    actor: Actor,
    target: rules.Target,
    kind: Kind,
    what: dict[str, Any],
    sentence: str,
    wait: timedelta,
    at: datetime,
) -> PendingChange:
    _must_manage(actor, target)
    place = _place_of(target)
    same = _waiting_already(place, kind=kind, what=what)
    if same is not None:
        return same
    change = PendingChange.objects.create(
        **place,
        kind=kind,
        what=what,
        sentence=sentence[:500],
        asked_by=actor.name,
        asked_at=at,
        effective_at=at + wait,
    )
    changes.record("change.asked", change=change, actor=actor, at=at)
    notices.announce(
        organisations=_concerned(target),
        name="pending_change",
        context={
            "sentence": change.sentence,
            "asked_by": change.asked_by,
            "effective_text": f"{timezone.localtime(change.effective_at):%-d %B %Y, %H:%M} UTC",
        },
        at=at,
    )
    return change


def _place_of(target: rules.Target) -> dict[str, Any]:
    """Where the change is kept: whose it is, and what it is about."""
    return {
        "organisation": _organisation_of(target),
        "domain": target if isinstance(target, Domain) else None,
        "mailbox": target if isinstance(target, Mailbox) else None,
        "policy": target if isinstance(target, RetentionPolicy) else None,
    }


def _organisation_of(target: rules.Target) -> Organisation:
    """Whose change it is. A plan's policy belongs to the house itself."""
    if isinstance(target, RetentionPolicy):
        return Organisation.objects.get(kind=Organisation.Kind.PROVIDER)
    return target.organisation if isinstance(target, Domain | Mailbox) else target


def _concerned(target: rules.Target) -> Iterable[Organisation]:
    """Whose owners are told."""
    if isinstance(target, RetentionPolicy):
        owners = rules.mailboxes_under(target).values("organisation")
        return Organisation.objects.filter(pk__in=owners)
    return [_organisation_of(target)]


def _waiting_already(
    place: dict[str, Any], *, kind: Kind, what: dict[str, Any]
) -> PendingChange | None:
    """The same change, asked for twice: it goes on waiting from when it was asked first."""
    # One at a time, or two who ask at once would both find nothing.
    Organisation.objects.select_for_update(no_key=True).get(pk=place["organisation"].pk)
    waiting = PendingChange.objects.waiting().filter(**place, kind=kind)
    return next((c for c in waiting if kind in _ONCE or c.what == what), None)


def _must_manage(actor: Actor, target: rules.Target) -> None:
    # Only staff may change what everybody's plan says.
    lineage = () if isinstance(target, RetentionPolicy) else _organisation_of(target).lineage
    actor.must(Capability.MANAGE_MAIL, lineage=lineage)


def _place(folder: str) -> str:
    return "every folder" if folder == policy.EVERY_FOLDER else folder.lstrip("\\")
