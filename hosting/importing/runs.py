"""Lists of mailboxes that staff uploaded, worked off in the background, each line once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.models import User
from hosting import piecework
from hosting.importing import lists, opening
from hosting.importing.lists import Checked, Examiner, Record
from hosting.models import MailboxImport
from hosting.piecework import Done, UnreadableList, WrongState, cancel

__all__ = ["WrongState", "cancel", "confirm", "preview", "read", "resume", "run", "take_in"]

# What a page can check while somebody waits. Longer lists are for the command.
MOST_RECORDS = 50_000


def read(text: str) -> list[Record]:
    """The lines of an uploaded list; raise `UnreadableList` if it is not for the page.

    App passwords are made by the command only: their secrets go straight into a file that
    only one person can read, and never through the database or a browser.
    """
    records = lists.read(text)
    if lists.asks_for_app_passwords(records):
        message = _(
            "App passwords cannot be made here, because nobody would see them. Leave the "
            "column out, or use the command import_mailboxes with --passwords.",
        )
        raise UnreadableList(column="app_password", message=message)
    if len(records) > MOST_RECORDS:
        message = _("At most %(most)s lines can be read here. Use the command for more.")
        raise UnreadableList(message=message % {"most": MOST_RECORDS})
    return records


def take_in(*, user: User, file_name: str, text: str, at: datetime) -> MailboxImport:
    """Keep a list until somebody has looked at the preview; raise `UnreadableList`."""
    return MailboxImport.objects.create(
        file_name=file_name[-255:],
        content=text,
        row_count=len(read(text)),
        created_by=user,
        created_at=at,
    )


def preview(*, listed: MailboxImport, actor: Actor) -> Checked:
    """What would happen now."""
    try:
        records = read(listed.content)
    except UnreadableList as refusal:
        # The rules for lists have changed since it was uploaded.
        return Checked(problems=[refusal.problem])
    return lists.check_records(records, actor=actor)


def confirm(*, actor: Actor, listed: MailboxImport) -> None:
    """Start the work in the background; raises `WrongState`."""
    piecework.confirm(actor=actor, listed=listed, task="hosting.run_import")


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every list that waits or whose worker died; returns how many were worked on."""
    ids = piecework.waiting(MailboxImport.objects.all(), at=now())
    return sum(run(import_id=import_id, now=now) for import_id in ids)


def run(*, import_id: int, now: Callable[[], datetime]) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do."""
    lists_ = MailboxImport.objects.all()
    return piecework.run(lists_, import_id=import_id, worker_of=_Opener, now=now)


class _Opener:
    """Opens the mailboxes of one list."""

    def __init__(self, listed: MailboxImport, actor: Actor) -> None:
        self._listed = listed
        self._actor = actor
        self._examiner = Examiner(actor=actor)

    def records(self) -> list[Record]:
        return read(self._listed.content)

    def do(self, piece: Sequence[Record], *, at: datetime) -> Done:
        checked = self._examiner.examine(list(piece))
        applied = opening.open_rows(checked.rows, actor=self._actor, at=at)
        problems = [*checked.problems, *applied.problems]
        return Done(counts={"opened_count": applied.opened_count}, problems=problems)
