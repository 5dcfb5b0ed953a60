"""What POP programs have fetched, and when that was noticed; rules count from there.

The mail server marks a message as seen when it begins to send it. So what a session marked that
broke off counts as fetched no more: its last messages may never have arrived, and nobody knows
which they are. A program that lacks them fetches them again, and then they count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from mailstore import holding
from mailstore.engine import Engine, uid_set, uids_of
from mailstore.models import FetchDoubt, Mailbox, ProtocolSwitch, Retrieval

# The log tells of the end of a session before its marks are written, and tells whole seconds.
_MARKS_WITHIN = timedelta(minutes=1)
_LOG_TELLS = timedelta(seconds=1)
# As many messages are unmarked in one request.
_AT_ONCE = 5000

# When each message was first seen to be fetched: by its uid, for each UIDVALIDITY of the inbox.
Marks = dict[int, dict[int, datetime]]


def note(*, mailbox: Mailbox, engine: Engine, at: datetime) -> int:
    """Remember which messages of the inbox were fetched by now; returns how many are new.

    Only where seen means fetched: in a POP mailbox, once a switch to it is through. In an IMAP
    mailbox a person has read what is seen, and no program may have a copy.
    """
    before = _switches(mailbox)
    if not _is_seen_fetched(mailbox):
        return 0
    began = time.monotonic()
    doubt = FetchDoubt.objects.filter(mailbox=mailbox).first()
    if doubt is not None:
        settle(doubt, engine=engine, at=at)
        return 0
    validity = _inbox_validity(mailbox, engine)
    found = engine.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    with transaction.atomic():
        # One worker at a time, or both would note the same messages.
        locked = holding.lock(mailbox)
        if not _is_seen_fetched(locked) or _switches(mailbox) != before:
            return 0
        if FetchDoubt.objects.filter(mailbox=mailbox).exists():
            return 0
        known = _noted(mailbox, validity)
        new = [message.uid for message in found if message.uid not in known]
        if new:
            # The moment after the look: what was marked later is not among them.
            noted_at = at + timedelta(seconds=int(time.monotonic() - began))
            Retrieval.objects.create(
                mailbox=mailbox, uidvalidity=validity, uids=uid_set(new), at=noted_at
            )
            Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)
    return len(new)


def settle(doubt: FetchDoubt, *, engine: Engine, at: datetime) -> None:
    """Have nothing count as fetched that was marked since the first of the sessions broke off.

    Those of the last moments have their turn later, when their marks are there for certain.
    """
    mailbox, ripe = doubt.mailbox, at - _MARKS_WITHIN
    if doubt.since > ripe:
        return
    validity = _inbox_validity(mailbox, engine)
    found = engine.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    sound = _noted(mailbox, validity, before=doubt.since - _LOG_TELLS)
    doubtful = [message.uid for message in found if message.uid not in sound]
    for start in range(0, len(doubtful), _AT_ONCE):
        part = doubtful[start : start + _AT_ONCE]
        engine.set_reads_aside(user=mailbox.address, uids=part, as_begun=True)
    with transaction.atomic():
        holding.lock(mailbox)
        # What the log told meanwhile of sessions before these has its turn next.
        same = FetchDoubt.objects.filter(mailbox=mailbox, since=doubt.since)
        if not same.exists():
            return
        _noted_since(doubt).delete()
        if not same.filter(until__gt=ripe).update(since=ripe):
            same.delete()
        Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)


def forget_doubtful(mailbox: Mailbox) -> None:
    """The same without a look, where what is seen says no more what was fetched."""
    for doubt in FetchDoubt.objects.filter(mailbox=mailbox):
        _noted_since(doubt).delete()
        doubt.delete()


def _noted_since(doubt: FetchDoubt) -> QuerySet[Retrieval]:
    since = doubt.since - _LOG_TELLS
    return Retrieval.objects.filter(mailbox=doubt.mailbox_id, at__gte=since)


def unsettled() -> Q:
    """POP mailboxes in which a session broke off whose marks still count."""
    doubts = FetchDoubt.objects.filter(mailbox=OuterRef("pk"))
    return Q(Exists(doubts), protocol=Mailbox.Protocol.POP)


def forget(mailbox: Mailbox) -> None:
    """From here on nothing counts as fetched until a program fetches it."""
    Retrieval.objects.filter(mailbox=mailbox).delete()


def fetched(*, mailbox: Mailbox, engine: Engine) -> frozenset[int]:
    """The uids of the inbox that were noted as fetched."""
    validity = _inbox_validity(mailbox, engine)
    return frozenset(_noted(mailbox, validity))


def noted_each(mailboxes: Sequence[Mailbox], *, before: datetime | None = None) -> dict[int, Marks]:
    """When each message was first seen to be fetched, by the keys of the mailboxes."""
    marks: dict[int, Marks] = {}
    if mailboxes:
        rows = Retrieval.objects.filter(mailbox__in=mailboxes)
        for noted in (rows.filter(at__lt=before) if before else rows).order_by("-at"):
            of_mailbox = marks.setdefault(noted.mailbox_id, {})
            of_folder = of_mailbox.setdefault(noted.uidvalidity, {})
            of_folder.update(dict.fromkeys(uids_of(noted.uids), noted.at))
    return marks


def _noted(
    mailbox: Mailbox, validity: int, *, before: datetime | None = None
) -> dict[int, datetime]:
    return noted_each([mailbox], before=before).get(mailbox.pk, {}).get(validity, {})


def _inbox_validity(mailbox: Mailbox, engine: Engine) -> int:
    states = engine.folder_states(user=mailbox.address)
    return next((s.uidvalidity for s in states if s.folder == "INBOX"), 0)


def _is_seen_fetched(mailbox: Mailbox) -> bool:
    fresh = Mailbox.objects.filter(pk=mailbox.pk, protocol=Mailbox.Protocol.POP)
    return fresh.exists() and not ProtocolSwitch.objects.open().filter(mailbox=mailbox).exists()


def _switches(mailbox: Mailbox) -> int:
    return ProtocolSwitch.objects.filter(mailbox=mailbox).count()
