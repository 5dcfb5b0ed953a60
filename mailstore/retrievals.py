"""What POP programs have fetched, and when that was noticed; rules count from there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from mailstore import holding
from mailstore.engine import Engine, uid_set, uids_of
from mailstore.models import Mailbox, ProtocolSwitch, Retrieval

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
    validity = _inbox_validity(mailbox, engine)
    found = engine.messages(user=mailbox.address, folder="INBOX", retrieved=True)
    with transaction.atomic():
        # One worker at a time, or both would note the same messages.
        locked = holding.lock(mailbox)
        if not _is_seen_fetched(locked) or _switches(mailbox) != before:
            return 0
        known = _noted(mailbox, validity)
        new = [message.uid for message in found if message.uid not in known]
        if new:
            Retrieval.objects.create(
                mailbox=mailbox, uidvalidity=validity, uids=uid_set(new), at=at
            )
            Mailbox.objects.filter(pk=mailbox.pk).update(retention_due_at=None)
    return len(new)


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
