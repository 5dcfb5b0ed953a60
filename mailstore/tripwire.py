"""The tripwire: much mail removed in little time stops everything until the owner answers.

It weighs what the log told of removals by mail programs; our own workers do not appear there.
A POP program that fetches and removes does what POP is for, so only what it removed without
ever fetching counts. Emptying Trash or Junk counts towards the share of the mailbox alone,
or every spring-clean would fire; but what went there within the same minutes counts in full.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, Subquery

from accounts import outbox
from accounts.access import Actor, Capability, system
from mailstore import (
    alarm_letters,
    credentials,
    moves,
    policy,
    recovery,
    thresholds,
    turns,
    unfetched,
)
from mailstore.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    folder_names,
    uids_of,
)
from mailstore.models import (
    Alarm,
    AppPassword,
    Mailbox,
    MessageCopy,
    Removal,
    RestoreRun,
)

logger = logging.getLogger(__name__)

_WORK = "tripwire"
_WATCH = system(_WORK)
# For so long nobody is blamed for what may have been moves.
_TOLD_WITHIN = timedelta(minutes=5)
# A POP session ends as soon as it has removed what it was told to; a mail server that dies in
# between never says so.
_ENDS_WITHIN = timedelta(minutes=1)
# How many a folder may have held that was renamed.
_EVERY = 2**63


class NothingToAnswer(Exception):
    """The alarm was answered already."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What was removed within the time that counts."""

    removals: list[Removal]
    counted: int
    with_passing: int
    held_before: int
    whole_folder: str


def watch(*, engine: Engine, at: datetime, limit: int = 500) -> int:
    """Weigh mailboxes of which the log told something new; returns how many alarms rose.

    So many mailboxes at a time, not rows: one that cannot be asked takes one turn only, however
    much the log told of it.
    """
    unweighed = Removal.objects.filter(is_weighed=False)
    unweighed.filter(mailbox__state=Mailbox.State.CLOSED).update(is_weighed=True)
    oldest = unweighed.filter(mailbox=OuterRef("pk")).order_by("id").values("id")[:1]
    mailboxes = (
        Mailbox.objects.standing()
        .filter(pk__in=unweighed.values("mailbox"))
        .select_related("organisation__parent", "retention_policy", "former_policy")
        .order_by(Subquery(oldest))
    )
    alarms: list[Alarm] = []
    turns.each(
        mailboxes,
        lambda mailbox: alarms.extend(_take_turn(mailbox, engine=engine, at=at)),
        named=_WORK,
        at=at,
        limit=limit,
    )
    return len(alarms)


def _take_turn(mailbox: Mailbox, *, engine: Engine, at: datetime) -> list[Alarm]:
    """Weigh what is new of one mailbox; the alarm that rose, if any."""
    _settle(mailbox, engine=engine, at=at)
    fresh = list(Removal.objects.filter(mailbox=mailbox, is_weighed=False))
    if any(_is_ending(removal, at=at) for removal in fresh) and _are_new(fresh, at=at):
        # The next turn is in seconds, and knows what the session had fetched.
        return []
    alarm = weigh(mailbox=mailbox, engine=engine, at=at)
    for removal in fresh:
        # What the log told meanwhile is weighed next time.
        Removal.objects.filter(pk=removal.pk, messages=removal.messages).filter(
            took_folder=removal.took_folder
        ).update(is_weighed=True)
    return [alarm] if alarm else []


def _is_ending(removal: Removal, *, at: datetime) -> bool:
    is_open = removal.service != "imap" and removal.fetched_bytes is None
    return is_open and _are_new([removal], at=at)


def _are_new(removals: Iterable[Removal], *, at: datetime) -> bool:
    """Whether none has waited for so long that one session after the other could hide it."""
    return all(removal.ended_at > at - _ENDS_WITHIN for removal in removals)


def _settle(mailbox: Mailbox, *, engine: Engine, at: datetime) -> None:
    """Set moves off; what cannot be told from them for long is weighed as removed."""
    try:
        moves.settle(mailbox=mailbox, engine=engine)
    except EngineUnavailable:
        raise
    except EngineError:
        long_ago = Removal.objects.filter(
            mailbox=mailbox, is_weighed=False, ended_at__lte=at - _TOLD_WITHIN
        )
        if not long_ago.exists():
            raise
        logger.exception("Moves within mailbox %s are weighed as removals", mailbox.uuid)


def weigh(*, mailbox: Mailbox, engine: Engine, at: datetime) -> Alarm | None:
    """Fire if what was removed lately is beyond the thresholds; the alarm, or None."""
    if mailbox.tripwire_off_at is not None or mailbox.frozen_at is not None:
        return None
    limits = thresholds.of(mailbox)
    removals = _not_answered(mailbox, limits)
    for window in _windows(removals, limits):
        weight = _weight(mailbox, window, since=removals, limits=limits, engine=engine)
        reason = _reason(weight, limits)
        if reason:
            return _fire(mailbox, weight, reason=reason, at=at)
    return None


