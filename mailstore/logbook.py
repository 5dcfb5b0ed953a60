"""What the mail server's log says is taken in once, and handed to whom it concerns."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction

from mailstore import due, quotas, sign_ins
from mailstore.engine import Attendance, maillog, uid_set, uids_of
from mailstore.engine.maillog import (
    Copied,
    CutOff,
    FolderDeleted,
    FolderRenamed,
    QuotaRefusal,
    Record,
    Removed,
    Taken,
)
from mailstore.engine.rotation import Position
from mailstore.models import FetchDoubt, LogPosition, Mailbox, MessageCopy, Removal

# So long goes on whoever finds that much was written meanwhile; then others have their turn.
_PATIENCE_SECONDS = 30.0
_SENT = ("fetched_messages", "fetched_bytes", "glanced_messages", "glanced_bytes")


def read(*, path: Path) -> int:
    """Take in what was written since the last reading; returns how many records it was.

    Much is taken in part by part. Sign-ins are no records: they are added up.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    records = 0
    while True:
        found, has_more = _read_part(path)
        records += found
        if not has_more or time.monotonic() > until:
            return records


@transaction.atomic
def _read_part(path: Path) -> tuple[int, bool]:
    """One part, and whether something else was there.

    The position moves in the same transaction, so a worker that dies reads it all again, and
    a second one waits for the first.
    """
    place, _ = LogPosition.objects.select_for_update().get_or_create(
        path=str(path), defaults={"inode": 0, "offset": 0}
    )
    known = Position(
        inode=place.inode, offset=place.offset, head=place.head, written_ns=place.written_ns
    )
    reading = maillog.read(path, known)
    records, position = reading.records, reading.position
    if position is not None:
        for name, value in asdict(position).items():
            setattr(place, name, value)
        place.save(update_fields=list(asdict(position)))
    fetched = _fetched(reading.attendances)
    mailboxes = _lock_mailboxes({record.user for record in records} | fetched.keys())
    told = [record for record in records if _is_about_this(record, mailboxes)]
    _note_refusals(records)
    _note_removals(told, mailboxes)
    _note_taken(told, mailboxes)
    _note_cut_off(told, mailboxes)
    _note_copies(told, mailboxes)
    _note_deleted_folders(told, mailboxes)
    _note_renamed_folders(told, mailboxes)
    _note_retrievals(fetched, mailboxes)
    sign_ins.note(reading.attendances)
    return len(records), position != known


def _is_about_this(record: Record, mailboxes: dict[str, Mailbox]) -> bool:
    """Whether it is about the mailbox that has the address now, not about an earlier one."""
    mailbox = mailboxes.get(record.user)
    return mailbox is None or _since(mailbox) <= record.at


def _since(mailbox: Mailbox) -> datetime:
    """From when on the log is about it; the log tells whole seconds."""
    return mailbox.created_at.replace(microsecond=0)


def _note_refusals(records: Sequence[Record]) -> None:
    for record in records:
        if isinstance(record, QuotaRefusal):
            quotas.note_refusal(address=record.user, at=record.at)


def _lock_mailboxes(users: Collection[str]) -> dict[str, Mailbox]:
    """All of one part at once: the log names them in any order, and they are locked in one."""
    standing = Mailbox.objects.standing().filter(address__in=users).lock()
    return {mailbox.address: mailbox for mailbox in standing.select_related("organisation__parent")}


