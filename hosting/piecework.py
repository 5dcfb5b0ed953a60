"""Lists that people and programs bring in: kept, confirmed, worked off in pieces, each once.

What the lines mean is the affair of whoever reads the list; here is what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import keyring, membership, outbox, spans, succession
from accounts.access import Actor, ActorKind, Door, Origin, system
from accounts.models import ApiKey, Organisation, User
from hosting.models.imports import UploadedList

_T = TypeVar("_T")
_List = TypeVar("_List", bound=UploadedList)

# Rows are looked up and written in pieces of this size, each with the same few queries.
BATCH = 500
# Far longer than one piece takes; a killed run goes on after that.
_LEASE = timedelta(minutes=2)
# Somebody may write the same row while a piece is written; then it is looked at again.
_TRIES = 3
# So long a list waits to be started.
_WAITS = timedelta(days=30)
# So many lists of the keys of one organisation may wait or be under way: their texts take room.
MOST_STANDING = 100
_AT_WORK = Origin(door=Door.WORKER)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a line, or the whole list, cannot be used. Line 1 is the header.

    `code` says it to a program.
    """

    line: int
    column: str
    message: str
    code: str = "invalid"

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


class TooManyLists(Exception):
    """So many lists wait or are under way already."""


class _LeaseLost(Exception):
    """Somebody else works on the list, or it was cancelled; nothing of the piece was kept."""


class _NobodyToActFor(Exception):
    """Whoever brought the list in has left, or its key works no more; nothing was kept."""


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


def _say_nothing(_listed: Any, _actor: Actor, _at: datetime) -> None:
    """Nobody outside is told of most lists."""


def tell_of_end(
    listed: UploadedList, *, organisation: Organisation, actor: Actor, at: datetime
) -> None:
    """Tell programs of an organisation that a list has ended; call it as, or in, `ended`."""
    is_finished = listed.state == UploadedList.State.FINISHED
    key = listed.created_by_key
    is_test = {"is_test": key is not None and key.is_test}
    told: dict[str, Any] = {
        "at": at,
        "actor": actor,
        "organisation": organisation,
        "subject": listed.subject,
    }
    outbox.record(
        kind="import.completed" if is_finished else "import.failed",
        data={
            "rows": listed.row_count,
            "done": listed.done_count,
            "problems": len(listed.problems),
            **is_test,
        },
        **told,
    )
    state = "done" if is_finished else "cancelled"
    data = {"kind": listed.operation_kind, "state": state, **is_test}
    outbox.record(kind="operation.finished", data=data, **told)


def refuse_too_many(lists: QuerySet[_List], by: User | ApiKey) -> None:
    """Raise `TooManyLists` where the keys of an organisation have brought in more than they end."""
    if not isinstance(by, ApiKey):
        return
    standing = lists.filter(
        created_by_key__organisation=by.organisation_id,
        state__in=(UploadedList.State.CHECKED, UploadedList.State.RUNNING),
    )
    if standing.count() >= MOST_STANDING:
        message = _("%(most)s lists are waiting already. Confirm or cancel some of them.")
        raise TooManyLists(message % {"most": MOST_STANDING})


def keep_verdict(listed: UploadedList, problems: Sequence[Problem]) -> None:
    """Keep what was found when the list came in, until it is confirmed and all is judged anew."""
    listed.problems = [problem.as_data() for problem in problems]
    listed.problem_count = len(problems)
    listed.save(update_fields=["problems", "problem_count"])


def confirm(*, actor: Actor, listed: UploadedList, task: str, at: datetime) -> None:
    """Start the work; only who brought a list in can, because the work is done in that name."""
    if not is_maker(actor, listed):
        message = _("Only who uploaded a list can start it.")
        raise WrongState(message)
    rows = _rows(listed).filter(state=UploadedList.State.CHECKED)
    running = UploadedList.State.RUNNING
    if not rows.update(state=running, confirmed_at=at, problems=[], problem_count=0):
        raise _changed_meanwhile()
    listed.refresh_from_db(fields=["state", "confirmed_at", "problems", "problem_count"])
    outbox.nudge(task, import_id=listed.pk)


def is_maker(actor: Actor, listed: UploadedList) -> bool:
    """Whether the actor brought the list in; a key that replaced another goes on with its work."""
    if listed.created_by_key is None:
        return actor.id == str(listed.created_by_id)
    if actor.kind is not ActorKind.API_KEY:
        return False
    return actor.id in {str(key.uuid) for key in keyring.line_of(listed.created_by_key)}


