"""Another plan for a mailbox, and the other protocol: what changes at once, and what follows.

Sign-in changes with the commit of the row. The mail server follows: sessions end, folders are
made, and the marks of what was read are put right. Nothing is removed by it.

Nothing gets less safe at once either. Of the old and the new policy the later day holds, and
the longer window, until the change has cooled off.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts import outbox, spans
from accounts.access import Actor, Capability
from mailstore import (
    cooling,
    ending,
    holding,
    policy,
    provisioning,
    quotas,
    retention,
    retrievals,
    rules,
    thresholds,
    working,
)
from mailstore.engine import Engine, EngineError, EngineUnavailable, FolderUsage
from mailstore.models import (
    Mailbox,
    ProtocolSwitch,
    PurgeRun,
    RestoreRun,
    RetentionPolicy,
    WorkState,
)

logger = logging.getLogger(__name__)

_STANDING = (Mailbox.State.PENDING, Mailbox.State.ACTIVE, Mailbox.State.SUSPENDED)
_LEASE = timedelta(minutes=2)
INBOX = "INBOX"
# What nobody wants to find among new mail.
_LEFT_BEHIND = frozenset({"\\Junk", "\\Trash"})


class BelowUse(Exception):
    """The mailbox holds more than it could; `excess_bytes` must go first."""

    def __init__(self, *, mailbox: Mailbox, quota_bytes: int, used_bytes: int) -> None:
        self.excess_bytes = used_bytes - quota_bytes
        text = quotas.byte_text
        super().__init__(
            f"{mailbox} holds {text(used_bytes)}, and there would be {text(quota_bytes)}. "
            f"Remove {text(self.excess_bytes)} first (exactly {self.excess_bytes} B)."
        )


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a mailbox gets, in plain values. Without a policy, that of the protocol holds."""

    protocol: str
    quota_bytes: int
    window_days: int
    retention_policy: RetentionPolicy | None

    @property
    def policy(self) -> RetentionPolicy:
        """The policy that holds under these terms."""
        return self.retention_policy or RetentionPolicy.objects.get(slug=self.protocol)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What terms mean for a mailbox, and what of it waits because it makes mail less safe."""

    terms: Terms
    is_switch: bool
    window_waits: bool
    # What the policies say: their rules, and when the tripwire fires.
    rules_wait: bool

    @property
    def waits(self) -> bool:
        """Whether anything gets less safe."""
        return self.window_waits or self.rules_wait


def foresee(*, mailbox: Mailbox, terms: Terms) -> Effect:
    """What would change.

    Raises `BelowUse`, `provisioning.WrongState` and, for a frozen mailbox, `holding.Stopped`. A
    hold stops removal, and this removes nothing; what gets less safe waits until it is released.
    """
    if mailbox.state not in _STANDING:
        message = f"{mailbox} is closing. Open it again first."
        raise provisioning.WrongState(message)
    if mailbox.frozen_at is not None:
        holding.refuse_if_stopped(mailbox)
    used_bytes = quotas.used(mailbox)
    if used_bytes > terms.quota_bytes:
        raise BelowUse(mailbox=mailbox, quota_bytes=terms.quota_bytes, used_bytes=used_bytes)
    # Whoever comes back before the wait was over finds what there was.
    comes_back = terms.policy.pk == mailbox.former_policy_id
    return Effect(
        terms=terms,
        is_switch=terms.protocol != mailbox.protocol,
        window_waits=terms.window_days < mailbox.window_days,
        rules_wait=not comes_back
        and (
            rules.is_plan_less_safe(mailbox=mailbox, plan=terms.policy, protocol=terms.protocol)
            or _fires_later(mailbox, terms)
        ),
    )


def _fires_later(mailbox: Mailbox, terms: Terms) -> bool:
    """Whether some removal would ring the tripwire now and not under these terms."""
    moved = retention.under_plan(mailbox, plan=terms.policy, protocol=terms.protocol)
    return thresholds.of(moved).is_weaker_than(thresholds.of(mailbox))


@transaction.atomic
def change_terms(
    *,
    actor: Actor,
    mailbox: Mailbox,
    terms: Terms,
    gathers: bool = False,
    keeps_fetches: bool = False,
    wait: timedelta,
    at: datetime,
    now: datetime,
) -> Effect:
    """Give a mailbox other terms; raises what `foresee` raises.

    What waits does so by the clock that `at` is of, and `now` is what time it really is: sessions
    end and mailboxes are full by that one. `gathers` moves mail of folders that POP does not show
    into the inbox. `keeps_fetches` lets what a program fetched before still count: for whoever
    only tried the other protocol.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    locked = holding.lock(mailbox)
    effect = foresee(mailbox=locked, terms=terms)
    cooling.withdraw_plan(actor=actor, mailbox=locked, at=at)
    former = locked.former_policy or retention.policy_of(locked)
    Mailbox.objects.filter(pk=locked.pk).update(
        protocol=terms.protocol,
        retention_policy=terms.retention_policy,
        former_policy=former if effect.rules_wait else None,
        retention_due_at=None,
    )
    if effect.is_switch:
        _switch(
            locked,
            terms,
            gathers=gathers,
            keeps_fetches=keeps_fetches,
            actor=actor,
            at=at,
            now=now,
        )
    _follow_terms(locked, effect, actor=actor, wait=wait, at=at, now=now)
    mailbox.refresh_from_db()
    return effect


