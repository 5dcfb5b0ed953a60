"""What the mail server's log says is taken in once, and handed to whom it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction

from mailstore import due, quotas
from mailstore.engine import maillog, uid_set, uids_of
from mailstore.engine.maillog import (
    FolderDeleted,
    QuotaRefusal,
    Record,
    Removed,
    Retrieved,
)
from mailstore.engine.rotation import Position
from mailstore.models import LogPosition, Mailbox, Removal


@transaction.atomic
def read(*, path: Path) -> int:
    """Take in what was written since the last reading; returns how many records it was.

    The position moves in the same transaction, so a worker that dies reads it all again, and
    a second one waits for the first.
    """
    place, _ = LogPosition.objects.select_for_update().get_or_create(
        path=str(path), defaults={"inode": 0, "offset": 0}
    )
    known = Position(inode=place.inode, offset=place.offset, head=place.head)
    records, position = maillog.read(path, known)
    if position is not None:
        place.inode, place.offset, place.head = position.inode, position.offset, position.head
        place.save(update_fields=["inode", "offset", "head"])
    mailboxes = _mailboxes(records)
    told = [record for record in records if _is_about_this(record, mailboxes)]
    _note_refusals(records)
    _note_removals(told, mailboxes)
    _note_deleted_folders(told, mailboxes)
    _note_retrievals(told, mailboxes)
    return len(records)


def _is_about_this(record: Record, mailboxes: dict[str, Mailbox]) -> bool:
    """Whether it is about the mailbox that has the address now, not about an earlier one.

    The log tells whole seconds.
    """
    mailbox = mailboxes.get(record.user)
    return mailbox is None or record.at >= mailbox.created_at.replace(microsecond=0)


def _note_refusals(records: Sequence[Record]) -> None:
    for record in records:
        if isinstance(record, QuotaRefusal):
            quotas.note_refusal(address=record.user, at=record.at)


def _mailboxes(records: Sequence[Record]) -> dict[str, Mailbox]:
    users = {record.user for record in records if not isinstance(record, QuotaRefusal)}
    found = Mailbox.objects.standing().filter(address__in=users)
    return {mailbox.address: mailbox for mailbox in found.select_related("organisation__parent")}


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
        due.note_stored(mailbox, size=size, at=removed[0].at)


def _extend(mailbox: Mailbox, removed: Sequence[Removed]) -> None:
    first, last = removed[0], removed[-1]
    same = Removal.objects.filter(mailbox=mailbox, session=first.session, folder=first.folder)
    minute = _minute(first.at)
    row = same.filter(began_at__gte=minute, began_at__lt=minute + timedelta(minutes=1)).first()
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


def _minute(at: datetime) -> datetime:
    return at.replace(second=0)


def _note_deleted_folders(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    for record in records:
        if isinstance(record, FolderDeleted) and record.user in mailboxes:
            Removal.objects.filter(
                mailbox=mailboxes[record.user], session=record.session, folder=record.folder
            ).update(took_folder=True, is_weighed=False)


def _note_retrievals(records: Sequence[Record], mailboxes: dict[str, Mailbox]) -> None:
    """Ask for a look at which messages were fetched; a worker does it in a moment."""
    fetched = {r.user: r.at for r in records if isinstance(r, Retrieved)}
    for user, at in fetched.items():
        if user in mailboxes:
            Mailbox.objects.filter(pk=mailboxes[user].pk).update(retrievals_asked_at=at)
