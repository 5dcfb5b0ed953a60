"""One attempt to sign in, as Dovecot describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts import keys

# What Dovecot is told to send (`auth_policy_request_attributes`). `%u` is the name in the form in
# which the views have it. The first digest is made with a secret, so what is counted by it tells
# nobody anything; the second is the one that app passwords are found by.
ATTRIBUTES = (
    "login=%u fingerprint=%{hashed_password} digest=%{sha256:password} remote=%{rip} "
    "protocol=%s session=%{session}"
)


class BadQuestion(Exception):
    """This is nothing that Dovecot would ask."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Who tried which password, from where; `success` is known to reports only."""

    login: str
    fingerprint: str
    digest: str
    address: str
    protocol: str
    session: str
    success: bool = False

    @property
    def holder(self) -> str:
        """Whose address it is: IPv6 ones count by their network."""
        return keys.holder_of(self.address)


def parse(question: Any) -> Attempt:
    """An attempt from what was decoded; raises `BadQuestion`."""
    if not isinstance(question, Mapping):
        message = "This is no object."
        raise BadQuestion(message)
    words = {
        name: question.get(source)
        for name, source in (
            ("login", "login"),
            ("fingerprint", "fingerprint"),
            ("digest", "digest"),
            ("address", "remote"),
            ("protocol", "protocol"),
            ("session", "session"),
        )
    }
    success = question.get("success", False)
    if not (all(isinstance(word, str) for word in words.values()) and isinstance(success, bool)):
        message = "Something is missing, or is no text."
        raise BadQuestion(message)
    # PostgreSQL takes no text with a null character, and no mailbox has one in its name.
    plain = {
        name: str(word).replace("\0", "\N{REPLACEMENT CHARACTER}") for name, word in words.items()
    }
    return Attempt(**plain, success=success)
