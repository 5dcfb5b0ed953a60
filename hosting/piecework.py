"""Lists that staff upload: kept, confirmed, and worked off in pieces, each exactly once.

What the lines mean is the affair of whoever reads the list; here is what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import membership, outbox
from accounts.access import Actor
from hosting.models.imports import UploadedList

_T = TypeVar("_T")
_List = TypeVar("_List", bound=UploadedList)

# Rows are looked up and written in pieces of this size, each with the same few queries.
BATCH = 500
# Far longer than one piece takes; a killed run goes on after that.
_LEASE = timedelta(minutes=2)
# Somebody may write the same row while a piece is written; then it is looked at again.
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a line, or the whole list, cannot be used. Line 1 is the header."""

    line: int
    column: str
    message: str

    def as_data(self) -> dict[str, Any]:
        """The problem as it is stored."""
        return asdict(self)


@dataclass(kw_only=True)
class Done:
    """What became of one piece: what is added to the list's own counts, and what was wrong."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class Worker(Protocol):
    """Reads one list and does its records inside the caller's transaction."""

    def records(self) -> Sequence[Any]:
        """All of them, in the order of the list; raises `UnreadableList`."""
        ...

    def do(self, piece: Sequence[Any], *, at: datetime) -> Done:
        """Do at most `BATCH` records, whole or not at all."""
        ...


class UnreadableList(Exception):
    """The list as a whole cannot be used; `problem` says where and why."""

    def __init__(self, *, line: int = 1, column: str = "", message: str) -> None:
        super().__init__(message)
        self.problem = Problem(line=line, column=column, message=message)


class WrongState(Exception):
    """The list is not in a state from which this can be done."""


class _LeaseLost(Exception):
    """Somebody else works on the list, or it was cancelled; nothing of the piece was kept."""


def without_nul(text: str) -> str:
    """The same text; raises `UnreadableList` if it is none."""
    before, nul, _rest = text.partition("\0")
    if nul:
        line = before.count("\n") + 1
        raise UnreadableList(line=line, message=_("There is a NUL here, so this is not a text."))
    return text


def retried(work: Callable[[], _T]) -> _T:
    """The result of work in a transaction of its own, tried again if a row was taken meanwhile."""
    for _try in range(_TRIES - 1):
        try:
            with transaction.atomic():
                return work()
        except IntegrityError:
            continue
    with transaction.atomic():
        return work()


def confirm(*, actor: Actor, listed: UploadedList, task: str) -> None:
    """Start the work; only who uploaded the list can, because the work is done in that name."""
    if actor.id != str(listed.created_by_id):
        message = _("Only who uploaded a list can start it.")
        raise WrongState(message)
    _move(listed, sources=(UploadedList.State.CHECKED,), target=UploadedList.State.RUNNING)
    outbox.nudge(task, import_id=listed.pk)


def cancel(*, listed: UploadedList) -> None:
    """Leave the list, or what is left of it; what is done stays done."""
    sources = (UploadedList.State.CHECKED, UploadedList.State.RUNNING)
    _move(listed, sources=sources, target=UploadedList.State.CANCELLED)


def _move(listed: UploadedList, *, sources: tuple[str, ...], target: str) -> None:
    rows = type(listed)._default_manager.filter(pk=listed.pk)  # noqa: SLF001  # Django's way
    if not rows.filter(state__in=sources).update(state=target):
        message = _("The list has changed meanwhile, so this cannot be done now.")
        raise WrongState(message)
    listed.refresh_from_db(fields=["state"])


def waiting(lists: QuerySet[_List], *, at: datetime) -> list[int]:
    """Keys of the lists that nobody works on, or whose worker died; oldest first."""
    free = lists.filter(_is_free(at), state=UploadedList.State.RUNNING)
    return list(free.order_by("pk").values_list("pk", flat=True))


def run(
    lists: QuerySet[_List],
    *,
    import_id: int,
    worker_of: Callable[[_List, Actor], Worker],
    now: Callable[[], datetime],
) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do.

    The count of lines done is written in the transaction that does them, so that a run killed
    at any moment goes on with the first line that was not done.
    """
    mine = lists.filter(pk=import_id, state=UploadedList.State.RUNNING)
    at = now()
    until = at + _LEASE
    if not mine.filter(_is_free(at)).update(leased_until=until):
        return False
    listed = lists.select_related("created_by").get(pk=import_id)
    if not (listed.created_by.is_active and listed.created_by.is_staff):
        # The work is done in the name of somebody who has left.
        cancel(listed=listed)
        return True
    worker = worker_of(listed, membership.actor_for(listed.created_by))
    try:
        records = worker.records()
        for start in range(listed.done_count, len(records), BATCH):
            piece = records[start : start + BATCH]
            until = _do(mine, listed, piece, worker=worker, until=until, now=now)
    except _LeaseLost:
        return False
    held = mine.filter(leased_until=until)
    held.update(state=UploadedList.State.FINISHED, leased_until=None)
    return True


def _do(
    mine: QuerySet[_List],
    listed: _List,
    piece: Sequence[Any],
    *,
    worker: Worker,
    until: datetime,
    now: Callable[[], datetime],
) -> datetime:
    """Do one piece under the lease that lasts `until`; returns the end of the new lease."""
    at = now()
    renewed = at + _LEASE

    def work() -> list[Problem]:
        held = mine.filter(leased_until=until)
        if not held.update(leased_until=renewed, done_count=F("done_count") + len(piece)):
            raise _LeaseLost
        done = worker.do(piece, at=at)
        counts = {name: F(name) + count for name, count in done.counts.items()}
        found = [*listed.problems, *(problem.as_data() for problem in done.problems)]
        mine.update(problems=found, **counts)
        return done.problems

    listed.problems += [problem.as_data() for problem in retried(work)]
    return renewed


def _is_free(at: datetime) -> Q:
    return Q(leased_until__isnull=True) | Q(leased_until__lt=at)
