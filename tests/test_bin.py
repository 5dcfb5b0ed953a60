"""The commands a person types, as far as they can be tried without starting servers."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = sorted(path for path in (ROOT / "bin").iterdir() if path.is_file())
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def sourced(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("bash", "-c", f"source '{ROOT}/bin/_environment'\n{script}", **environment)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.name)
def test_command_is_valid_bash(command):
    assert run("bash", "-n", str(command)).stderr == ""


def test_every_command_but_the_sourced_one_can_be_executed():
    executable = {path.name for path in COMMANDS if os.access(path, os.X_OK)}

    assert executable == {"bench", "manage", "run", "test"}


def test_run_explains_its_options():
    answer = run(str(ROOT / "bin/run"), "--help")

    assert answer.returncode == 0
    assert re.findall(r"^  (--[a-z-]+)", answer.stdout, re.MULTILINE) == [
        "--port",
        "--state",
        "--no-demo",
        "--help",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prot", "80"], "restante: '--prot' is not an option of bin/run; see bin/run --help.\n"),
        (["--port"], "restante: --port needs a value; see bin/run --help.\n"),
    ],
)
def test_run_refuses_options_it_does_not_know(arguments, sentence):
    answer = run(str(ROOT / "bin/run"), *arguments)

    assert (answer.returncode, answer.stderr) == (1, sentence)


@pytest.fixture
def short_path():
    """A folder whose path leaves room for the names of sockets, wherever tests keep theirs."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as name:
        yield Path(name).resolve()


def test_a_state_folder_that_cannot_be_written_gets_one_sentence(short_path):
    short_path.chmod(0o500)
    folder = short_path / "state"

    answer = sourced("choose_user; choose_folders", RESTANTE_STATE=str(folder))

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"restante: The folder {folder} cannot be written by '")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("is_new", [True, False])
def test_a_state_folder_is_closed_to_other_users_of_the_machine(is_new, short_path):
    """Files of SQLite can be read by everybody who reaches them, and hold sessions of people."""
    folder = short_path / "state"
    if not is_new:
        folder.mkdir(mode=0o755)

    answer = sourced("choose_user; choose_folders", RESTANTE_STATE=str(folder))

    assert (answer.returncode, answer.stderr) == (0, "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_state_folder_with_a_path_too_long_for_sockets_is_refused(tmp_path):
    folder = tmp_path / ("long" * 20)

    answer = sourced("choose_user; choose_folders", RESTANTE_STATE=str(folder))

    assert answer.returncode == 1
    assert "too long for the mail server's sockets" in answer.stderr
    assert not folder.exists()


def test_a_system_without_apt_is_told_what_is_missing(tmp_path):
    answer = sourced(f"PATH={tmp_path} SYSTEM_PATH={tmp_path}; need_packages dovecot-core isync")

    assert answer.returncode == 1
    assert answer.stderr == (
        "restante: This system has no apt, so please install what is missing by its own means"
        " (dovecot mbsync; Debian calls the packages dovecot-core isync), then start again.\n"
    )


def test_a_user_without_sudo_is_told_what_to_install():
    answer = sourced(
        "is_root() { return 1; }; command() { return 1; }; install_packages isync mpop",
    )

    assert answer.returncode == 1
    assert answer.stderr == (
        "restante: The packages isync mpop are missing;"
        " run 'apt-get install isync mpop' as root, then start again.\n"
    )


def test_the_copy_of_the_tree_loses_what_the_clone_lost(tmp_path):
    clone, code = tmp_path / "clone", tmp_path / "code"
    for name in ("kept.py", "var/data", ".venv/bin/python3", "gone.py"):
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first", encoding="utf-8")
    refresh = f"CLONE={clone} CODE={code}; refresh_tree"
    sourced(refresh)
    (clone / "gone.py").unlink()
    (clone / "kept.py").write_text("second", encoding="utf-8")

    answer = sourced(refresh)

    assert answer.stderr == ""
    files = {path.name: path.read_text("utf-8") for path in code.rglob("*") if path.is_file()}
    assert files == {"kept.py": "second"}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_carries_hashes(name):
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]

    assert lines
    assert [
        line for line in lines if not re.match(r"^[a-z0-9-]+==\S+ .*--hash=sha256:", line)
    ] == []


@pytest.mark.parametrize("name", [*REQUIREMENTS, "requirements.in", "requirements-dev.in"])
def test_requirements_name_no_place_to_download_from(name):
    text = (ROOT / name).read_text(encoding="utf-8")

    assert re.findall(r"https?:|file:|--index|--extra|--find-links", text) == []


def test_the_list_of_packages_is_complete():
    # It is installed as it stands, without looking for what it might lack.
    assert run(sys.executable, "-m", "pip", "check").stdout == "No broken requirements found.\n"
