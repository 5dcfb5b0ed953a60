"""Every guard that the documentation names is there, and so is the test that shows it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs/security.md"


def rows():
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if re.match(r"\| \d+ \|", line):
            yield cells


ROWS = list(rows())


@cache
def names_in(path):
    return set(re.findall(r"^\s*def (test_\w+)", (ROOT / path).read_text(), re.MULTILINE))


def test_every_way_in_that_is_known_from_others_has_a_row():
    numbers = [int(row[0]) for row in ROWS]

    assert numbers == sorted(set(numbers))
    assert set(range(1, 23)) <= set(numbers)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row_names_places_and_tests_that_exist(row):
    _number, way_in, guard, places, shown = row

    assert len(way_in) > 20
    assert len(guard) > 20
    named = re.findall(r"`([^`]+)`", places)
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
    tests = re.findall(r"`([^`]+)`", shown)
    assert tests
    for each in tests:
        path, _, name = each.partition("::")
        assert (ROOT / path).is_file(), each
        assert name in names_in(path), each


def test_the_mail_server_runs_no_programs_of_customers():
    templates = (ROOT / "mailstore/engine/templates.py").read_text()

    assert not re.search(r"sieve|managesieve|imap_filter|quota_warning_exec", templates)


def test_whoever_finds_a_hole_is_told_what_to_do():
    text = (ROOT / "SECURITY.md").read_text()

    assert "docs/security.md" in text
    assert "security.txt" in text
