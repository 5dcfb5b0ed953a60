"""Where the chain stood each day: as a row, and as a line in a file that lies elsewhere.

A row with its seal shows that the tail was cut off or written anew without the house's secret.
The file shows what nothing in the database can: that an older backup of it came back.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import chaining, numbering, seals
from accounts.models import ChainHead, Checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """One line of the file: where the chain stood then."""

    at: str
    position: int
    link: str


def write(*, at: datetime) -> Checkpoint | None:
    """Seal where the chain stands; None if nothing happened since the last time."""
    numbering.number_all()
    chaining.chain_all()
    try:
        made = _store(at)
    except IntegrityError:
        return None  # Somebody else was quicker.
    if made is not None:
        logger.info("Events up to %s are sealed: %s", made.position, made.link)
        _remember(made)
    return made


@transaction.atomic
def _store(at: datetime) -> Checkpoint | None:
    chaining.head()
    head = ChainHead.objects.select_for_update().get(pk=1)
    before = last()
    if before is not None and before.position >= head.position:
        return None
    return Checkpoint.objects.create(
        at=at,
        position=head.position,
        link=head.link,
        seal=seals.seal(*_parts(at, head.position, head.link, before)),
    )


def last() -> Checkpoint | None:
    """The newest one, which is shown to owners."""
    return Checkpoint.objects.order_by("-position").first()


def is_whole(checkpoint: Checkpoint, *, before: Checkpoint | None) -> bool:
    """Whether it is as it was sealed, behind this one."""
    parts = _parts(checkpoint.at, checkpoint.position, checkpoint.link, before)
    return seals.holds(checkpoint.seal, *parts)


def remembered() -> Iterator[Remembered]:
    """What the file says, oldest first. A line that was cut off by a full disk says nothing."""
    try:
        lines = _file().open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with lines:
        for text in lines:
            try:
                said = json.loads(text)
                yield Remembered(
                    at=str(said["at"]), position=int(said["position"]), link=str(said["link"])
                )
            except (ValueError, KeyError, TypeError):
                logger.warning("A line of %s cannot be read.", _file())


def _parts(at: datetime, position: int, link: str, before: Checkpoint | None) -> tuple[object, ...]:
    return (at.astimezone(UTC).isoformat(), position, link, before.seal if before else "")


def _remember(made: Checkpoint) -> None:
    text = json.dumps(
        {"at": made.at.isoformat(), "position": made.position, "link": made.link, "seal": made.seal}
    )
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with _file().open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        # The row stands, and the log has the line as well.
        logger.exception("The checkpoint could not be written to %s", _file())


def _file() -> Path:
    return Path(settings.CHECKPOINT_FILE)
