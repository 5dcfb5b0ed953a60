"""Lists of mailboxes that staff and programs bring in, worked off in the background, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.access import Actor, Capability
from accounts.models import ApiKey, Organisation, User
from hosting import clocks, piecework
from hosting.importing import lists, opening
from hosting.importing.lists import Checked, Examiner, Record
from hosting.models import MailboxImport
from hosting.models.imports import made_by
from hosting.piecework import Done, UnreadableList, WrongState

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


def take_in(
    *,
    actor: Actor,
    by: User | ApiKey,
    organisation: Organisation | None = None,
    file_name: str,
    text: str,
    at: datetime,
) -> MailboxImport:
    """Keep a list until somebody has looked at the preview.

    Raises `UnreadableList`, and `piecework.TooManyLists` where programs leave them all waiting.
    With an organisation, it opens mailboxes in its domains and in those of its customers alone.
    """
    if organisation is not None:
        actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    piecework.refuse_too_many(MailboxImport.objects.all(), by)
    return MailboxImport.objects.create(
        file_name=file_name[-255:],
        content=text,
        row_count=len(read(text)),
        organisation=organisation,
        created_at=at,
        **made_by(by),
    )


def preview(*, listed: MailboxImport, actor: Actor) -> Checked:
    """What would happen now."""
    try:
        records = read(listed.content)
    except UnreadableList as refusal:
        # The rules for lists have changed since it was uploaded.
        return Checked(problems=[refusal.problem])
    return lists.check_records(records, actor=actor, organisation=listed.organisation)


def confirm(*, actor: Actor, listed: MailboxImport, at: datetime) -> None:
    """Start the work in the background; raises `WrongState`."""
    piecework.confirm(actor=actor, listed=listed, task="hosting.run_import", at=at)


def cancel(*, actor: Actor, listed: MailboxImport, at: datetime) -> None:
    """Leave the list, or what is left of it; what is done stays done. Raises `WrongState`."""
    piecework.cancel(actor=actor, listed=listed, at=at, ended=_tell)


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every list that waits or whose worker died; returns how many were worked on."""
    ids = piecework.waiting(MailboxImport.objects.all(), at=now())
    return sum(run(import_id=import_id, now=now) for import_id in ids)


def run(*, import_id: int, now: Callable[[], datetime]) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do."""
    lists_ = MailboxImport.objects.select_related("organisation")
    return piecework.run(lists_, import_id=import_id, worker_of=_Opener, now=now, ended=_tell)


def _tell(listed: MailboxImport, actor: Actor, at: datetime) -> None:
    # What staff open for many is the affair of the house; its lines may be anybody's.
    house = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER)
    owner = listed.organisation or house.get()
    there = clocks.moment_for(owner, at)
    piecework.tell_of_end(listed, organisation=owner, actor=actor, at=there)


class _Opener:
    """Opens the mailboxes of one list."""

    def __init__(self, listed: MailboxImport, actor: Actor) -> None:
        self._listed = listed
        self._actor = actor
        self._examiner = Examiner(actor=actor, organisation=listed.organisation)

    def records(self) -> list[Record]:
        return read(self._listed.content)

    def do(self, piece: Sequence[Record], *, at: datetime) -> Done:
        checked = self._examiner.examine(list(piece))
        applied = opening.open_rows(checked.rows, actor=self._actor, at=at)
        problems = [*checked.problems, *applied.problems]
        return Done(counts={"opened_count": applied.opened_count}, problems=problems)
