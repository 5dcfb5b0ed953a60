"""Keeps the parts running, by supervisord; the only module that speaks to it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Error as ProtocolError
from xmlrpc.client import ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from hosting.stack.leftovers import MARK

if TYPE_CHECKING:
    # The watch stays small: it knows no part but by name.
    from hosting.stack.parts import Part

# A task or a page in progress is given this long; then the process is killed.
_STOP_SECONDS = 8
_ALL_STOPPED_SECONDS = 20
# A part that ends sooner has failed to start. What it imports first takes seconds on a busy
# machine; were it taken for running by then, it would start for ever and nobody be told.
_STARTED_SECONDS = 10
_LOG_OPTIONS = {"maxbytes": "5MB", "backups": "3"}


@dataclass(frozen=True, kw_only=True)
class PartState:
    """How supervision sees a part: `state` is supervisord's word, such as RUNNING or FATAL."""

    name: str
    state: str
    pid: int


class Supervisor:
    """supervisord as a child of this process; one that runs already is named by its `pid`."""

    def __init__(self, *, state: Path, code: Path, pid: int | None = None) -> None:
        self.folder = state / "run"
        self.state = state
        self.code = code
        self._process = None if pid is None else psutil.Process(pid)

    @property
    def socket(self) -> Path:
        return self.folder / "supervisor.sock"

    @property
    def log(self) -> Path:
        return self.state / "log" / "supervisord.log"

    def start(self, parts: list[Part]) -> None:
        """Start supervisord, which starts `parts` in their order.

        It stands in a session of its own, so that Ctrl-C reaches the launcher alone, and
        the kernel ends it if the launcher is killed.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        path = self.folder / "supervisord.conf"
        with path.open("w", encoding="utf-8") as file:
            self._configuration(parts).write(file)
        program = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(path)]
        self._process = psutil.Popen(
            ["setpriv", "--pdeathsig", "TERM", *program],
            cwd=self.code,
            env=os.environ | {MARK: str(self.state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def part_states(self) -> dict[str, PartState]:
        """The state of each part; empty while supervisord itself is starting."""
        transport = SupervisorTransport(serverurl=f"unix://{self.socket}")
        try:
            answer: Any = ServerProxy("http://supervisor", transport).supervisor.getAllProcessInfo()
        except (OSError, ProtocolError):
            return {}
        finally:
            transport.close()
        return {
            row["name"]: PartState(name=row["name"], state=row["statename"], pid=row["pid"])
            for row in answer
        }

    @property
    def pid(self) -> int:
        """The number of its process, once it has been started."""
        if self._process is None:
            message = "supervisord was not started"
            raise RuntimeError(message)
        return int(self._process.pid)

    def is_alive(self) -> bool:
        """Whether supervisord runs."""
        if self._process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(self._process.status() != psutil.STATUS_ZOMBIE)
        return False

    def stop(self) -> None:
        """Stop every part, then supervisord; returns when all are gone."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.terminate()
        try:
            self._process.wait(timeout=_ALL_STOPPED_SECONDS)
        except psutil.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _configuration(self, parts: list[Part]) -> RawConfigParser:
        configuration = RawConfigParser()
        configuration["unix_http_server"] = {"file": _literal(self.socket), "chmod": "0600"}
        configuration["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": ("supervisor.rpcinterface:make_main_rpcinterface"),
        }
        configuration["supervisord"] = {
            "logfile": _literal(self.log),
            "pidfile": _literal(self.folder / "supervisord.pid"),
            "childlogdir": _literal(self.log.parent),
            **{f"logfile_{name}": value for name, value in _LOG_OPTIONS.items()},
        }
        for place, part in enumerate(parts):
            configuration[f"program:{part.name}"] = self._program(part, priority=place)
        return configuration

    def _program(self, part: Part, *, priority: int) -> dict[str, str]:
        return {
            "command": _literal(shlex.join(part.command)),
            "directory": _literal(self.code),
            "environment": _literal(
                ",".join(f'{name}="{value}"' for name, value in part.environment.items())
            ),
            "priority": str(priority),
            "autorestart": "true",
            "startsecs": str(_STARTED_SECONDS),
            "startretries": "5",
            "stopwaitsecs": str(_STOP_SECONDS),
            # A part's own children go with it.
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _literal(part.log),
            **{f"stdout_logfile_{name}": value for name, value in _LOG_OPTIONS.items()},
        }


def _literal(value: object) -> str:
    """`value` as supervisord reads it back: it expands percent signs."""
    return str(value).replace("%", "%%")
