"""Runs the services of `docker-compose.yml` as they are described, without a Docker engine.

A service gets its image's root folder, read only where it says so, its volumes, tmpfs, secrets,
user, rights and environment, and nothing else. All share one network of this test alone, in
which every name of the file leads to an address of the loopback.
"""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from tests.production.images import ROOT, Image, mount_layers, run

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
# What an operator writes into `.env`.
OPERATOR = {
    "PANEL_URL": "https://panel.example.test",
    "ALLOWED_HOSTS": "panel.example.test",
    "MAIL_HOST": "mail.example.test",
}
# An address for each name, so that a listener on one of them is not on the others.
ADDRESSES = {"database": "127.0.0.1", "redis": "127.0.0.1", "mail-inner": "127.0.0.25"}
ADDRESSES |= {"guard-inner": "127.0.0.26"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+):(?P<kind>[?-])(?P<text>[^}]*)\}")
# A machine that does much else besides takes minutes for the migrations.
_PATIENCE_SECONDS = 300
_LOG_LINES = 40


def environment_of(service: str) -> dict[str, str]:
    """A service's variables with the operator's values put in."""
    given = COMPOSE["services"][service].get("environment", {})
    return {name: _VARIABLE.sub(_value, str(text)) for name, text in given.items()}


def _value(variable: re.Match[str]) -> str:
    if variable["kind"] == "?":
        return OPERATOR[variable["name"]]
    return OPERATOR.get(variable["name"], variable["text"])


class Container:
    """One service, ready to be entered."""

    def __init__(self, name: str, image: Image, folder: Path, stack: ExitStack) -> None:
        self.name, self.image, self.folder = name, image, folder
        self.service: dict[str, Any] = COMPOSE["services"][name]
        self.log = folder / f"{name}.log"
        self._stack = stack
        place = folder / "containers" / name
        self.root = mount_layers(image.layers, top=place / "top", at=place / "root", stack=stack)
        self._lay_out()

    def _lay_out(self) -> None:
        self._mount("proc", "-t", "proc", "proc")
        self._mount("dev", "--rbind", "/dev")
        names = "".join(f"{address} {name}\n" for name, address in ADDRESSES.items())
        self._inside("/etc/hosts").write_text(f"127.0.0.1 localhost\n{names}", encoding="ascii")
        self._mount_secrets()
        # Outer folders first, as an engine does.
        mounts = [*self._volumes(), *self._tmpfs()]
        for target, words, options in sorted(mounts):
            self._mount(target, *words)
            if "ro" in options:
                run("mount", "-o", "remount,bind,ro", self._inside(target))
        if self.service.get("read_only"):
            run("mount", "-o", "remount,ro", self.root)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _mount(self, target: str, *words: object) -> None:
        place = self._inside(target)
        place.mkdir(parents=True, exist_ok=True)
        run("mount", *words, place)

    def _volumes(self) -> list[tuple[str, tuple[object, ...], list[str]]]:
        found = []
        for line in self.service.get("volumes", []):
            source, target, *options = line.split(":")
            folder = self.folder / source
            if not folder.exists():
                # A new volume begins as a copy of the folder that it is laid over.
                run("cp", "-a", self._inside(target), folder)
            found.append((target, ("--bind", folder), options))
        return found

    def _tmpfs(self) -> list[tuple[str, tuple[object, ...], list[str]]]:
        found = []
        for line in self.service.get("tmpfs", []):
            target, _, options = line.partition(":")
            found.append((target, ("-t", "tmpfs", "-o", options or "mode=1777", "tmpfs"), []))
        return found

    def _mount_secrets(self) -> None:
        for name in self.service.get("secrets", []):
            place = self._inside(f"/run/secrets/{name}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            run("mount", "--bind", self.folder / COMPOSE["secrets"][name]["file"], place)

    def _enter(self, command: list[str]) -> list[str]:
        user, group = self.service.get("user", self.image.user).split(":")
        caught = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        variables = self.image.environment | environment_of(self.name)
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | variables
        return [
            *("chroot", str(self.root), "setpriv", f"--reuid={user}", f"--regid={group}"),
            *("--clear-groups", *caught, "env", "-i", f"--chdir={self.image.folder}"),
            *(f"{name}={text}" for name, text in variables.items()),
            *command,
        ]

    def run(self, *command: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """A command inside, as `docker compose exec` would run it."""
        return subprocess.run(
            self._enter(list(command)),
            input=said,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def start(self) -> None:
        """The service's own command, until the end of the test."""
        command = self.service.get("command") or list(self.image.command)
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._enter(command), stdout=log, stderr=log)
        self._stack.callback(_end, process)
        self.process = process

    def finish(self) -> int:
        """The exit code of a service that runs to its end."""
        return self.process.wait(timeout=_PATIENCE_SECONDS)

    def ask_health(self) -> subprocess.CompletedProcess[str]:
        """What its own health check says."""
        kind, *command = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(*command)

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (answer := self.ask_health()).returncode != 0:
            heard = f"{answer.stdout}{answer.stderr}\n{self.said}"
            assert self.process.poll() is None, f"{self.name} has ended:\n{heard}"
            assert time.monotonic() < deadline, f"{self.name} is not healthy:\n{heard}"
            time.sleep(1)

    @property
    def said(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
