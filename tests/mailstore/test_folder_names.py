from __future__ import annotations

import pytest

from mailstore.engine.folder_names import from_wire, is_shown_as, shown, to_wire


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("Work", "Work"),
        ("Work/Über uns", "Work/&ANw-ber uns"),
        ("A&B", "A&-B"),
        ("&AOk-", "&-AOk-"),
        ("台北", "&U,BTFw-"),
        ("😀", "&2D3eAA-"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ],
)
def test_name_travels_as_modified_utf_7(name, wire):
    assert to_wire(name) == wire
    assert from_wire(wire) == name


@pytest.mark.parametrize("name", ["café", "&", "&A", "&AAAAA-", "&AGE-", "&2D3-"])
def test_what_is_no_such_name_stays_as_it_is(name):
    assert from_wire(name) == name


def test_log_shows_the_first_bytes_without_control_characters():
    assert shown("a\x01b\x7f") == "a?b?"
    assert shown("x" * 64) == "x" * 64
    assert shown("x" * 65) == "x" * 61 + "..."
    assert shown("ü" * 33) == "ü" * 30 + "..."


@pytest.mark.parametrize("name", ["A", "a\x01b", "é" * 40, "日本語" * 12, "😀" * 20, "x" * 60])
def test_one_folder_is_recognised_in_both_its_forms(name):
    kept = shown(f".EXPUNGED/{to_wire(name)}").removeprefix(".EXPUNGED/")

    assert is_shown_as(shown(name), kept)
    assert not is_shown_as("B", kept)
    assert not is_shown_as(shown(name), "B")


def test_longer_folder_is_another_one():
    assert not is_shown_as("Work", "Work2")
    assert not is_shown_as("Work2", "Work")