def follow_open(*, engine: Engine, at: datetime, limit: int = 100) -> int:
    """Have the mail server follow switches, oldest first; returns how many it has followed."""
    waiting = ProtocolSwitch.objects.open().filter(_free(at)).select_related("mailbox")
    followed = 0
    for switch in waiting.order_by("id")[:limit]:
        try:
            followed += follow(switch=switch, engine=engine, at=at)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server did not follow switch %s", switch.pk)
    return followed


def follow(*, switch: ProtocolSwitch, engine: Engine, at: datetime) -> bool:
    """Make the mail server's side equal to the row; False if that is not to be done now.

    Killed anywhere, the next call does it all again, which changes nothing twice. Switches of
    one mailbox are followed one after the other, each to where the mailbox is by then.
    """
    mine = ProtocolSwitch.objects.open().filter(_free(at), pk=switch.pk)
    earlier = ProtocolSwitch.objects.open().filter(mailbox=switch.mailbox, pk__lt=switch.pk)
    if earlier.exists() or not mine.update(lease_until=at + _LEASE):
        return False
    mailbox = Mailbox.objects.get(pk=switch.mailbox_id)
    try:
        is_done = _is_at_rest(mailbox) and _followed(switch, mailbox, engine=engine, at=at)
    except EngineError as error:
        _release(switch, failure=str(error)[:300])
        raise
    _release(switch, **({"done_at": at, "failure": ""} if is_done else {}))
    return is_done


def out_of_sight(found: Iterable[FolderUsage]) -> list[FolderUsage]:
    """The folders with mail that no POP program shows."""
    return [folder for folder in found if folder.folder != INBOX and folder.messages]


def is_left_behind(folder: str) -> bool:
    """Whether a folder's mail stays where it is even if the others' moves into the inbox."""
    return policy.special_use(folder) in _LEFT_BEHIND


def _give_up_rest(locked: Mailbox, *, at: datetime) -> None:
    """Other rules hold now: what was let go before, and nobody has begun to remove, stays."""
    ending.give_up_rest(mailbox=locked, kinds=[PurgeRun.Kind.RETENTION], at=at)


def _switch(
    mailbox: Mailbox,
    terms: Terms,
    *,
    gathers: bool,
    keeps_fetches: bool,
    actor: Actor,
    at: datetime,
    now: datetime,
) -> None:
    switch = ProtocolSwitch.objects.create(
        mailbox=mailbox, protocol=terms.protocol, at=at, by=actor.name, gathers=gathers
    )
    retrievals.forget_doubtful(mailbox)
    if terms.protocol == Mailbox.Protocol.POP and not keeps_fetches:
        retrievals.forget(mailbox)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        sessions_end_asked_at=now, retrievals_asked_at=None
    )
    _give_up_rest(mailbox, at=at)
    outbox.record(
        kind="mailbox.protocol_switched",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={"old": mailbox.protocol, "new": terms.protocol},
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)
    outbox.nudge("mailstore.follow_switch", switch_id=switch.pk)