def removals_behind(alarm: Alarm, *, limit: int = 100) -> list[Removal]:
    """What the alarm rose for, in the order in which it went."""
    removals = Removal.objects.filter(
        mailbox=alarm.mailbox_id, began_at__gte=alarm.since, messages__gt=0
    )
    return list(removals.filter(began_at__lte=alarm.at).order_by("began_at")[:limit])


@transaction.atomic
def dismiss(*, actor: Actor, alarm: Alarm, at: datetime) -> None:
    """The owner did it: everything goes on as before."""
    _answer(alarm, Alarm.Answer.OWN_DOING, actor=actor, at=at)


def roll_back(*, actor: Actor, alarm: Alarm, engine: Engine, at: datetime) -> RestoreRun:
    """Bring back all that went, and lock out the devices that did it.

    What does not fit, or a restore that is under way, is refused before anything changes.
    """
    mailbox = alarm.mailbox
    with transaction.atomic():
        _answer(alarm, Alarm.Answer.ROLL_BACK, actor=actor, at=at)
        run = recovery.roll_back(
            actor=actor, mailbox=mailbox, engine=engine, moment=alarm.since, at=at
        )
        _lock_out(mailbox, since=alarm.since, actor=actor, at=at)
    return run


def _not_answered(mailbox: Mailbox, limits: thresholds.Thresholds) -> list[Removal]:
    """What was removed since the last answer and could be weighed with something new."""
    removals = Removal.objects.filter(mailbox=mailbox).order_by("ended_at", "pk")
    answered = Alarm.objects.filter(mailbox=mailbox).exclude(answered_at=None)
    last_answer = answered.order_by("answered_at").last()
    if last_answer is not None:
        removals = removals.filter(ended_at__gt=last_answer.answered_at)
    first_new = removals.filter(is_weighed=False).first() or removals.last()
    if first_new is None:
        return []
    return list(
        removals.filter(ended_at__gte=first_new.ended_at - timedelta(minutes=limits.minutes))
    )


def _windows(removals: Sequence[Removal], limits: thresholds.Thresholds) -> Iterator[list[Removal]]:
    """All that was removed within the time that counts, wherever that begins.

    The last minutes alone would not do: a thief who stays silent until the log is read again,
    or until a worker is back, would have removed nothing in them.
    """
    time = timedelta(minutes=limits.minutes)
    for number, last in enumerate(removals):
        window = [r for r in removals[: number + 1] if r.ended_at >= last.ended_at - time]
        following = removals[number + 1] if number + 1 < len(removals) else None
        # What the next window holds as well is weighed there.
        if following is None or window[0].ended_at < following.ended_at - time:
            yield window


def _weight(
    mailbox: Mailbox,
    window: list[Removal],
    *,
    since: Sequence[Removal],
    limits: thresholds.Thresholds,
    engine: Engine,
) -> Weight:
    fewest = limits.fewest
    by_imap = [removal for removal in window if removal.service == "imap"]
    lasting = [r for r in by_imap if not policy.is_passing(r.folder)]
    passing = [r for r in by_imap if policy.is_passing(r.folder)]
    by_pop = [removal for removal in window if removal.service != "imap"]
    by_pop_unfetched = (
        unfetched.count(mailbox, by_pop, engine=engine) if _sum(by_pop) >= fewest else 0
    )
    later = [removal for removal in since if removal.ended_at > window[-1].ended_at]
    with_passing = _sum(by_imap) + by_pop_unfetched
    # The mail server's own report of use may be seconds old, and this is about seconds.
    left = _left(mailbox, engine=engine) if with_passing >= fewest else {}
    return Weight(
        removals=window,
        counted=_sum(lasting) + _passed_through(mailbox, passing, limits) + by_pop_unfetched,
        with_passing=with_passing,
        # What was fetched and removed counts for nothing, and yet was part of the mailbox.
        held_before=sum(left.values()) + _sum(window) + _sum(later),
        whole_folder=_whole_folder(lasting, left, fewest=fewest),
    )


def _passed_through(
    mailbox: Mailbox, removals: Sequence[Removal], limits: thresholds.Thresholds
) -> int:
    """How many were removed from folders into which they had been put within the same time."""
    removed: Counter[str] = Counter()
    for removal in removals:
        removed[removal.folder] += removal.messages
    if not removed:
        return 0
    last = max(removal.ended_at for removal in removals)
    return (removed & _came_to_pass(mailbox, last=last, limits=limits)).total()


