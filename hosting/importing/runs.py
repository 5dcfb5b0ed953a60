"""Lists that staff uploaded: kept, confirmed, and worked off in the background, each line once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import membership, outbox
from accounts.access import Actor
from accounts.models import User
from hosting.importing import lists, opening
from hosting.importing.lists import BATCH, Checked, Examiner, Problem, Record, UnreadableList
from hosting.models import MailboxImport

# Far longer than one piece takes; a killed run goes on after that.
_LEASE = timedelta(minutes=2)
# What a page can check while somebody waits. Longer lists are for the command.
MOST_RECORDS = 50_000


class WrongState(Exception):
    """The list is not in a state from which this can be done."""


class _LeaseLost(Exception):
    """Somebody else works on the list, or it was cancelled; nothing of the piece was kept."""


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
    """Start the work; only who uploaded the list can, because the work is done in that name."""
    if actor.id != str(listed.created_by_id):
        message = _("Only who uploaded a list can start it.")
        raise WrongState(message)
    _move(listed, sources=(MailboxImport.State.CHECKED,), target=MailboxImport.State.RUNNING)
    outbox.nudge("hosting.run_import", import_id=listed.pk)


def cancel(*, listed: MailboxImport) -> None:
    """Leave the list, or what is left of it; mailboxes that are open stay open."""
    sources = (MailboxImport.State.CHECKED, MailboxImport.State.RUNNING)
    _move(listed, sources=sources, target=MailboxImport.State.CANCELLED)


def _move(listed: MailboxImport, *, sources: tuple[str, ...], target: str) -> None:
    moved = MailboxImport.objects.filter(pk=listed.pk, state__in=sources).update(state=target)
    if not moved:
        message = _("The list has changed meanwhile, so this cannot be done now.")
        raise WrongState(message)
    listed.refresh_from_db(fields=["state"])


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every list that waits or whose worker died; returns how many were worked on."""
    waiting = MailboxImport.objects.filter(_is_free(now()), state=MailboxImport.State.RUNNING)
    ids = list(waiting.order_by("pk").values_list("pk", flat=True))
    return sum(run(import_id=import_id, now=now) for import_id in ids)


def run(*, import_id: int, now: Callable[[], datetime]) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do.

    The count of lines done is written in the transaction that opens their mailboxes, so that
    a run killed at any moment goes on with the first line that was not done.
    """
    at = now()
    until = at + _LEASE
    if not _mine(import_id).filter(_is_free(at)).update(leased_until=until):
        return False
    listed = MailboxImport.objects.select_related("created_by").get(pk=import_id)
    if not (listed.created_by.is_active and listed.created_by.is_staff):
        # The work is done in the name of somebody who has left.
        cancel(listed=listed)
        return True
    actor = membership.actor_for(listed.created_by)
    examiner = Examiner(actor=actor)
    try:
        records = read(listed.content)
        for start in range(listed.done_count, len(records), BATCH):
            piece = records[start : start + BATCH]
            until = _do(listed, piece, examiner=examiner, actor=actor, until=until, now=now)
    except _LeaseLost:
        return False
    _mine(import_id).filter(leased_until=until).update(
        state=MailboxImport.State.FINISHED,
        leased_until=None,
    )
    return True


def _do(
    listed: MailboxImport,
    piece: list[Record],
    *,
    examiner: Examiner,
    actor: Actor,
    until: datetime,
    now: Callable[[], datetime],
) -> datetime:
    """Do one piece under the lease that lasts `until`; returns the end of the new lease."""
    at = now()
    renewed = at + _LEASE

    def work() -> list[Problem]:
        held = _mine(listed.pk).filter(leased_until=until)
        if not held.update(leased_until=renewed, done_count=F("done_count") + len(piece)):
            raise _LeaseLost
        checked = examiner.examine(piece)
        applied = opening.open_rows(checked.rows, actor=actor, at=at)
        problems = [*checked.problems, *applied.problems]
        MailboxImport.objects.filter(pk=listed.pk).update(
            opened_count=F("opened_count") + applied.opened_count,
            problems=[*listed.problems, *(problem.as_data() for problem in problems)],
        )
        return problems

    listed.problems += [problem.as_data() for problem in opening.retried(work)]
    return renewed


def _mine(import_id: int) -> QuerySet[MailboxImport]:
    return MailboxImport.objects.filter(pk=import_id, state=MailboxImport.State.RUNNING)


def _is_free(at: datetime) -> Q:
    return Q(leased_until__isnull=True) | Q(leased_until__lt=at)
