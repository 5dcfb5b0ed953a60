"""The folder of files that were written for programs. Nobody but the panel reads it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from django.conf import settings

from hosting.models import Export

_OWNER_ALONE = 0o600
# A file is in nobody's row while it is written, which takes no day.
_LEFT_BEHIND = timedelta(days=1)


class FileGone(Exception):
    """The file is not in the folder: it was removed, or the folder was lost."""


def new_name(export: Export) -> str:
    """A name for one attempt, so that two workers never write into one file."""
    return f"{export.uuid.hex}-{secrets.token_hex(8)}"


@contextmanager
def new_file(name: str) -> Iterator[IO[bytes]]:
    """A new file to be written; when this ends well it is on the disk, otherwise it is gone."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _note_in_folder(folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def opened(export: Export) -> IO[bytes]:
    """The file of an export that is ready; whoever gets it closes it. Raises `FileGone`."""
    if not export.stored_as:
        message = "There is no file, or none any more."
        raise FileGone(message)
    try:
        return (_folder() / export.stored_as).open("rb")
    except FileNotFoundError as error:
        message = "The file is not here any more. Ask for it again."
        raise FileGone(message) from error


def remove(name: str) -> None:
    """Remove a file that no row names any more."""
    (_folder() / name).unlink(missing_ok=True)


def left_behind(*, at: datetime) -> list[str]:
    """Files that no row names and nobody writes: their worker was killed."""
    before = (at - _LEFT_BEHIND).timestamp()
    try:
        found = {each.name for each in os.scandir(_folder()) if each.stat().st_mtime < before}
    except FileNotFoundError:
        return []
    named = Export.objects.filter(stored_as__in=found).values_list("stored_as", flat=True)
    return sorted(found.difference(named))


def _folder() -> Path:
    return Path(settings.EXPORT_FOLDER)


def _note_in_folder(folder: Path) -> None:
    """What was written is found under its name even if the machine loses its power now."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
