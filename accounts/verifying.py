"""Looks through the chain of events and says what was changed, removed, inserted or reordered.

It goes by batches, in the order of the feed, and needs nothing but the place it has come to. So
it can stop anywhere and go on from there, and what it holds at one time does not grow with the
number of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery

from accounts import chaining, checkpoints, notices, outbox, seals
from accounts.access import Origin
from accounts.models import (
    BEGINNING,
    ChainHead,
    Checkpoint,
    Event,
    EventCheck,
    EventCounter,
    Organisation,
    OwnChain,
)

BATCH = 2_000
# How far one turn of a worker goes.
_TURN = 20_000
_MOST_KEPT = 100
# Twice as long as from one to the next.
_LONGEST_UNSEEN = timedelta(days=14)
_LONGEST_UNSEALED = timedelta(hours=49)
_BAD_SEAL = "A seal was made by another SECRET_KEY, or by nobody who has one"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is not as it was written, and at which place of the feed."""

    position: int
    text: str


@dataclass(kw_only=True)
class Findings:
    """What was looked at so far, and the first faults of all that were found."""

    position: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)

    def add(self, found: Iterable[Fault]) -> None:
        """Count all, and keep the first."""
        for fault in found:
            self.fault_count += 1
            if len(self.faults) < _MOST_KEPT:
                self.faults.append(fault)


def verify(
    *, after: int = 0, told: Callable[[Findings], None] = lambda _findings: None
) -> Findings:
    """Look through everything behind a place; `told` hears of each batch."""
    findings = Findings(position=after)
    while look_on(findings):
        told(findings)
    findings.add(at_the_end())
    return findings


def look_on(findings: Findings, *, limit: int = BATCH) -> bool:
    """Look at the next events; returns whether there may be more."""
    head = chaining.head()
    before = _link_at(findings.position)
    rows = list(_rows(findings.position, upto=head.position)[:limit])
    position = findings.position
    for row in rows:
        findings.add(_faults_of(row, before=before, expected=position + 1))
        before, position = row["link"], row["position"]
    findings.position = position
    return len(rows) == limit


def at_the_end() -> Iterator[Fault]:
    """What is wrong with where the chain ends: its head, its checkpoints, and those of each."""
    head = chaining.head()
    yield from _faults_of_head(head)
    yield from _faults_of_checkpoints(head)
    yield from _faults_of_memory(head)
    yield from _faults_of_own_heads()


def trouble(*, at: datetime) -> str:
    """What is wrong as far as a short look tells, in a sentence, or nothing."""
    for fault in _faults_of_head(chaining.head()):
        return f"At place {fault.position}: {fault.text}"
    check = last_finished()
    if check is not None and check.fault_count:
        first = check.faults[0]
        return f"At place {first['position']}: {first['text']} ({check.fault_count} faults in all)"
    if check is not None and check.started_at < at - _LONGEST_UNSEEN:
        return f"The events were looked through last on {check.started_at:%Y-%m-%d}."
    sealed = checkpoints.last()
    if sealed is not None and _is_late(sealed, at=at):
        return f"The events were sealed last on {sealed.at:%Y-%m-%d}."
    return ""


def summary() -> str:
    """How far the chain goes, and when it was looked through, in a few words."""
    position, check = chaining.head().position, last_finished()
    when = f"looked through on {check.started_at:%Y-%m-%d}" if check else "not looked through yet"
    waiting = Event.objects.filter(position__gt=position).exists()
    return f"{position} linked{', more to come' if waiting else ''}, {when}"


def _is_late(sealed: Checkpoint, *, at: datetime) -> bool:
    """Whether something happened two days ago that no checkpoint covers."""
    since = at - _LONGEST_UNSEALED
    if sealed.at >= since:
        return False
    later = Event.objects.filter(position=sealed.position + 1)
    return any(event.at < since for event in later)


# A worker's way -------------------------------------------------------------------------------


def sweep(*, at: datetime, every: timedelta) -> bool:
    """Look at the next part if a look is due or goes on; returns whether there was one."""
    check = _running(at=at, every=every)
    if check is None:
        return False
    findings = Findings(
        position=check.position,
        fault_count=check.fault_count,
        faults=[Fault(**fault) for fault in check.faults],
    )
    is_more = True
    while is_more and findings.position < check.position + _TURN:
        is_more = look_on(findings)
    if not is_more:
        findings.add(at_the_end())
    _keep(check, findings, ended_at=None if is_more else at)
    return True


def last_finished() -> EventCheck | None:
    """The newest look that came to the end."""
    return EventCheck.objects.filter(is_running=False).order_by("-started_at").first()


def _running(*, at: datetime, every: timedelta) -> EventCheck | None:
    running = EventCheck.objects.filter(is_running=True).first()
    if running is not None:
        return running
    if EventCheck.objects.filter(started_at__gt=at - every, started_at__lte=at).exists():
        return None
    return EventCheck.objects.get_or_create(is_running=True, defaults={"started_at": at})[0]


@transaction.atomic
def _keep(check: EventCheck, findings: Findings, *, ended_at: datetime | None) -> None:
    """Write down how far it came, unless another worker did so with the same part."""
    mine = EventCheck.objects.filter(pk=check.pk, is_running=True, position=check.position)
    kept = mine.update(
        position=findings.position,
        fault_count=findings.fault_count,
        faults=[asdict(fault) for fault in findings.faults],
        is_running=ended_at is None,
        finished_at=ended_at,
    )
    if kept and ended_at is not None and findings.fault_count:
        _tell(findings, at=ended_at)


