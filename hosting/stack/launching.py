"""The order of things: check, prepare, start, wait until ready, watch, stop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.utils import timezone

from hosting import demo
from hosting.celery import make_folders
from hosting.stack import leftovers, parts, ports, readiness, watching, welcome
from hosting.stack.supervision import Supervisor
from hosting.stack.telling import NotStarted, last_lines, tell
from mailstore import mail_role
from mailstore.engine import EngineError, config, engine, process, server_from_settings

# What fails is told of at once; this is for parts that hang. A slow machine that is busy as well
# takes minutes to start six programs.
_READY_SECONDS = 300
_LOOK_AGAIN_SECONDS = 0.1


def run(*, with_demo: bool) -> int:
    """Start everything, then become the watch over it; returns only when that failed."""
    state = Path(settings.RESTANTE_STATE)
    try:
        with _only_one(state) as lock:
            is_new_demo = _prepare(state, with_demo=with_demo)
            supervisor = Supervisor(state=state, code=settings.BASE_DIR)
            _supervise(supervisor, lock=lock, has_letters_to_come=is_new_demo)
    except (NotStarted, ports.PortUnavailable) as error:
        tell(f"restante: {error}")
        return 1
    except KeyboardInterrupt:
        tell("Stopped.")
    return 0


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[int]:
    """Hold the state folder's lock; the kernel lets go of it however this process ends.

    Gives the open file that holds it.
    """
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
        yield file.fileno()


def _prepare(state: Path, *, with_demo: bool) -> bool:
    """Everything that comes before the first process; whether a demo was made just now."""
    if leftovers.end_leftovers(state=state):
        tell("An earlier start had not ended properly; its processes are stopped now.")
    ports.require_free(ports.from_settings())
    _check()
    make_ready()
    return with_demo and demo.load(at=timezone.now())


def _check() -> None:
    """For all parts: none of them checks again."""
    found = [message for message in checks.run_checks() if not message.is_silenced()]
    mistakes = [str(message) for message in found if message.is_serious()]
    if mistakes:
        raise NotStarted("\n".join(["The settings are not right.", *mistakes]))


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


def _supervise(supervisor: Supervisor, *, lock: int, has_letters_to_come: bool) -> NoReturn:
    with watching.everything_stopped(supervisor):
        _start(supervisor)
        if has_letters_to_come:
            _deliver_letters()
        connections.close_all()
        welcome.show()
        watching.take_over(supervisor, lock=lock)


def _deliver_letters() -> None:
    try:
        demo.deliver_letters(engine=engine(), at=timezone.now())
    except EngineError as error:
        tell(f"The demo's letters did not go in: {error}. 'bin/manage load_demo --letters' does.")


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
            message = f"The {name} could not start.\n{last_lines(name)}"
            raise NotStarted(message)
    if waiting and time.monotonic() > deadline:
        name = waiting[0]
        message = f"The {name} was not ready after {_READY_SECONDS} seconds.\n{last_lines(name)}"
        raise NotStarted(message)
