"""A log as one stream of whole lines, however often it was rotated since it was last read.

A rotated file is found again by its inode, and one that was compressed or copied by its first
line. It is read to its end before the next one is begun; and it has ended once a newer file has
something in it, because its writer has only one of them open.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import logging
import lzma
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

LONGEST_LINE = 16_384
# Programs come again and again, so the more is read at once, the fewer rows it comes to.
_MOST_AT_ONCE = 16_000_000
_HEAD_BYTES = 4096
_OPENERS: dict[str, Callable[..., IO[Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_ROTATED = r"[.-]\d[\d.-]*(?:\.gz|\.bz2|\.xz)?"
# How every line begins; what does not is the end of one that was cut by a rotation.
_BEGINNING = re.compile(rb"\d{4}-\d\d-\d\dT")


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a log has been read: the file, and the byte after the last line.

    `head` is a digest of the file's first line, or empty while that is not whole. `written_ns` is
    when the file had been written to last, in nanoseconds of Unix time; 0 where nobody knows.
    """

    inode: int
    offset: int
    head: str = ""
    written_ns: int = 0


def read(path: Path, position: Position | None) -> tuple[bytes, Position | None]:
    """The next whole lines since `position`, some megabytes at most, and the new position."""
    try:
        files, begin = _since(path, position)
        return _next_lines(files, begin, known=position)
    except FileNotFoundError:  # It is being rotated at this moment, or was never written.
        return b"", position


def _next_lines(
    files: Sequence[Path], begin: int, *, known: Position | None
) -> tuple[bytes, Position | None]:
    cut = b""
    for number, file in enumerate(files):
        # Asked before the reading: then nothing can be written behind what is read.
        has_ended = any(later.stat().st_size for later in files[number + 1 :])
        text = _bytes(file, begin, _MOST_AT_ONCE)
        end = text.rfind(b"\n") + 1
        if not end and len(text) >= LONGEST_LINE:
            end = len(text)
        if end or not (has_ended or cut):
            separator = b"\n" if cut and _BEGINNING.match(text) else b""
            state = file.stat()
            return (
                cut + separator + text[:end],
                Position(
                    inode=state.st_ino,
                    offset=begin + end,
                    head=_head(file),
                    written_ns=state.st_mtime_ns,
                ),
            )
        cut, begin = cut + text, 0
    # A line that was cut stays where it is until the rest of it is there.
    return b"", known


def _since(path: Path, known: Position | None) -> tuple[list[Path], int]:
    """The file that was read last with all newer ones, and where to go on in the first.

    If it is gone, those are newer that were written to later. Mostly these are all that are left,
    because the oldest go first; but somebody may have removed the newest.
    """
    if known is None or not known.inode:
        return [path], 0
    if path.exists() and _is_itself(path, known):
        return [path], known.offset
    files = [*_rotated(path), *([path] if path.exists() else [])]
    for is_known in (_is_itself, _is_copy):
        for number, file in enumerate(files):
            if is_known(file, known):
                return files[number:], known.offset
    newer = (file for file in files if file == path or _written_ns(file) >= known.written_ns)
    return list(newer), 0


def _written_ns(file: Path) -> int:
    return file.stat().st_mtime_ns


def _rotated(path: Path) -> list[Path]:
    """Older files of a log, the oldest first."""
    name = re.compile(re.escape(path.name) + _ROTATED)
    found = {file for file in path.parent.iterdir() if name.fullmatch(file.name)}
    # While a file is being compressed it is there in both forms.
    whole = [f for f in found if f.suffix not in _OPENERS or f.with_suffix("") not in found]
    return sorted(whole, key=lambda file: (file.stat().st_mtime_ns, file.name))


def _is_itself(file: Path, known: Position) -> bool:
    is_same = file.stat().st_ino == known.inode and file.stat().st_size >= known.offset
    return is_same and (not known.head or _head(file) == known.head)


def _is_copy(file: Path, known: Position) -> bool:
    is_whole = file.suffix in _OPENERS or file.stat().st_size >= known.offset
    return is_whole and known.head != "" and _head(file) == known.head


def _head(file: Path) -> str:
    begin = _bytes(file, 0, _HEAD_BYTES)
    line, newline, _rest = begin.partition(b"\n")
    if not newline and len(begin) < _HEAD_BYTES:
        return ""
    return hashlib.sha256(line).hexdigest()


def _bytes(file: Path, begin: int, most: int) -> bytes:
    try:
        with _OPENERS.get(file.suffix, open)(file, "rb") as log:
            log.seek(begin)
            text: bytes = log.read(most)
            return text
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
        logger.warning("The rotated log %s is damaged and passed over.", file)
        return b""
