"""The whole program as `bin/run` starts it, on free ports and a state folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from hosting.stack.leftovers import MARK

ROOT = Path(__file__).resolve().parents[2]
PORTS = (
    "PANEL_PORT",
    "IMAP_PORT",
    "IMAPS_PORT",
    "POP3_PORT",
    "POP3S_PORT",
    "LMTP_PORT",
    "DOVEADM_PORT",
)
READY = "Restante is running. Ctrl-C stops it."


def free_ports() -> dict[str, str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    numbers = [str(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return dict(zip(PORTS, numbers, strict=True))


def start(state: Path, ports: dict[str, str], *options: str) -> subprocess.Popen[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "MAIL_ENGINE", "REDIS_URL"}
    }
    return subprocess.Popen(
        [sys.executable, "-m", "hosting.stack", *options],
        cwd=ROOT,
        env=environment | ports | {"RESTANTE_STATE": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_ready(launcher: subprocess.Popen[str]) -> None:
    alarm = threading.Timer(90, launcher.kill)
    alarm.start()
    said = []
    for line in launcher.stdout:
        said.append(line)
        if READY in line:
            break
    alarm.cancel()
    assert READY in "".join(said[-1:]), "".join(said)


def stop(launcher: subprocess.Popen[str]) -> str:
    launcher.send_signal(signal.SIGINT)
    said, _ = launcher.communicate(timeout=30)
    return said


def processes(state: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state) or str(state) in process.cwd():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture
def state():
    # Short, because the mail server's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="stack-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def ports():
    return free_ports()


def test_everything_starts_answers_and_is_gone_after_ctrl_c(state, ports):
    launcher = start(state, ports)
    wait_until_ready(launcher)

    answer = httpx.get(f"http://127.0.0.1:{ports['PANEL_PORT']}/healthz", trust_env=False)
    said = stop(launcher)

    assert answer.status_code == 200
    assert "Demo sign-ins" in said
    assert launcher.returncode == 0
    assert processes(state) == []


def test_a_second_start_on_the_same_folder_is_refused(state, ports):
    first = start(state, ports, "--no-demo")
    wait_until_ready(first)

    second = start(state, free_ports(), "--no-demo")
    said, _ = second.communicate(timeout=30)
    stop(first)

    assert second.returncode == 1
    assert said == (
        f"restante: Restante is already running on {state} (process {first.pid}); "
        "stop that one, or choose another folder with --state.\n"
    )


def test_what_a_killed_launcher_left_does_not_hinder_the_next_start(state, ports):
    first = start(state, ports, "--no-demo")
    wait_until_ready(first)
    supervisor = int((state / "run/supervisord.pid").read_text())
    for pid in (first.pid, supervisor):
        os.kill(pid, signal.SIGKILL)
    first.communicate()

    second = start(state, ports, "--no-demo")
    wait_until_ready(second)
    stop(second)

    assert second.returncode == 0
    assert processes(state) == []


def test_a_taken_port_is_refused_before_anything_starts(state, ports):
    with socket.create_server(("127.0.0.1", int(ports["POP3_PORT"]))):
        launcher = start(state, ports, "--no-demo")
        said, _ = launcher.communicate(timeout=30)

    assert launcher.returncode == 1
    assert said.startswith(f"restante: Port {ports['POP3_PORT']} on 127.0.0.1 (for POP3) is held")
    assert processes(state) == []
