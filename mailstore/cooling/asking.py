"""Asking for a change: at once where it raises safety, else as a row that waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import (
    checking,
    holding,
    policy,
    provisioning,
    recovery,
    rules,
    standing,
    thresholds,
)
from mailstore.cooling import changes, switches, telling, wording
from mailstore.cooling.changes import NotWaiting
from mailstore.engine import Engine
from mailstore.models import Mailbox, PendingChange, RetentionPolicy

Kind = PendingChange.Kind
# Of these one is enough, whatever it was asked with.
_ONCE = frozenset({Kind.EMPTY_STORE, Kind.CLOSE, Kind.CLOSE_ALL, Kind.TRIPWIRE})
# Of these one holds at a time, so the later wish is the one that counts.
_SETTINGS = frozenset({Kind.RULE, Kind.WINDOW, Kind.TRIPWIRE, Kind.THRESHOLDS, Kind.PLAN})


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
    now: datetime,
    is_new_folder: bool = False,
) -> PendingChange | None:
    """Set a rule, at once if no mail goes sooner by it; otherwise the change that waits.

    `at` is by the clock of whose rule it is, and `now` what time it really is: mail gets older by
    that one. `is_new_folder` is said for a folder that no mailbox has yet.
    """
    rules.must_manage(actor, target)
    checking.check_rule(
        target=target, rule=rule, engine=engine, at=now, is_new_folder=is_new_folder
    )
    with transaction.atomic():
        earlier = changes.waiting_for(target, Kind.RULE, folder=rule.folder)
        if not rules.is_less_safe(target=target, rule=rule):
            changes.replace(earlier, actor=actor, at=at)
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
            "is_new_folder": is_new_folder,
        },
        sentence=wording.of_rule(rule, owner=str(target)),
        below=wording.of_rule(rule, owner=wording.owner_below(target)),
        wait=wait,
        at=at,
    )


def ask_rule_removal(
    *,
    actor: Actor,
    target: rules.Target,
    folder: str,
    engine: Engine,
    wait: timedelta,
    at: datetime,
    now: datetime,
) -> PendingChange | None:
    """Take a rule away, at once if no mail goes sooner by it; `now` is as for `ask_rule`."""
    rules.must_manage(actor, target)
    with transaction.atomic():
        earlier = changes.waiting_for(target, Kind.RULE, folder=folder)
        if not rules.is_less_safe(target=target, rule=None, folder=folder):
            changes.replace(earlier, actor=actor, at=at)
            rules.remove_rule(actor=actor, target=target, folder=folder, at=at)
            return None
    checking.check_removal(target=target, folder=folder, engine=engine, at=now)
    return _ask(
        actor=actor,
        target=target,
        kind=Kind.RULE,
        what={"folder": folder},
        sentence=wording.of_rule_removal(folder, owner=str(target)),
        below=wording.of_rule_removal(folder, owner=wording.owner_below(target)),
        wait=wait,
        at=at,
    )


def ask_window(
    *,
    actor: Actor,
    mailbox: Mailbox,
    window_days: int,
    wait: timedelta,
    at: datetime,
    now: datetime,
) -> PendingChange | None:
    """Change for how long removed mail can be brought back; longer holds at once.

    `now` is as for `ask_rule`.
    """
    if not 1 <= window_days <= policy.LONGEST_DAYS:
        message = f"Days are a whole number from 1 to {policy.LONGEST_DAYS}."
        raise policy.RuleRefused(message)
    rules.must_manage(actor, mailbox)
    with transaction.atomic():
        earlier = changes.waiting_for(mailbox, Kind.WINDOW)
        if window_days >= mailbox.window_days:
            changes.replace(earlier, actor=actor, at=at)
            switches.set_window(mailbox, window_days=window_days, actor=actor, at=at, now=now)
            return None
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.WINDOW,
        what={"window_days": window_days, "instead_of": mailbox.window_days},
        sentence=f"Removed mail of {mailbox} can be brought back for {window_days} days only.",
        wait=wait,
        at=at,
    )


def ask_to_empty_store(
    *, actor: Actor, mailbox: Mailbox, until: datetime, wait: timedelta, at: datetime
) -> PendingChange:
    """Destroy what was removed until a moment, by the real time. Never under a hold."""
    holding.refuse_if_stopped(mailbox)
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.EMPTY_STORE,
        what={"until": until.isoformat()},
        sentence=f"All removed mail of {mailbox} is destroyed.",
        wait=wait,
        at=at,
    )


def ask_to_destroy(
    *,
    actor: Actor,
    mailbox: Mailbox,
    engine: Engine,
    chosen: Iterable[tuple[str, int]],
    wait: timedelta,
    at: datetime,
) -> PendingChange:
    """Destroy removed messages, each named by its folder and its uid in the store.

    Never under a hold. Raises `recovery.NothingToRestore` if none of them is there.
    """
    rules.must_manage(actor, mailbox)
    holding.refuse_if_stopped(mailbox)
    found = recovery.find(mailbox=mailbox, engine=engine, chosen=chosen)
    if not found:
        message = "What was chosen is not there any more."
        raise recovery.NothingToRestore(message)
    count = "1 removed message" if len(found) == 1 else f"{len(found)} removed messages"
    return _ask(
        actor=actor,
        target=mailbox,
        kind=Kind.DESTROY,
        what={"messages": sorted([one.folder, one.uid, one.guid] for one in found)},
        sentence=f"{count} of {mailbox} {'is' if len(found) == 1 else 'are'} destroyed.",
        wait=wait,
        at=at,
    )


def ask_to_close(
    *, actor: Actor, mailbox: Mailbox, grace: timedelta, wait: timedelta, at: datetime
) -> PendingChange:
    """Close the mailbox. Never under a hold, nor while it is frozen.

    Raises `provisioning.WrongState` if it closes.
    """
    holding.refuse_if_kept(mailbox)
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
        rules.must_manage(actor, mailbox)
        with transaction.atomic():
            earlier = changes.waiting_for(mailbox, Kind.TRIPWIRE)
            changes.replace(earlier, actor=actor, at=at)
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
    fewest: int | None,
    wait: timedelta,
    at: datetime,
) -> PendingChange | None:
    """Change when the tripwire fires, at once unless it fires later or less often by it.

    For a mailbox, None means what its policy says. Raises `thresholds.ThresholdsRefused`.
    """
    what = {"messages": messages, "percent": percent, "minutes": minutes, "fewest": fewest}
    rules.must_manage(actor, target)
    with transaction.atomic():
        earlier = changes.waiting_for(target, Kind.THRESHOLDS)
        new, old = thresholds.completed(target, **what), thresholds.of(target)
        if not new.is_weaker_than(old):
            changes.replace(earlier, actor=actor, at=at)
            switches.set_thresholds(target, **what, actor=actor, at=at)
            return None
    return _ask(
        actor=actor,
        target=target,
        kind=Kind.THRESHOLDS,
        what=what,
        sentence=wording.of_thresholds(new, owner=str(target)),
        below=wording.of_thresholds(new, owner=wording.owner_below(target)),
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
    """Whoever manages mail where it was asked for, or above, may stop a change that waits.

    Those below are told of it, and keep their own mail longer by what they set themselves:
    one customer does not decide for all the others of a reseller.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=change.organisation.lineage)
    changes.end(change, PendingChange.State.CALLED_OFF, ended_by=actor.name, at=at)
    changes.record("change.called_off", change=change, actor=actor, at=at)


@transaction.atomic
def shorten(*, actor: Actor, change: PendingChange, reason: str, at: datetime) -> None:
    """Staff let a change take effect now; the reason stays with it."""
    refusal = "Only operators of the house shorten the wait."
    actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
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
    below: str = "",
) -> PendingChange:
    rules.must_manage(actor, target)
    earlier = changes.waiting_for(target, kind, folder=what.get("folder", ""))
    # The same, asked for twice, goes on waiting from when it was asked first.
    same = next((c for c in earlier if kind in _ONCE or c.what == what), None)
    if same is not None:
        return same
    if kind in _SETTINGS:
        changes.replace(earlier, actor=actor, at=at)
    change = PendingChange.objects.create(
        **changes.place_of(target),
        kind=kind,
        what=what,
        sentence=sentence[:500],
        asked_by=actor.name,
        asked_at=at,
        effective_at=at + wait,
    )
    changes.record("change.asked", change=change, actor=actor, at=at)
    telling.announce(change, target=target, below=below, at=at)
    return change
