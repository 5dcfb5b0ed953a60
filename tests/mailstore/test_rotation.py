"""A log that is rotated in every way between two readings; nothing of it may be lost."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from itertools import count

import pytest

from mailstore.engine import rotation
from mailstore.engine.rotation import Position, read

_numbers = count(1)


def lines(*words):
    return b"".join(b"2026-11-23T10:00:00 %s\n" % word.encode() for word in words)


def words(text):
    return [line.partition(b" ")[2].decode() for line in text.splitlines()]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "dovecot.log"


class Reader:
    """What the worker does: it reads, and remembers how far it came."""

    def __init__(self, path):
        self.path, self.position = path, None

    def read(self):
        text, self.position = read(self.path, self.position)
        return words(text)

    def read_all(self):
        found = []
        while more := self.read():
            found += more
        return found


@pytest.fixture
def reader(log):
    log.write_bytes(lines("one"))
    reader = Reader(log)
    assert reader.read() == ["one"]
    return reader


def append(path, raw):
    with path.open("ab") as out:
        out.write(raw)
    # Each file is newer than what was rotated before it, whatever the clock's steps.
    moment = 1_800_000_000 + next(_numbers)
    os.utime(path, (moment, moment))


def rotate(log, name="dovecot.log.1"):
    log.rename(log.with_name(name))


def compress(path, opener, suffix):
    state = path.stat()
    target = path.with_name(path.name + suffix)
    with opener(target, "wb") as out:
        out.write(path.read_bytes())
    os.utime(target, (state.st_mtime, state.st_mtime))
    path.unlink()


def test_what_was_written_before_the_rotation_is_read_first(log, reader):
    append(log, lines("two"))
    rotate(log)
    append(log, lines("three"))

    assert reader.read() == ["two"]
    assert reader.read() == ["three"]
    assert reader.read() == []


def test_writer_that_has_the_old_file_open_is_waited_for(log, reader):
    rotate(log)
    old = log.with_name("dovecot.log.1")
    assert reader.read() == []
    append(old, lines("two"))
    assert reader.read() == ["two"]
    log.touch()
    append(old, lines("three"))
    assert reader.read() == ["three"]
    append(log, lines("four"))

    assert reader.read() == ["four"]


def test_two_rotations_between_two_readings_lose_nothing(log, reader):
    append(log, lines("two"))
    rotate(log, "dovecot.log.2")
    append(log, lines("three"))
    rotate(log, "dovecot.log.1")
    append(log, lines("four"))

    assert reader.read_all() == ["two", "three", "four"]


@pytest.mark.parametrize(
    ("opener", "suffix"), [(gzip.open, ".gz"), (bz2.open, ".bz2"), (lzma.open, ".xz")]
)
def test_compressed_file_is_found_by_its_first_line(opener, suffix, log, reader):
    append(log, lines("two"))
    rotate(log, "dovecot.log-20261123")
    compress(log.with_name("dovecot.log-20261123"), opener, suffix)
    append(log, lines("three"))
    rotate(log, "dovecot.log-20261124")
    append(log, lines("four"))

    assert reader.read_all() == ["two", "three", "four"]


def test_file_that_is_being_compressed_is_read_once(log, reader):
    append(log, lines("two"))
    rotate(log)
    log.with_name("dovecot.log.1.gz").write_bytes(b"\x1f\x8b")
    append(log, lines("three"))

    assert reader.read_all() == ["two", "three"]


def test_log_that_was_copied_and_cut_loses_nothing(log, reader):
    append(log, lines("two"))
    shutil.copy(log, log.with_name("dovecot.log.1"))
    log.write_bytes(b"")
    append(log, lines("three"))

    assert reader.read_all() == ["two", "three"]


def test_log_that_was_cut_and_grew_beyond_where_it_was_read_is_a_new_one(log, reader):
    log.write_bytes(lines("a line longer than before", "another one"))

    assert reader.read_all() == ["a line longer than before", "another one"]


@pytest.mark.parametrize("at", [1, 12, 22])
def test_line_that_the_rotation_cut_in_two_is_read_whole(at, log, reader):
    whole = lines("two")
    append(log, whole[:at])
    rotate(log)
    append(log, whole[at:-1])
    assert reader.read() == []
    append(log, b"\n" + lines("three"))

    assert reader.read_all() == ["two", "three"]


def test_line_without_an_end_takes_none_of_the_next_file_with_it(log, reader):
    append(log, lines("two") + b"2026-11-23T10:00:00 never fin")
    rotate(log)
    append(log, lines("three"))

    assert reader.read() == ["two"]
    assert reader.read() == ["never fin", "three"]


def test_rotation_that_lost_the_file_leaves_all_that_there_is(log, reader):
    log.unlink()
    append(log, lines("two"))
    rotate(log)
    append(log, lines("three"))

    assert reader.read_all() == ["two", "three"]


def test_log_that_somebody_deleted_brings_nothing_of_before_back(log, reader):
    append(log, lines("two"))
    rotate(log)
    append(log, lines("three"))
    assert reader.read_all() == ["two", "three"]
    log.unlink()
    assert reader.read_all() == []
    append(log, lines("four"))

    assert reader.read_all() == ["four"]


def test_damaged_file_holds_up_nothing(log, reader):
    append(log, lines("two"))
    rotate(log)
    compress(log.with_name("dovecot.log.1"), gzip.open, ".gz")
    damaged = log.with_name("dovecot.log.1.gz")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    append(log, lines("three"))

    assert reader.read_all() == ["three"]


def test_other_files_beside_the_log_are_no_part_of_it(log, reader):
    for name in ("dovecot.log.old", "dovecot.log.gz", "dovecot-info.log.1", "xdovecot.log.1"):
        append(log.with_name(name), lines("other"))
    rotate(log)
    append(log, lines("two"))

    assert reader.read_all() == ["two"]


def test_long_file_is_read_in_parts_before_the_next_one(log, reader, monkeypatch):
    monkeypatch.setattr(rotation, "_MOST_AT_ONCE", 60)
    append(log, lines("two", "three", "four", "five"))
    rotate(log)
    append(log, lines("six"))

    assert reader.read() == ["two", "three"]
    assert reader.read_all() == ["four", "five", "six"]


def test_log_that_nobody_has_written_says_nothing(log):
    assert read(log, None) == (b"", None)
    known = Position(inode=7, offset=3, head="x")
    assert read(log, known) == (b"", known)


def test_worker_that_died_reads_the_same_again(log, reader):
    append(log, lines("two"))
    rotate(log)
    append(log, lines("three"))
    before = reader.position

    assert reader.read() == ["two"]
    reader.position = before
    assert reader.read() == ["two"]
