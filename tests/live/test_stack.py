"""The whole program as `bin/run` starts it, on free ports and a state folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

from hosting.stack.leftovers import MARK
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PORTS = (
    "PANEL_PORT",
    "IMAP_PORT",
    "IMAPS_PORT",
    "POP3_PORT",
    "POP3S_PORT",
    "LMTP_PORT",
    "DOVEADM_PORT",
    "GUARD_PORT",
)
READY = "Restante is running. Ctrl-C stops it."


def free_ports() -> dict[str, str]:
    return {name: str(free_port()) for name in PORTS}


class Launcher:
    """A started program whose words are kept in a file: two readers of one pipe lose some."""

    def __init__(self, state: Path, ports: dict[str, str], *options: str) -> None:
        foreign = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "MAIL_ENGINE", "REDIS_URL"}
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        self.environment = kept | ports | {"RESTANTE_STATE": str(state)}
        file, name = tempfile.mkstemp(prefix="stack-said-")
        self.output = Path(name)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hosting.stack", *options],
            cwd=ROOT,
            env=self.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        os.close(file)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> None:
        eventually(lambda: READY in self.said or self.process.poll() is not None)
        assert self.process.poll() is None, self.said

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE_SECONDS)


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
    launcher = Launcher(state, ports)
    launcher.wait_until_ready()

    doctor = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=ROOT,
        env=launcher.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = httpx.get(
        f"http://127.0.0.1:{ports['PANEL_PORT']}/healthz", trust_env=False, timeout=PATIENCE_SECONDS
    )

    assert launcher.stop() == 0
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert answer.status_code == 200
    assert "Demo sign-ins" in launcher.said
    assert processes(state) == []


def test_a_second_start_on_the_same_folder_is_refused(state, ports):
    first = Launcher(state, ports, "--no-demo")
    first.wait_until_ready()

    second = Launcher(state, free_ports(), "--no-demo")
    code = second.wait()
    first.stop()

    assert code == 1
    assert second.said == (
        f"restante: Restante is already running on {state} (process {first.process.pid}); "
        "stop that one, or choose another folder with --state.\n"
    )


def test_what_a_killed_launcher_left_does_not_hinder_the_next_start(state, ports):
    first = Launcher(state, ports, "--no-demo")
    first.wait_until_ready()
    supervisor = int((state / "run/supervisord.pid").read_text())
    for pid in (first.process.pid, supervisor):
        os.kill(pid, signal.SIGKILL)
    first.wait()

    second = Launcher(state, ports, "--no-demo")
    second.wait_until_ready()

    assert second.stop() == 0
    assert processes(state) == []


def test_a_taken_port_is_refused_before_anything_starts(state, ports):
    with socket.create_server(("127.0.0.1", int(ports["POP3_PORT"]))):
        launcher = Launcher(state, ports, "--no-demo")
        code = launcher.wait()

    assert code == 1
    assert launcher.said.startswith(
        f"restante: Port {ports['POP3_PORT']} on 127.0.0.1 (for POP3) is held"
    )
    assert processes(state) == []
