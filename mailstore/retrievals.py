"""What POP programs have fetched, and when that was noticed; rules count from there.

The mail server marks a message as seen when it begins to send it. So what a session marked that
broke off counts as fetched no more: its last messages may never have arrived, and nobody knows
which they are. A program that lacks them fetches them again, and then they count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from mailstore import holding
from mailstore.engine import Engine, StoredMessage, uid_set, uids_of
from mailstore.models import CutOffSession, Mailbox, ProtocolSwitch, Retrieval

# A session that breaks off leaves its marks around the moment that the log tells.
_MARKS_WITHIN = timedelta(seconds=5)
# A look may be so much later than the moment under which it is noted.
_LOOKS_WITHIN = timedelta(minutes=1)
# A program removes by then what it fetched in a session that broke off.
REMOVED_WITHIN = timedelta(days=7)
# As many messages are unmarked in one request.
_AT_ONCE = 5000

# When each message was first seen to be fetched: by its uid, for each UIDVALIDITY of the inbox.
Marks = dict[int, dict[int, datetime]]


def note(*, mailbox: Mailbox, engine: Engine, at: datetime) -> int:
    """Remember which messages of the inbox were fetched by now; returns how many are new.

    Only where seen means fetched: in a POP mailbox, once a switch to it is through. In an IMAP
    mailbox a person has read what is seen, and no program may have a copy.
    """
    before = _switches(mailbox), _cut_off(mailbox)
    if not _is_seen_fetched(mailbox):
        return 0
    if any(session.ended_at > at - _MARKS_WITHIN for session in before[1]):
        # It asks again, and is looked at once the marks are there.
        return 0
    validity = _inbox_validity(mailbox, engine)
    found = engine.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    with transaction.atomic():
        # One worker at a time, or both would note the same messages.
        locked = holding.lock(mailbox)
        if not _is_seen_fetched(locked) or (_switches(mailbox), _cut_off(mailbox)) != before:
            return 0
        if before[1]:
            _doubt(mailbox, validity, found, sessions=before[1], engine=engine, at=at)
            return 0
        known = _noted(mailbox, validity)
        new = [message.uid for message in found if message.uid not in known]
        if new:
            Retrieval.objects.create(
                mailbox=mailbox, uidvalidity=validity, uids=uid_set(new), at=at
            )
            Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)
    return len(new)


def _cut_off(mailbox: Mailbox) -> list[CutOffSession]:
    """Sessions whose marks still count."""
    return list(CutOffSession.objects.filter(mailbox=mailbox, is_settled=False).order_by("pk"))


def _doubt(
    mailbox: Mailbox,
    validity: int,
    found: Sequence[StoredMessage],
    *,
    sessions: Sequence[CutOffSession],
    engine: Engine,
    at: datetime,
) -> None:
    """Have nothing count as fetched that was marked since the first of the sessions broke off."""
    since = min(session.ended_at for session in sessions) - _LOOKS_WITHIN
    Retrieval.objects.filter(mailbox=mailbox, at__gte=since).delete()
    known = _noted(mailbox, validity)
    doubtful = [message.uid for message in found if message.uid not in known]
    for start in range(0, len(doubtful), _AT_ONCE):
        part = doubtful[start : start + _AT_ONCE]
        engine.set_reads_aside(user=mailbox.address, uids=part)
    known_of = CutOffSession.objects.filter(mailbox=mailbox)
    known_of.filter(pk__in=[session.pk for session in sessions]).update(is_settled=True)
    known_of.filter(is_settled=True, ended_at__lt=at - REMOVED_WITHIN).delete()
    Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)


def unsettled() -> Q:
    """Mailboxes in which a session broke off whose marks still count."""
    sessions = CutOffSession.objects.filter(mailbox=OuterRef("pk"), is_settled=False)
    return Q(Exists(sessions), protocol=Mailbox.Protocol.POP)


def forget(mailbox: Mailbox) -> None:
    """From here on nothing counts as fetched until a program fetches it."""
    Retrieval.objects.filter(mailbox=mailbox).delete()


def fetched(*, mailbox: Mailbox, engine: Engine) -> frozenset[int]:
    """The uids of the inbox that were noted as fetched."""
    validity = _inbox_validity(mailbox, engine)
    return frozenset(_noted(mailbox, validity))


def noted_each(mailboxes: Sequence[Mailbox]) -> dict[int, Marks]:
    marks: dict[int, Marks] = {}
    if mailboxes:
        for noted in Retrieval.objects.filter(mailbox__in=mailboxes).order_by("-at"):
            of_mailbox = marks.setdefault(noted.mailbox_id, {})
            of_folder = of_mailbox.setdefault(noted.uidvalidity, {})
            of_folder.update(dict.fromkeys(uids_of(noted.uids), noted.at))
    return marks


def _noted(mailbox: Mailbox, validity: int) -> dict[int, datetime]:
    return noted_each([mailbox]).get(mailbox.pk, {}).get(validity, {})


def _inbox_validity(mailbox: Mailbox, engine: Engine) -> int:
    states = engine.folder_states(user=mailbox.address)
    return next((s.uidvalidity for s in states if s.folder == "INBOX"), 0)


def _is_seen_fetched(mailbox: Mailbox) -> bool:
    fresh = Mailbox.objects.filter(pk=mailbox.pk, protocol=Mailbox.Protocol.POP)
    return fresh.exists() and not ProtocolSwitch.objects.open().filter(mailbox=mailbox).exists()


def _switches(mailbox: Mailbox) -> int:
    return ProtocolSwitch.objects.filter(mailbox=mailbox).count()