def _note_removals(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Keep one row for what a session removed from a folder in a minute.

    The tripwire weighs minutes, and a session may last for days.
    """
    by_minute: dict[tuple[str, str, str, datetime], list[Removed]] = {}
    for record in records:
        if isinstance(record, Removed) and record.user in mailboxes:
            key = (record.user, record.session, record.folder, _minute(record.at))
            by_minute.setdefault(key, []).append(record)
    for (user, _session, _folder, _at), removed in by_minute.items():
        mailbox = mailboxes[user]
        _extend(mailbox, removed)
        size = sum(record.bytes for record in removed)
        came = due.stored_moments(mailbox, messages=len(removed), size=size, at=removed[0].at)
        due.note(mailbox, **came)


def _extend(mailbox: Mailbox, removed: Sequence[Removed]) -> None:
    first, last = removed[0], removed[-1]
    same = Removal.objects.filter(mailbox=mailbox, session=first.session, folder=first.folder)
    minute = _minute(first.at)
    # Locked, for whoever sets moves off writes to the same row.
    of_minute = same.filter(began_at__gte=minute, began_at__lt=minute + timedelta(minutes=1))
    row = of_minute.select_for_update().first()
    uids = [record.uid for record in removed]
    size = sum(record.bytes for record in removed)
    if row is None:
        Removal.objects.create(
            mailbox=mailbox,
            folder=first.folder,
            service=first.service,
            session=first.session,
            device=first.device,
            address=first.address,
            uids=uid_set(uids),
            messages=len(uids),
            bytes=size,
            began_at=first.at,
            ended_at=last.at,
        )
        return
    row.uids = uid_set([*uids_of(row.uids), *uids])
    row.messages += len(uids)
    row.bytes += size
    row.ended_at = last.at
    row.is_weighed = False
    row.save(update_fields=["uids", "messages", "bytes", "ended_at", "is_weighed"])


def _note_taken(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Tell removals what their session had been sent; most sessions left none that is looked at."""
    taken = {
        (mailboxes[record.user].pk, record.session): record
        for record in records
        if isinstance(record, Taken) and record.user in mailboxes
    }
    if not taken:
        return
    waiting = Removal.objects.filter(
        mailbox__in={mailbox for mailbox, _session in taken}, service="pop3", fetched_bytes=None
    )
    rows = [row for row in waiting if (row.mailbox_id, row.session) in taken]
    for row in rows:
        record = taken[row.mailbox_id, row.session]
        for name in _SENT:
            setattr(row, name, getattr(record, name))
    Removal.objects.bulk_update(rows, _SENT, batch_size=500)


def _note_cut_off(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Widen what is in doubt of each mailbox by the sessions that broke off there."""
    moments: dict[str, list[datetime]] = {}
    for record in records:
        if isinstance(record, CutOff) and record.user in mailboxes:
            moments.setdefault(record.user, []).append(record.at)
    for user, ended in moments.items():
        doubt, _ = FetchDoubt.objects.get_or_create(
            mailbox=mailboxes[user], defaults={"since": min(ended), "until": max(ended)}
        )
        doubt.since, doubt.until = min(doubt.since, *ended), max(doubt.until, *ended)
        doubt.save()


def _note_copies(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Keep one row for what went from a folder to another in a minute."""
    uids: dict[tuple[str, str, str, datetime], list[int]] = {}
    for record in records:
        if isinstance(record, Copied) and record.user in mailboxes:
            key = (record.user, record.origin, record.folder, _minute(record.at))
            uids.setdefault(key, []).append(record.uid)
    for (user, origin, folder, minute), copied in uids.items():
        row, _ = MessageCopy.objects.get_or_create(
            mailbox=mailboxes[user], made_at=minute, origin=origin, folder=folder
        )
        row.uids = uid_set([*uids_of(row.uids), *copied])
        row.save(update_fields=["uids"])


def _minute(at: datetime) -> datetime:
    return at.replace(second=0)


def _note_deleted_folders(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    for record in records:
        if isinstance(record, FolderDeleted) and record.user in mailboxes:
            Removal.objects.filter(
                mailbox=mailboxes[record.user], session=record.session, folder=record.folder
            ).update(took_folder=True, is_weighed=False)


def _note_renamed_folders(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Have mailboxes looked at again whose folders got other names, and so other rules.

    Mail keeps the day of its arrival then, so a rule may reach it at once. A folder that is made
    anew needs no look: what comes into it is new there, and `due` counts with it.
    """
    renamed = [r for r in records if isinstance(r, FolderRenamed) and r.user in mailboxes]
    for record in renamed:
        MessageCopy.objects.update_or_create(
            mailbox=mailboxes[record.user],
            made_at=_minute(record.at),
            origin=record.origin,
            folder=record.folder,
            defaults={"is_rename": True},
        )
    due.ask_for_look({mailboxes[record.user].pk for record in renamed})


def _fetched(attendances: Sequence[Attendance]) -> dict[str, datetime]:
    """Who fetched mail by POP, and when last."""
    return {
        one.user: one.last_at
        for one in attendances
        if one.fetched and one.protocol == Mailbox.Protocol.POP
    }


def _note_retrievals(fetched: Mapping[str, datetime], mailboxes: dict[str, Mailbox]) -> None:
    """Ask for a look at which messages were fetched; a worker does it in a moment."""
    keys = [
        mailboxes[user].pk
        for user, last_at in fetched.items()
        if user in mailboxes and _since(mailboxes[user]) <= last_at
    ]
    if keys:
        at = max(fetched.values())
        Mailbox.objects.filter(pk__in=keys).update(retrievals_asked_at=at)
