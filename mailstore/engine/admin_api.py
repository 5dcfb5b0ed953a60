"""Dovecot's admin API over HTTP: commands in, what they brought out.

The API answers HTTP 200 with one entry a command, and never says why something failed: only
the exit code of the command comes back (sysexits.h). It closes the connection without any
answer when a command kills its worker.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

import httpx

from mailstore.engine.base import (
    EngineRefused,
    EngineUnavailable,
    OutcomeUnknown,
    UnknownMailbox,
)

# Exit codes: of a mailbox that is made twice, of a user whom no database knows, of a command
# that had nothing to do, of one that may do better the next time.
MAILBOX_EXISTS = 65
_UNKNOWN_USER = 67
NOTHING_FOUND = 68
_TRY_AGAIN = 75
# Commands that change nothing.
_LOOKS = frozenset({"fetch", "search", "mailboxStatus"})


class CommandFailed(EngineRefused):
    """A command ended with an exit code other than 0."""

    def __init__(self, *, command: str, exit_code: int) -> None:
        super().__init__(f"{command} ended with code {exit_code}")
        self.exit_code = exit_code


class AdminAPI:
    """Connections to one Dovecot, which stay open from call to call."""

    def __init__(self, *, host: str, port: int, key: str, timeout_seconds: float) -> None:
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}/doveadm/v1"
        encoded = base64.b64encode(key.encode()).decode("ascii")
        self._headers = {"Authorization": f"X-Dovecot-API {encoded}"}
        self._timeout_seconds = timeout_seconds
        self._connected = 0
        self._http: httpx.Client

    def call(self, command: str, /, tolerated: int = 0, **parameters: Any) -> Any:
        """What a command brings; an empty list if it ends with the `tolerated` exit code."""
        return self.call_all([(command, parameters)], tolerated=tolerated)[0]

    def call_all(
        self, commands: list[tuple[str, dict[str, Any]]], *, tolerated: int = 0
    ) -> list[Any]:
        """The same for several commands in one request."""
        answers = self._answers([[name, given, name] for name, given in commands])
        return [_payload(answer, tolerated=tolerated) for answer in answers]

    def call_each(
        self, commands: list[tuple[str, dict[str, Any]]], *, tolerated: int = 0
    ) -> list[Any]:
        """The same, with None for each command that failed."""
        answers = self._answers([[name, given, name] for name, given in commands])
        return [_payload_or_none(answer, tolerated=tolerated) for answer in answers]

    def _answers(self, commands: list[list[Any]]) -> list[Any]:
        """What comes of each; a look that found a folder's index wrong is asked once more.

        It has repaired it by then. That happens where a program and we remove the same message.
        """
        answers = self._post(commands)
        again = [place for place, answer in enumerate(answers) if _was_passing(answer)]
        if again:
            better = self._post([commands[place] for place in again])
            for place, answer in zip(again, better, strict=True):
                answers[place] = answer
        return answers

    def _client(self) -> httpx.Client:
        """A forked worker makes its own connections."""
        if self._connected != os.getpid():
            self._http = httpx.Client(
                headers=self._headers, timeout=self._timeout_seconds, trust_env=False
            )
            self._connected = os.getpid()
        return self._http

    def _post(self, commands: list[list[Any]]) -> list[Any]:
        try:
            response = self._client().post(self._url, json=commands)
        except httpx.ConnectError as error:
            message = f"The mail server's admin API at {self._url} does not answer."
            raise EngineUnavailable(message) from error
        except httpx.HTTPError as error:
            message = f"The mail server hung up on {commands[0][0]}."
            raise OutcomeUnknown(message) from error
        if response.status_code != httpx.codes.OK:
            message = f"The mail server's admin API answered {response.status_code}."
            raise EngineRefused(message)
        answer: list[Any] = response.json()
        return answer


def _was_passing(answer: Any) -> bool:
    kind, *payload, command = answer
    return kind == "error" and command in _LOOKS and _exit_code(payload) == _TRY_AGAIN


def _exit_code(payload: Any) -> int:
    return int(_mapping(payload[0]).get("exitCode", -1))


def _payload(answer: Any, *, tolerated: int) -> Any:
    kind, *payload, command = answer
    if kind == "doveadmResponse":
        # `who` writes its second and further rows beside the list, not into it.
        first, *stray = payload
        return [*first, *stray] if stray else first
    exit_code = _exit_code(payload)
    if tolerated and exit_code == tolerated:
        return []
    if exit_code == _UNKNOWN_USER:
        raise UnknownMailbox(command)
    raise CommandFailed(command=command, exit_code=exit_code)


def _payload_or_none(answer: Any, *, tolerated: int) -> Any:
    try:
        return _payload(answer, tolerated=tolerated)
    except EngineRefused:
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
