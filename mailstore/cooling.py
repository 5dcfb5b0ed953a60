"""Cooling-off: what makes mail less safe waits, is announced, and can be called off.

Raising safety is done at once by its own verb. Whatever lowers it becomes a row here, and the
same verb runs when its time has come. A thief who holds the owner's password for an hour can
ask for much and gets nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import notices, outbox
from accounts.access import Actor, Capability, Forbidden, system
from accounts.models import Organisation
from mailstore import holding, policy, previewing, provisioning, purging, rules
from mailstore.engine import Engine, EngineError, RemovedSearch
from mailstore.holding import Scope
from mailstore.models import Domain, Mailbox, PendingChange

logger = logging.getLogger(__name__)

Kind = PendingChange.Kind


class NotWaiting(Exception):
    """The change was made or called off already."""


class ReasonNeeded(Exception):
    """Staff who shorten the wait say why."""


def ask_rule(
    *,
    actor: Actor,
    target: Scope,
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
    *, actor: Actor, target: Scope, folder: str, wait: timedelta, at: datetime
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
        _set_window(mailbox, window_days=window_days, actor=actor, at=at)
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


def ask_tripwire(
    *, actor: Actor, mailbox: Mailbox, is_on: bool, wait: timedelta, at: datetime
) -> PendingChange | None:
    """Switch the tripwire on at once, or off after the wait."""
    if is_on:
        _must_manage(actor, mailbox)
        _set_tripwire(mailbox, off_at=None, actor=actor, at=at)
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


@transaction.atomic
def call_off(*, actor: Actor, change: PendingChange, at: datetime) -> None:
    """Any owner or admin of the organisation may stop a change that waits."""
    actor.must(Capability.MANAGE_MAIL, lineage=change.organisation.lineage)
    _end(change, PendingChange.State.CALLED_OFF, ended_by=actor.name, at=at)
    _record("change.called_off", change=change, actor=actor, at=at)


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
        raise NotWaiting(_GONE)
    change.refresh_from_db()
    _record("change.shortened", change=change, actor=actor, at=at)
    outbox.nudge("mailstore.make_due_changes")


def make_due(*, engine: Engine, at: datetime, limit: int = 100) -> int:
    """Make the changes whose time has come; returns how many. What is stopped goes on waiting."""
    due = PendingChange.objects.waiting().filter(effective_at__lte=at).order_by("effective_at")
    people = due.select_related(
        "organisation__parent", "domain__organisation__parent", "mailbox__organisation__parent"
    )
    return sum(_make(change, engine=engine, at=at) for change in people[:limit])


_GONE = "This change was made or called off already."
# Of these one is enough, whatever it was asked with.
_ONCE = frozenset({Kind.EMPTY_STORE, Kind.CLOSE, Kind.TRIPWIRE})
# Who makes a change that waited is the house, for whoever asked for it.
_HOUSE = system("cooling-off")


def _make(change: PendingChange, *, engine: Engine, at: datetime) -> bool:
    try:
        with transaction.atomic():
            _end(change, PendingChange.State.MADE, ended_by=_HOUSE.name, at=at)
            _MAKERS[Kind(change.kind)](change, engine, at)
            _record("change.made", change=change, actor=_HOUSE, at=at)
    except NotWaiting:
        return False
    except (holding.Stopped, EngineError) as reason:
        PendingChange.objects.filter(pk=change.pk).update(failure=str(reason)[:300])
        return False
    except (policy.RuleRefused, provisioning.WrongState) as refusal:
        with transaction.atomic():
            _end(change, PendingChange.State.FAILED, ended_by=_HOUSE.name, at=at)
            PendingChange.objects.filter(pk=change.pk).update(failure=str(refusal)[:300])
        return False
    return True


def _make_rule(change: PendingChange, _engine: Engine, at: datetime) -> None:
    target = change.mailbox or change.domain or change.organisation
    what = change.what
    if "days" not in what:
        rules.remove_rule(actor=_HOUSE, target=target, folder=what["folder"], at=at)
        return
    rule = policy.Rule(
        folder=what["folder"],
        counted_from=policy.CountedFrom(what["counted_from"]),
        days=what["days"],
        floor_days=what["floor_days"],
        ceiling_days=what["ceiling_days"],
    )
    rules.set_rule(actor=_HOUSE, target=target, rule=rule, at=at)


def _make_window(change: PendingChange, _engine: Engine, at: datetime) -> None:
    _set_window(_mailbox(change), window_days=change.what["window_days"], actor=_HOUSE, at=at)


def _empty_store(change: PendingChange, engine: Engine, at: datetime) -> None:
    search = RemovedSearch(until=datetime.fromisoformat(change.what["until"]))
    purging.plan_for_good(
        actor=_HOUSE, mailbox=_mailbox(change), engine=engine, search=search, at=at
    )


def _close(change: PendingChange, _engine: Engine, at: datetime) -> None:
    mailbox = _mailbox(change)
    holding.refuse_if_held(mailbox)
    grace = timedelta(seconds=change.what["grace_seconds"])
    provisioning.close(actor=_HOUSE, mailbox=mailbox, grace=grace, at=at)


def _switch_tripwire_off(change: PendingChange, _engine: Engine, at: datetime) -> None:
    _set_tripwire(_mailbox(change), off_at=at, actor=_HOUSE, at=at)


_MAKERS: Mapping[Kind, Callable[[PendingChange, Engine, datetime], None]] = {
    Kind.RULE: _make_rule,
    Kind.WINDOW: _make_window,
    Kind.EMPTY_STORE: _empty_store,
    Kind.CLOSE: _close,
    Kind.TRIPWIRE: _switch_tripwire_off,
}


def _mailbox(change: PendingChange) -> Mailbox:
    if change.mailbox is None:
        message = "This change is about a mailbox."
        raise NotWaiting(message)
    return change.mailbox


def _set_window(mailbox: Mailbox, *, window_days: int, actor: Actor, at: datetime) -> None:
    old_days = mailbox.window_days
    # The store is looked at again: what lies in it may be due sooner now.
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=window_days, store_due_at=at)
    mailbox.refresh_from_db(fields=["window_days", "store_due_at"])
    _record_update(mailbox, {"window_days": {"old": old_days, "new": window_days}}, actor, at)


def _set_tripwire(mailbox: Mailbox, *, off_at: datetime | None, actor: Actor, at: datetime) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(tripwire_off_at=off_at)
    mailbox.tripwire_off_at = off_at
    _record_update(mailbox, {"tripwire": "off" if off_at else "on"}, actor, at)


def _record_update(mailbox: Mailbox, data: dict[str, Any], actor: Actor, at: datetime) -> None:
    outbox.record(
        kind="mailbox.updated",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data=data,
    )


@transaction.atomic
def _ask(
    *,
    actor: Actor,
    target: Scope,
    kind: Kind,
    what: dict[str, Any],
    sentence: str,
    wait: timedelta,
    at: datetime,
) -> PendingChange:
    organisation = target.organisation if isinstance(target, Domain | Mailbox) else target
    _must_manage(actor, target)
    same = _waiting_already(organisation, target=target, kind=kind, what=what)
    if same is not None:
        return same
    change = PendingChange.objects.create(
        organisation=organisation,
        domain=target if isinstance(target, Domain) else None,
        mailbox=target if isinstance(target, Mailbox) else None,
        kind=kind,
        what=what,
        sentence=sentence[:500],
        asked_by=actor.name,
        asked_at=at,
        effective_at=at + wait,
    )
    _record("change.asked", change=change, actor=actor, at=at)
    notices.announce(
        organisations=[organisation],
        name="pending_change",
        context={
            "sentence": change.sentence,
            "asked_by": change.asked_by,
            "effective_text": f"{timezone.localtime(change.effective_at):%-d %B %Y, %H:%M} UTC",
        },
        at=at,
    )
    return change


def _waiting_already(
    organisation: Organisation, *, target: Scope, kind: Kind, what: dict[str, Any]
) -> PendingChange | None:
    """The same change, asked for twice: it goes on waiting from when it was asked first."""
    # One at a time, or two who ask at once would both find nothing.
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    waiting = PendingChange.objects.waiting().filter(
        organisation=organisation,
        domain=target if isinstance(target, Domain) else None,
        mailbox=target if isinstance(target, Mailbox) else None,
        kind=kind,
    )
    return next((c for c in waiting if kind in _ONCE or c.what == what), None)


def _must_manage(actor: Actor, target: Scope) -> None:
    organisation = target.organisation if isinstance(target, Domain | Mailbox) else target
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)


def _end(change: PendingChange, state: PendingChange.State, *, ended_by: str, at: datetime) -> None:
    waiting = PendingChange.objects.waiting().filter(pk=change.pk)
    if not waiting.update(state=state, ended_by=ended_by, ended_at=at):
        raise NotWaiting(_GONE)
    change.refresh_from_db(fields=["state", "ended_by", "ended_at"])


def _record(kind: str, *, change: PendingChange, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=change.organisation,
        subject=change.subject,
        data={
            "kind": change.kind,
            "sentence": change.sentence,
            "effective_at": change.effective_at.isoformat(),
            "reason": change.shortening_reason,
        },
    )


def _place(folder: str) -> str:
    return "every folder" if folder == policy.EVERY_FOLDER else folder.lstrip("\\")