def cancel(
    *,
    actor: Actor,
    listed: _List,
    at: datetime,
    ended: Callable[[_List, Actor, datetime], None] = _say_nothing,
) -> None:
    """Leave the list, or what is left of it; what is done stays done.

    `ended` is called where it was under way, since then somebody waits for its end.
    """
    cancelled = _ended(listed, UploadedList.State.CANCELLED, at=at)
    with transaction.atomic():
        was_running = _rows(listed).filter(state=UploadedList.State.RUNNING).update(**cancelled)
        waited = _rows(listed).filter(state=UploadedList.State.CHECKED)
        if not was_running and not waited.update(**cancelled):
            raise _changed_meanwhile()
        listed.refresh_from_db(fields=["state", "ended_at", "done_count", "problems"])
        if was_running:
            ended(listed, actor, at)


def _ended(
    listed: UploadedList | type[UploadedList], state: str, *, at: datetime
) -> dict[str, Any]:
    """The row of a list at its end. Nobody needs its text any more, and it may name people."""
    row: dict[str, Any] = {"state": state, "ended_at": at, "leased_until": None}
    return row if listed.keeps_text else {**row, "content": ""}


def _changed_meanwhile() -> WrongState:
    return WrongState(_("The list has changed meanwhile, so this cannot be done now."))


def _rows(listed: UploadedList) -> QuerySet[Any]:
    found: QuerySet[Any] = type(listed)._default_manager.filter(pk=listed.pk)  # noqa: SLF001  # Django's way
    return found


def forget_old(lists: QuerySet[_List], *, at: datetime) -> int:
    """Leave lists that nobody started for a month, with their texts; returns how many."""
    old = lists.filter(created_at__lt=at - _WAITS, state=UploadedList.State.CHECKED)
    return old.update(**_ended(lists.model, UploadedList.State.CANCELLED, at=at))


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
    ended: Callable[[_List, Actor, datetime], None] = _say_nothing,
) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do.

    The count of lines done is written in the transaction that does them, so that a run killed
    at any moment goes on with the first line that was not done. `ended` is called in the
    transaction that ends the list, finished or cancelled.
    """
    mine = lists.filter(pk=import_id, state=UploadedList.State.RUNNING)
    at = now()
    until = at + _LEASE
    if not mine.filter(_is_free(at)).update(leased_until=until):
        return False
    listed = lists.select_related("created_by", "created_by_key").get(pk=import_id)
    try:
        actor = _actor_for(listed, at=at)
        worker = worker_of(listed, actor)
        records = worker.records()
        for start in range(listed.done_count, len(records), BATCH):
            piece = records[start : start + BATCH]
            until = _do(mine, listed, piece, worker=worker, until=until, now=now)
    except _LeaseLost:
        return False
    except (_NobodyToActFor, UnreadableList) as refusal:
        if isinstance(refusal, UnreadableList):
            # The rules for lists have changed since it was checked.
            found = [*listed.problems, refusal.problem.as_data()]
            mine.filter(leased_until=until).update(problems=found, problem_count=len(found))
        with suppress(WrongState):
            cancel(actor=system("lists"), listed=listed, at=now(), ended=ended)
        return True
    held = mine.filter(leased_until=until)
    ended_at = now()
    finished = _ended(listed, UploadedList.State.FINISHED, at=ended_at)
    with transaction.atomic():
        if held.update(**finished):
            listed.refresh_from_db(fields=["state", "ended_at", "done_count", "problems"])
            ended(listed, actor, ended_at)
    return True


def _actor_for(listed: UploadedList, *, at: datetime) -> Actor:
    """In whose name the work is done; raises `_NobodyToActFor`."""
    if listed.created_by_key is not None:
        key = _acting_key(listed.created_by_key, at=at)
        return replace(keyring.actor_with(key), origin=_AT_WORK)
    return membership.actor_for(_person_behind(listed), origin=_AT_WORK)


def _acting_key(api_key: ApiKey, *, at: datetime) -> ApiKey:
    found = succession.acting(api_key, at=at)
    if found is None:
        raise _NobodyToActFor
    return found


def _person_behind(listed: UploadedList) -> User:
    person = listed.created_by
    if person is not None:
        person.refresh_from_db(fields=["is_active", "is_staff"])
    if person is None or not person.is_active or (listed.is_for_staff and not person.is_staff):
        raise _NobodyToActFor
    return person


def _must_still_act(listed: UploadedList, *, at: datetime) -> None:
    """Nothing more is done in the name of who left, or with a key that was revoked, meanwhile."""
    if listed.created_by_key is None:
        _person_behind(listed)
    else:
        _acting_key(listed.created_by_key, at=at)


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
        _must_still_act(listed, at=at)
        done = worker.do(piece, at=at)
        counts = {name: F(name) + count for name, count in done.counts.items()}
        found = [*listed.problems, *(problem.as_data() for problem in done.problems)]
        mine.update(problems=found, problem_count=len(found), **counts)
        return done.problems

    listed.problems += [problem.as_data() for problem in retried(work)]
    return renewed


def _is_free(at: datetime) -> Q:
    return ~spans.lasts("leased_until", at=at, longest=_LEASE)
