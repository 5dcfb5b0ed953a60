"""What a bench prints and writes down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES
from bench.report import Row, table, write

REPOSITORY = Path(__file__).parent.parent


def row(value, reference, aim, *, is_ceiling=False):
    return Row(
        bench="b",
        name="n",
        value=value,
        unit="/s",
        reference=reference,
        aim=aim,
        is_ceiling=is_ceiling,
    )


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (row(80, 100, 0.8), True),
        (row(79, 100, 0.8), False),
        (row(299, 300, 1.0, is_ceiling=True), True),
        (row(301, 300, 1.0, is_ceiling=True), False),
        (row(1, 2, None), None),
        (row(1, None, None), None),
    ],
)
def test_aim_is_met_or_not_or_there_is_none(found, met):
    assert found.met is met


def test_rows_are_written_with_the_agreed_fields(tmp_path):
    write([row(50, 100, 0.8)], tmp_path / "rows.json")

    assert json.loads((tmp_path / "rows.json").read_text()) == [
        {
            "bench": "b",
            "name": "n",
            "value": 50,
            "unit": "/s",
            "reference": 100,
            "aim": 0.8,
            "ratio": 0.5,
            "met": False,
        }
    ]


def test_table_names_a_missed_aim():
    lines = table([row(50, 100, 0.8), row(1, None, None)]).splitlines()

    assert lines[0].split()[:4] == ["bench", "figure", "value", "unit"]
    assert lines[0].split()[4:] == ["reference", "ratio", "aim", "met"]
    assert lines[1].split() == ["b", "n", "50.00", "/s", "100", "0.50", "≥", "0.8", "no"]
    assert lines[2].split() == ["b", "n", "1.00", "/s"]


@pytest.mark.parametrize("arguments", [(), ("nothing",)])
def test_unknown_bench_is_answered_with_those_that_exist(arguments):
    answer = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert ", ".join(BENCHES) in answer.stderr
