"""Dovecot's admin API over HTTP, and its LMTP. The only module that speaks either.

The API answers HTTP 200 with one entry a command, and never says why something failed: only
the exit code of the command comes back (sysexits.h). It closes the connection without any
answer when a command kills its worker.
"""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from django.conf import settings

from mailstore.engine.base import (
    DeliveryRefused,
    EngineRefused,
    EngineUnavailable,
    FolderUsage,
    OutcomeUnknown,
    RemovedMessage,
    UnknownMailbox,
)

# The hidden namespace that takes what is removed; the configuration defines it.
REMOVED_PREFIX = ".EXPUNGED/"
_EVERY_REMOVED = f"{REMOVED_PREFIX}*"

_MAILBOX_EXISTS = 65
_UNKNOWN_USER = 67
_NOTHING_FOUND = 68


class CommandFailed(EngineRefused):
    """A command ended with an exit code other than 0."""

    def __init__(self, *, command: str, exit_code: int) -> None:
        super().__init__(f"{command} ended with code {exit_code}")
        self.exit_code = exit_code


class DoveadmEngine:
    """A real Dovecot on the network."""

    def __init__(
        self,
        *,
        doveadm: tuple[str, int],
        api_key: str,
        lmtp: tuple[str, int],
        timeout_seconds: float = 60,
    ) -> None:
        self._url = f"http://{doveadm[0]}:{doveadm[1]}/doveadm/v1"
        key = base64.b64encode(api_key.encode()).decode("ascii")
        self._headers = {"Authorization": f"X-Dovecot-API {key}"}
        self._lmtp = lmtp
        self._timeout_seconds = timeout_seconds

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make the folders; then have Dovecot report the use, which starts at nothing."""
        self._tolerating(_MAILBOX_EXISTS, "mailboxCreate", user=user, mailbox=["INBOX"])
        for folder in folders:
            self._tolerating(_MAILBOX_EXISTS, "mailboxCreate", user=user, mailbox=[folder])
        if folders:
            self._call("mailboxSubscribe", user=user, mailbox=list(folders))
        self.recalculate_usage(user=user)

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder that a person can see, in the server's order."""
        fields = ["messages", "vsize", "unseen"]
        found = self._call("mailboxStatus", user=user, field=fields, mailboxMask=["*"])
        return [
            FolderUsage(
                folder=row["mailbox"],
                messages=int(row["messages"]),
                bytes=int(row["vsize"]),
                unseen=int(row["unseen"]),
            )
            for row in found
        ]

    def recalculate_usage(self, *, user: str) -> None:
        """Count anew."""
        self._call("quotaRecalc", user=user)

    def end_sessions(self, *, user: str) -> int:
        """End every open session of the mailbox."""
        sessions = self._tolerating(_NOTHING_FOUND, "who", mask=[user])
        self._tolerating(_NOTHING_FOUND, "kick", mask=[user])
        return sum(int(row.get("connections", 0)) for row in sessions)

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Deliver by LMTP, as a mail exchanger would."""
        try:
            with smtplib.LMTP(*self._lmtp, timeout=self._timeout_seconds) as client:
                client.sendmail(sender, [recipient], message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = error.recipients[recipient]
            raise DeliveryRefused(code=code, text=_readable(text)) from error
        except smtplib.SMTPResponseException as error:
            raise DeliveryRefused(code=error.smtp_code, text=_readable(error.smtp_error)) from error
        except (OSError, smtplib.SMTPException) as error:
            message_text = f"LMTP at {self._lmtp[0]}:{self._lmtp[1]} does not answer: {error}"
            raise EngineUnavailable(message_text) from error

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message in; the admin API is not held to the limit."""
        text = message.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        self._call("save", user=user, mailbox=folder, file=text)

    def removed_mail(self, *, user: str) -> list[RemovedMessage]:
        """What lies in the recoverable store, with the folder each message came from."""
        fields = ["mailbox", "uid", "date.saved", "hdr.subject"]
        query = ["mailbox", _EVERY_REMOVED, "all"]
        found = self._tolerating(_NOTHING_FOUND, "fetch", user=user, field=fields, query=query)
        return [
            RemovedMessage(
                folder=row["mailbox"].removeprefix(REMOVED_PREFIX),
                uid=int(row["uid"]),
                removed_at=_moment(row["date.saved"]),
                subject=row["hdr.subject"],
            )
            for row in found
        ]

    def erase(self, *, user: str) -> None:
        """Remove all mail through the index, then the home with what is left in it."""
        for mask in ("*", _EVERY_REMOVED):
            query = ["mailbox", mask, "all"]
            self._tolerating(_NOTHING_FOUND, "expunge", user=user, query=query)
        home = self._call("user", userMask=[user])
        path = home[user]["home"] if isinstance(home, dict) else home[0][user]["home"]
        self._tolerating(
            _NOTHING_FOUND,
            "fsDelete",
            recursive=True,
            fsDriver="posix",
            fsArgs="",
            path=[f"{path}/"],
        )

    def ping(self) -> None:
        """The cheapest question that needs an answer."""
        self._tolerating(_NOTHING_FOUND, "who", mask=["nobody"])

    def reload(self) -> None:
        """Reload; needed after a migration on SQLite and after PostgreSQL was away."""
        self._call("reload")

    def _tolerating(self, exit_code: int, command: str, **parameters: Any) -> Any:
        try:
            return self._call(command, **parameters)
        except CommandFailed as failure:
            if failure.exit_code != exit_code:
                raise
            return []

    def _call(self, command: str, **parameters: Any) -> Any:
        answer = self._post([[command, parameters, "1"]])
        kind, *payload, _tag = answer[0]
        if kind == "doveadmResponse":
            # `who` writes its second and further rows beside the list, not into it.
            first, *stray = payload
            return [*first, *stray] if stray else first
        exit_code = int(_mapping(payload[0]).get("exitCode", -1))
        if exit_code == _UNKNOWN_USER:
            raise UnknownMailbox(command)
        raise CommandFailed(command=command, exit_code=exit_code)

    def _post(self, commands: list[Any]) -> list[Any]:
        try:
            response = httpx.post(
                self._url,
                headers=self._headers,
                json=commands,
                timeout=self._timeout_seconds,
            )
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


def from_settings() -> DoveadmEngine:
    """The Dovecot that the settings name."""
    return DoveadmEngine(
        doveadm=(settings.DOVEADM_HOST, settings.DOVEADM_PORT),
        api_key=settings.DOVEADM_API_KEY,
        lmtp=(settings.LMTP_HOST, settings.LMTP_PORT),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _readable(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
