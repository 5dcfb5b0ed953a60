from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from hosting import environment


def test_text_reads_the_variable_or_the_file(monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    monkeypatch.setenv("THING", "plain")
    assert environment.text("THING", default="") == "plain"

    monkeypatch.setenv("THING_FILE", str(secret))
    assert environment.text("THING", default="") == "from a file"
    assert environment.text("OTHER", default="usual") == "usual"


def test_text_says_which_file_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("THING_FILE", str(tmp_path / "none"))

    with pytest.raises(ImproperlyConfigured, match="THING_FILE points to"):
        environment.text("THING", default="")


@pytest.mark.parametrize(
    ("value", "meaning"), [("yes", True), ("TRUE", True), ("0", False), ("", False)]
)
def test_flag_knows_yes_and_no(monkeypatch, value, meaning):
    monkeypatch.setenv("THING", value)

    assert environment.flag("THING", default=not meaning) is meaning
    assert environment.flag("OTHER", default=meaning) is meaning


def test_flag_refuses_to_guess(monkeypatch):
    monkeypatch.setenv("THING", "perhaps")

    with pytest.raises(ImproperlyConfigured, match="write yes or no"):
        environment.flag("THING", default=True)


@pytest.mark.parametrize("value", ["0", "65536", "x", "", "-1", "1.5"])
def test_port_refuses_what_is_none(monkeypatch, value):
    monkeypatch.setenv("THING", value)

    with pytest.raises(ImproperlyConfigured, match="whole number from 1 up to 65535"):
        environment.port("THING", default=1)


def test_whole_number_may_have_no_end(monkeypatch):
    monkeypatch.setenv("THING", "-1")

    with pytest.raises(ImproperlyConfigured, match="whole number from 0\\."):
        environment.whole_number("THING", default=1)


def test_words_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("THING", "a, b,,c ")

    assert environment.words("THING", default="") == ["a", "b", "c"]


def test_kept_secret_is_made_once_and_private(monkeypatch, tmp_path):
    first = environment.kept_secret("THING", folder=tmp_path / "s")
    second = environment.kept_secret("THING", folder=tmp_path / "s")

    assert first == second
    assert len(first) >= 48
    assert (tmp_path / "s/thing").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["thing"]
    monkeypatch.setenv("THING", "given")
    assert environment.kept_secret("THING", folder=tmp_path / "s") == "given"
