"""The order of things: check, prepare, start, wait until ready, watch, stop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.utils import timezone

from hosting import demo
from hosting.celery import make_folders
from hosting.stack import leftovers, parts, ports, readiness, welcome
from hosting.stack.supervision import Supervisor
from mailstore import mail_role
from mailstore.engine import EngineError, config, engine, process, server_from_settings

_READY_SECONDS = 60
_LOOK_AGAIN_SECONDS = 0.1
_WATCH_SECONDS = 2
_LOG_LINES = 15


class NotStarted(Exception):
    """The program cannot be started; the message says why and what to do."""


def run(*, with_demo: bool) -> int:
    """Start everything, stay until told to stop, stop everything."""
    state = Path(settings.RESTANTE_STATE)
    try:
        with _only_one(state):
            is_new_demo = _prepare(state, with_demo=with_demo)
            supervisor = Supervisor(state=state, code=settings.BASE_DIR)
            _supervise(supervisor, has_letters_to_come=is_new_demo)
    except (NotStarted, ports.PortUnavailable) as error:
        _tell(f"restante: {error}")
        return 1
    except KeyboardInterrupt:
        _tell("Stopped.")
    return 0


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Hold the state folder's lock; the kernel lets go of it however this process ends."""
    path = state / "launcher.pid"
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            message = (
                f"Restante is already running on {state} (process {file.read().strip()}); "
                "stop that one, or choose another folder with --state."
            )
            raise NotStarted(message) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _prepare(state: Path, *, with_demo: bool) -> bool:
    """Everything that comes before the first process; whether a demo was made just now."""
    if leftovers.end_leftovers(state=state):
        _tell("An earlier start had not ended properly; its processes are stopped now.")
    ports.require_free(ports.from_settings())
    make_ready()
    return with_demo and demo.load(at=timezone.now())


def make_ready() -> None:
    """Database, mail role, mail configuration and certificate, each as far as it is not."""
    make_folders()
    _migrate()
    if settings.DATABASE_URL:
        _make_mail_role()
    _configure_mail()


def _make_mail_role() -> None:
    try:
        mail_role.grant_from_settings()
    except DatabaseError as error:
        message = (
            f"The mail server's role cannot be made: {str(error).strip()}. Give the role in "
            "DATABASE_URL the right CREATEROLE, or make the one that DOVECOT_DATABASE_URL names."
        )
        raise NotStarted(message) from error


def _configure_mail() -> None:
    try:
        server = server_from_settings()
        process.installed_version()
        process.prepare(server)
        config.install(server)
    except process.NotInstalled as error:
        message = f"{error} Install it, then start again."
        raise NotStarted(message) from error
    except config.ConfigurationRefused as error:
        message = f"Dovecot refuses the configuration made for it: {error}"
        raise NotStarted(message) from error


def _migrate() -> None:
    for alias in settings.DATABASES:
        try:
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        except DatabaseError as error:
            message = (
                f"The database '{alias}' cannot be used: {str(error).strip()}. "
                "Check that it runs and that DATABASE_URL is right."
            )
            raise NotStarted(message) from error


def _supervise(supervisor: Supervisor, *, has_letters_to_come: bool) -> None:
    try:
        _start(supervisor)
        if has_letters_to_come:
            _deliver_letters()
        connections.close_all()
        welcome.show()
        _watch(supervisor)
    except KeyboardInterrupt:
        _tell("\nStopping …")
        raise
    finally:
        supervisor.stop()
        leftovers.end_leftovers(state=supervisor.state)


def _deliver_letters() -> None:
    try:
        demo.deliver_letters(engine=engine(), at=timezone.now())
    except EngineError as error:
        _tell(f"The demo's letters did not go in: {error}. 'bin/manage load_demo --letters' does.")


def _start(supervisor: Supervisor) -> None:
    """Start all parts and return when each is ready; tell which one is not."""
    waiting = readiness.probes(started_at=timezone.now())
    supervisor.start(parts.all_parts())
    readiness.ask_worker()
    deadline = time.monotonic() + _READY_SECONDS
    while waiting:
        for name in [name for name, is_ready in waiting.items() if is_ready()]:
            del waiting[name]
        _require_running(supervisor, waiting=list(waiting), deadline=deadline)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _require_running(supervisor: Supervisor, *, waiting: list[str], deadline: float) -> None:
    if not supervisor.is_alive():
        message = f"The supervisor could not start; {supervisor.log} says why."
        raise NotStarted(message)
    states = supervisor.part_states()
    for name in waiting:
        if name in states and states[name].state == "FATAL":
            message = f"The {name} could not start.\n{_last_lines(name)}"
            raise NotStarted(message)
    if waiting and time.monotonic() > deadline:
        name = waiting[0]
        message = f"The {name} was not ready after {_READY_SECONDS} seconds.\n{_last_lines(name)}"
        raise NotStarted(message)


def _watch(supervisor: Supervisor) -> None:
    """Stay until interrupted, and tell of each part that supervision gave up on."""
    given_up: set[str] = set()
    while supervisor.is_alive():
        time.sleep(_WATCH_SECONDS)
        states = supervisor.part_states().values()
        fatal = {part.name for part in states if part.state == "FATAL"}
        for name in sorted(fatal - given_up):
            _tell(f"The {name} keeps failing and stays down.\n{_last_lines(name)}")
        given_up |= fatal
    message = f"The supervisor has ended; {supervisor.log} says why."
    raise NotStarted(message)


def _last_lines(name: str) -> str:
    """The end of what a part wrote; for the mail server also its own log."""
    logs = [parts.log_folder() / f"{name}.log"]
    if name == "mail":
        logs.append(Path(settings.DOVECOT_LOG))
    texts = []
    for log in logs:
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            texts.append("\n".join([f"The last lines of {log}:", *lines[-_LOG_LINES:]]))
    return "\n".join(texts)


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
