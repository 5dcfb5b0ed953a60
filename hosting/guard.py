"""The guard as a WSGI application: Dovecot asks whether it may look at a password.

Dovecot's auth policy protocol: `?command=allow` is answered with a status, where a negative one
refuses, and `?command=report` tells how an attempt ended. It loads no models and no pages, so
that it is small; `mailstore.guard` has the rules.
"""

from __future__ import annotations

import atexit
import hmac
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hosting.settings")

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone
from django.utils.log import configure_logging

from accounts import rate_limits
from mailstore.guard import HEADER, key_from
from mailstore.guard.attempts import Attempt, BadQuestion, parse
from mailstore.guard.judging import Guard
from mailstore.guard.tally import Tally

logger = logging.getLogger(__name__)

_WRITES_EVERY_SECONDS = 2.0
# So many questions are thought about at once, each with a connection to the database.
_THINKERS = 8
# Whoever waited longer than this is answered in brief: Dovecot does not wait for ever.
_LATE_SECONDS = 1.5
# A name that is longer than any that Dovecot takes, and all the rest beside it.
_LONGEST_QUESTION = 65_536
_HEADER_NAME = "HTTP_" + HEADER.upper().replace("-", "_")
_LET_ON, _REFUSE = {"status": 0}, {"status": -1}

Environment = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def application(environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one question."""
    status, answer = _answer(environ)
    body = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def _answer(environ: Environment) -> tuple[HTTPStatus, dict[str, Any]]:
    if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] == "/healthz":
        return HTTPStatus.OK, {"is_well": True}
    given = environ.get(_HEADER_NAME, "")
    if not hmac.compare_digest(given.encode(), _key().encode()):
        return HTTPStatus.UNAUTHORIZED, {}
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > _LONGEST_QUESTION:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {}
    command = parse_qs(environ["QUERY_STRING"]).get("command", [""])[0]
    try:
        # What was typed need not be text in any encoding.
        question = json.loads(environ["wsgi.input"].read(length).decode("utf-8", "replace"))
        return HTTPStatus.OK, _judged(command, question)
    except (ValueError, BadQuestion) as error:
        logger.warning("This is no question of Dovecot's: %s", error)
        return HTTPStatus.BAD_REQUEST, {}


def _judged(command: str, question: Any) -> dict[str, Any]:
    """While the database is away nobody can be judged, and Dovecot lets nobody in either."""
    attempt = parse(question)
    _writer.begin()
    if command == "allow":
        return _think(_may_try, attempt)
    if command != "report":
        message = f"There is no command {command[:20]!r}."
        raise BadQuestion(message)
    # What was refused unseen has been counted, and where nobody is named nothing can be learnt.
    return (
        _LET_ON if question.get("policy_reject") or not attempt.login else _think(_learn, attempt)
    )


def _think(about: Callable[[Attempt, float], dict[str, Any]], attempt: Attempt) -> dict[str, Any]:
    return _thinkers.submit(about, attempt, time.monotonic()).result()


def _may_try(attempt: Attempt, asked_at: float) -> dict[str, Any]:
    close_old_connections()
    is_late = time.monotonic() - asked_at > _LATE_SECONDS
    try:
        may_try = _guard.may_try(attempt, at=timezone.now(), is_late=is_late)
    except DatabaseError as error:
        logger.warning("The database cannot be asked about an attempt: %s", error)
        return _LET_ON
    return _LET_ON if may_try else _REFUSE


def _learn(attempt: Attempt, _asked_at: float) -> dict[str, Any]:
    close_old_connections()
    try:
        _guard.learn(attempt, at=timezone.now())
    except DatabaseError as error:
        logger.warning("The database cannot be asked about an attempt: %s", error)
    return _LET_ON


@cache
def _key() -> str:
    return key_from(settings.DOVEADM_API_KEY)


class _Writer:
    """Writes down what the guard of this process saw, from the first question on."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._lock = threading.Lock()
        self._is_at_work = False

    def begin(self) -> None:
        """Start its thread, once."""
        with self._lock:
            if self._is_at_work:
                return
            self._is_at_work = True
        atexit.register(self._tally.write)
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            time.sleep(_WRITES_EVERY_SECONDS)
            close_old_connections()
            try:
                self._tally.write()
            except Exception:
                logger.exception("Guesses could not be written down")


def _make_ready() -> None:
    """Load what the first questions need, before there is more than one thread.

    A hundred first questions at once would each want the other's locks on modules and on logging.
    """
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    # It asks in plain SQL, and knows no application whose readiness it could wait for.
    warnings.filterwarnings("ignore", "Accessing the database during app", RuntimeWarning)
    for alias in connections:
        logger.debug("The database %s is %s", alias, connections[alias].vendor)
    rate_limits.backend()


_make_ready()
# Its threads, like that of the writer, begin with the first question: after the process was forked.
_thinkers = ThreadPoolExecutor(_THINKERS, thread_name_prefix="guard")
_tally = Tally()
_guard, _writer = Guard(tally=_tally), _Writer(_tally)