def _follow_terms(
    mailbox: Mailbox,
    effect: Effect,
    *,
    actor: Actor,
    wait: timedelta,
    at: datetime,
    now: datetime,
) -> None:
    terms = effect.terms
    if terms.quota_bytes != mailbox.quota_bytes:
        quotas.change_limit(
            actor=actor, mailbox=mailbox, quota_bytes=terms.quota_bytes, at=at, now=now
        )
    if terms.window_days > mailbox.window_days:
        cooling.ask_window(
            actor=actor, mailbox=mailbox, window_days=terms.window_days, wait=wait, at=at, now=now
        )
    if effect.waits:
        cooling.ask_plan(
            actor=actor,
            mailbox=mailbox,
            window_days=terms.window_days,
            sentence=_sentence(mailbox, effect),
            wait=wait,
            at=at,
        )


def _sentence(mailbox: Mailbox, effect: Effect) -> str:
    days = min(effect.terms.window_days, mailbox.window_days)
    rules_text = f" and the rules of {effect.terms.policy} decide how long mail stays"
    return (
        f"{mailbox} gets the protection of its new plan: removed mail can be brought back for "
        f"{days} days{rules_text if effect.rules_wait else ''}."
    )


def _is_at_rest(mailbox: Mailbox) -> bool:
    """A restore that has begun puts mail back as what it was; it ends first."""
    running = RestoreRun.objects.filter(mailbox=mailbox, state=WorkState.RUNNING)
    return not running.exists()


def _followed(switch: ProtocolSwitch, mailbox: Mailbox, *, engine: Engine, at: datetime) -> bool:
    if mailbox.state == Mailbox.State.CLOSED:
        return True
    provisioning.end_sessions(mailbox=mailbox, engine=engine, at=at)
    with transaction.atomic():
        # What was planned by a look from before the switch.
        _give_up_rest(holding.lock(mailbox), at=at)
    if mailbox.is_imap:
        engine.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
        engine.bring_reads_back(user=mailbox.address)
        return True
    if switch.gathers:
        _gather(mailbox, engine=engine)
    seen = engine.messages(user=mailbox.address, folder=INBOX, retrieved=True)
    known = retrievals.fetched(mailbox=mailbox, engine=engine)
    aside = [message.uid for message in seen if message.uid not in known]
    for uids in _parts(aside):
        engine.set_reads_aside(user=mailbox.address, uids=uids)
    # What was fetched since the commit is looked at once more, now that it counts.
    Mailbox.objects.filter(pk=mailbox.pk).update(retrievals_asked_at=at)
    return True


def _gather(mailbox: Mailbox, *, engine: Engine) -> None:
    """Into the inbox, each message once: one that lies there already goes to the store."""
    user = mailbox.address
    there = {message.guid for message in engine.messages(user=user, folder=INBOX)}
    for hidden in out_of_sight(engine.folder_usage(user=user)):
        if is_left_behind(hidden.folder):
            continue
        found = engine.messages(user=user, folder=hidden.folder)
        for uids in _parts([message.uid for message in found if message.guid in there]):
            engine.remove(user=user, folder=hidden.folder, uids=uids)
        for uids in _parts([message.uid for message in found if message.guid not in there]):
            engine.gather(user=user, folder=hidden.folder, uids=uids)


def _parts(uids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(uids), working.BATCH_MESSAGES):
        yield uids[start : start + working.BATCH_MESSAGES]


def _free(at: datetime) -> Q:
    """Nobody is at it, as far as its lease says."""
    return ~spans.lasts("lease_until", at=at, longest=_LEASE)


def _release(switch: ProtocolSwitch, **said: object) -> None:
    ProtocolSwitch.objects.open().filter(pk=switch.pk).update(lease_until=None, **said)