def _tell(findings: Findings, *, at: datetime) -> None:
    house = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER)
    first = findings.faults[0]
    notices.announce(
        organisations=list(house),
        name="events_damaged",
        context={"count": findings.fault_count, "place": first.position, "text": first.text},
        at=at,
    )


# One row --------------------------------------------------------------------------------------


def _rows(position: int, *, upto: int) -> Any:
    """Events in the order of the feed, each with the link before it in its organisation."""
    before = Event.objects.filter(
        organisation=OuterRef("organisation"), own_place=OuterRef("own_place") - 1
    )
    return (
        Event.objects.filter(position__gt=position, position__lte=upto)
        .order_by("position")
        .annotate(own_before=Subquery(before.values("own_link")[:1]))
        .values(
            *chaining.AND_PLACE,
            "own_before",
            "link",
            "own_place",
            "own_link",
            "address",
            "session",
            "salt",
        )
    )


def _link_at(position: int) -> str:
    if not position:
        return BEGINNING
    links = Event.objects.filter(position=position).values_list("link", flat=True)
    return links.first() or ""


def _faults_of(row: Mapping[str, Any], *, before: str, expected: int) -> Iterator[Fault]:
    place = row["position"]
    if place != expected:
        missing = f"{expected}" if place == expected + 1 else f"{expected} to {place - 1}"
        yield Fault(position=expected, text=f"What stood at {missing} is gone.")
    if not row["link"]:
        yield Fault(position=place, text="This event was put in later: it has no link.")
        return
    yield from _faults_of_own(row)
    if chaining.next_link(before, row["own_link"]) != row["link"]:
        text = "The chain breaks here: this event or the one before is not what stood here."
        yield Fault(position=place, text=text)
    if not _is_committed(row):
        text = "From where this was done is not what was written."
        yield Fault(position=place, text=text)


def _faults_of_own(row: Mapping[str, Any]) -> Iterator[Fault]:
    own_before = row["own_before"]
    if row["own_place"] == 1:
        own_before = BEGINNING
    if own_before is None:
        text = "The event before it in the same organisation is gone."
        yield Fault(position=row["position"], text=text)
        return
    text = chaining.line(row, place=row["own_place"])
    if chaining.next_link(own_before, text) != row["own_link"]:
        yield Fault(position=row["position"], text="This event is not as it was written.")


def _is_committed(row: Mapping[str, Any]) -> bool:
    if row["salt"] is None:
        return not (row["address"] or row["session"])
    origin = Origin(address=row["address"], session=row["session"])
    return bool(outbox.commitment(bytes(row["salt"]), origin) == row["commitment"])


# The ends -------------------------------------------------------------------------------------


def _faults_of_head(head: ChainHead) -> Iterator[Fault]:
    if not seals.holds(head.seal, head.position, head.link):
        text = f"{_BAD_SEAL}: the end of the chain was cut off or written anew."
        yield Fault(position=head.position, text=text)
    if _link_at(head.position) != head.link:
        text = "The chain does not end with the event that it ended with."
        yield Fault(position=head.position, text=text)
    counted = EventCounter.objects.values_list("last_position", flat=True).first() or 0
    if counted < head.position:
        text = "Fewer places were given than there are links: the counter was set back."
        yield Fault(position=counted, text=text)


def _faults_of_checkpoints(head: ChainHead) -> Iterator[Fault]:
    before: Checkpoint | None = None
    links = Event.objects.filter(position=OuterRef("position")).values("link")
    rows = Checkpoint.objects.order_by("position").annotate(found=Subquery(links[:1]))
    for each in rows.iterator(chunk_size=BATCH):
        day = f"{each.at:%Y-%m-%d %H:%M} UTC"
        if not checkpoints.is_whole(each, before=before):
            yield Fault(position=each.position, text=f"{_BAD_SEAL}: the checkpoint of {day}.")
        if each.position > chaining.reached(head, each.position):
            text = f"On {day} there were events up to here. They are gone."
            yield Fault(position=each.position, text=text)
        elif each.found != each.link:
            text = f"The event is another one than on {day}."
            yield Fault(position=each.position, text=text)
        before = each


def _faults_of_memory(head: ChainHead) -> Iterator[Fault]:
    """What the file outside of the database remembers otherwise."""
    for each in checkpoints.remembered():
        if each.position > chaining.reached(head, each.position):
            text = f"At {each.at} there were events up to here. An older backup came back."
            yield Fault(position=each.position, text=text)
        elif _link_at(each.position) != each.link:
            text = f"The event is another one than at {each.at}, as the file says."
            yield Fault(position=each.position, text=text)


def _faults_of_own_heads() -> Iterator[Fault]:
    """Organisations whose chain ends elsewhere than it did."""
    own = Event.objects.filter(organisation=OuterRef("organisation"), own_place__isnull=False)
    newest = own.order_by("-own_place")
    rows = OwnChain.objects.annotate(
        found_place=Subquery(newest.values("own_place")[:1]),
        found_link=Subquery(newest.values("own_link")[:1]),
        found_position=Subquery(newest.values("position")[:1]),
    )
    wrong = Q(found_place=None) | ~Q(place=F("found_place")) | ~Q(link=F("found_link"))
    for each in rows.filter(wrong).order_by("pk").iterator(chunk_size=BATCH):
        where = vars(each)["found_position"] or 0
        text = f"The newest events of organisation {each.pk} are gone, or were not linked."
        yield Fault(position=where, text=text)