def _came_to_pass(
    mailbox: Mailbox, *, last: datetime, limits: thresholds.Thresholds
) -> Counter[str]:
    """How many messages came into each passing folder from where mail lasts, by whatever stops.

    The log tells of minutes, of which the first counts as a whole.
    """
    first = (last - timedelta(minutes=limits.minutes)).replace(second=0, microsecond=0)
    copies = MessageCopy.objects.filter(mailbox=mailbox, made_at__range=(first, last))
    came: Counter[str] = Counter()
    for copy in sorted(copies, key=lambda each: (each.made_at, policy.is_passing(each.origin))):
        if policy.is_passing(copy.folder):
            messages = _EVERY if copy.is_rename else len(uids_of(copy.uids))
            if policy.is_passing(copy.origin):
                messages = min(messages, came[copy.origin])
            came[copy.folder] += messages
    return came


def _left(mailbox: Mailbox, *, engine: Engine) -> Counter[str]:
    """How many messages each folder still has, by its name as the log shows it."""
    left: Counter[str] = Counter()
    for found in engine.folder_usage(user=mailbox.address):
        left[folder_names.shown(found.folder)] += found.messages
    return left


def _sum(removals: Iterable[Removal]) -> int:
    return sum(removal.messages for removal in removals)


def _whole_folder(lasting: Sequence[Removal], left: Mapping[str, int], *, fewest: int) -> str:
    """A folder of which nothing is left, or nothing."""
    by_folder: Counter[str] = Counter()
    for removal in lasting:
        by_folder[removal.folder] += removal.messages
    emptied = (folder for folder, messages in by_folder.items() if messages >= fewest)
    return min((folder for folder in emptied if not left.get(folder)), default="")


def _reason(weight: Weight, limits: thresholds.Thresholds) -> str:
    if weight.counted >= limits.messages:
        return f"{weight.counted} messages were removed within {limits.minutes} minutes."
    if weight.with_passing < limits.fewest:
        return ""
    if weight.with_passing * 100 >= limits.percent * weight.held_before:
        share = weight.with_passing * 100 // weight.held_before
        return f"{share} % of the mailbox was removed within {limits.minutes} minutes."
    if weight.whole_folder:
        return f"The whole folder {weight.whole_folder} was removed."
    return ""


@transaction.atomic
def _fire(mailbox: Mailbox, weight: Weight, *, reason: str, at: datetime) -> Alarm | None:
    frozen = Mailbox.objects.standing().filter(pk=mailbox.pk, frozen_at__isnull=True)
    if not frozen.update(frozen_at=at, sessions_end_asked_at=at):
        return None
    mailbox.refresh_from_db(fields=["frozen_at", "sessions_end_asked_at"])
    alarm = Alarm.objects.create(
        mailbox=mailbox,
        at=at,
        since=min(removal.began_at for removal in weight.removals),
        messages=sum(removal.messages for removal in weight.removals),
        bytes=sum(removal.bytes for removal in weight.removals),
        reason=reason[:300],
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)
    _record("tripwire.fired", alarm=alarm, actor=_WATCH, at=at)
    owners_told = alarm_letters.tell(alarm, at=at)
    Alarm.objects.filter(pk=alarm.pk).update(owners_told=owners_told)
    return alarm


def _answer(alarm: Alarm, answer: Alarm.Answer, *, actor: Actor, at: datetime) -> None:
    mailbox = alarm.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    waiting = Alarm.objects.open().filter(pk=alarm.pk)
    if not waiting.update(answer=answer, answered_at=at, answered_by=actor.name):
        message = "This alarm was answered already."
        raise NothingToAnswer(message)
    alarm.refresh_from_db(fields=["answer", "answered_at", "answered_by"])
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=None, retention_due_at=None)
    mailbox.refresh_from_db(fields=["frozen_at", "retention_due_at"])
    _record("tripwire.answered", alarm=alarm, actor=actor, at=at)


def _lock_out(mailbox: Mailbox, *, since: datetime, actor: Actor, at: datetime) -> None:
    """Revoke what the removals were made with; nothing else has to be set up again."""
    removals = Removal.objects.filter(mailbox=mailbox, ended_at__gte=since)
    devices = set(removals.values_list("device", flat=True))
    for password in AppPassword.objects.filter(mailbox=mailbox, revoked_at=None):
        if password.uuid.hex in devices:
            password.mailbox = mailbox
            credentials.revoke(actor=actor, app_password=password, at=at)
    if "-" in devices and mailbox.password_hash:
        credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="", at=at)


def _record(kind: str, *, alarm: Alarm, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=alarm.mailbox.organisation,
        subject=alarm.mailbox.subject,
        data={
            "alarm": str(alarm.uuid),
            "messages": alarm.messages,
            "bytes": alarm.bytes,
            "reason": alarm.reason,
            "answer": alarm.answer,
        },
    )
