"""What each operation of the API promises, declared where it is carried out.

The same declaration checks the scope, takes the body apart, remembers answers and is written
into the OpenAPI document, so that the three cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import wraps
from typing import Any, Concatenate, Protocol

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date
from rest_framework.request import Request

from accounts.access import Actor
from accounts.models import ApiKey, Organisation
from hosting import clocks
from hosting.api.fields import Body
from hosting.api.problems import Problem, stale_version, wrong_parameter

# Declared by whatever can be looked at before it is done.
PREVIEW = {"preview": "With true, nothing is changed, and the answer says what would be."}
# What changes nothing. HEAD is answered as GET is, without the body (RFC 9110).
READING = frozenset({"GET", "HEAD"})
# As many as the highest number of 64 bits has.
_MOST_DIGITS = 19


class Lists(Protocol):
    """What is known here of a list (`hosting.api.listing`)."""

    def parameters(self) -> set[str]:
        """All names that may stand in the query."""
        ...


class Match(Enum):
    """Whether a change may, or must, say which version it is meant for."""

    NEVER = auto()
    OPTIONAL = auto()
    REQUIRED = auto()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one route. `name` is its operationId; `gives` the type of its document."""

    name: str
    scope: str | None = None
    # Where what is asked for decides which scope is needed, the call must have one of these.
    one_of: tuple[str, ...] = ()
    # Scopes that the call must have as well, since it leads to what they are about.
    also: tuple[str, ...] = ()
    gives: Any = None
    status: int = 200
    # Whether it answers 202 instead where something has to wait.
    may_wait: bool = False
    takes: type[Body] | None = None
    lists: Lists | None = None
    # What takes its time and needs no lock, such as asking a name server. It is done once the body
    # has been checked and before the transaction begins; the call keeps what it gave.
    before: Callable[[Call], Any] | None = None
    # Left out, it follows from the method and the address; see `match_of`.
    match: Match | None = None
    # The document that `?preview=true` gives instead, with status 200.
    previews: Any = None
    # Query parameters beyond those of a list, with what each is.
    parameters: Mapping[str, str] = field(default_factory=dict)
    # Problems beyond those that any call can meet.
    problems: tuple[str, ...] = ()
    # What it answers with in place of a document.
    media_types: tuple[str, ...] = ()
    # From when on nobody should begin to use it, and when it ends, if that is known.
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None

    def warnings(self) -> dict[str, str]:
        """The headers that say so (RFC 9745, RFC 8594); none for what goes on."""
        if self.deprecated_at is None:
            return {}
        told = {
            "Deprecation": f"@{int(self.deprecated_at.timestamp())}",
            "Link": '</api/reference>; rel="deprecation"; type="text/html"',
        }
        if self.sunset_at is not None:
            told["Sunset"] = http_date(self.sunset_at.timestamp())
        return told

    def match_of(self, method: str, *, names_a_thing: bool) -> Match:
        """How this deals with versions: what removes something must name one, other changes may.

        Where no thing stands in the address, nothing has a version that could be meant.
        """
        if self.match is not None:
            return self.match
        if method in READING or not names_a_thing:
            return Match.NEVER
        return Match.REQUIRED if method == "DELETE" else Match.OPTIONAL


@dataclass(kw_only=True)
class Call:
    """Who asks for what. `asked` is the checked body, `query` the parameters as they came.

    `at` is what time it is for whom the call is about, and `now` what time it really is: mail
    comes and goes by that one, also in a test organisation.
    """

    actor: Actor
    api_key: ApiKey
    at: datetime
    now: datetime
    asked: dict[str, Any]
    query: Mapping[str, str]
    if_match: str | None = None
    # What `Operation.before` gave.
    beforehand: Any = None
    # Whether a handler has asked which version is meant.
    is_matched: bool = False

    def live_by(self, organisation: Organisation) -> None:
        """From here on, `at` is what time it is for an organisation: a test one has its own."""
        if organisation.is_test:
            self.at = clocks.now_for(organisation)

    def must_have(self, scope: str) -> None:
        """Raise a problem unless the key has a scope."""
        if scope not in (self.actor.scopes or ()):
            detail = f"This needs a key with the scope {scope}."
            raise Problem(code="scope-missing", detail=detail, members={"scope": scope})

    def must_have_one(self, scopes: Sequence[str]) -> None:
        """Raise a problem unless the key has one of the scopes; it names the first."""
        if not set(scopes) & set(self.actor.scopes or ()):
            self.must_have(scopes[0])

    def flag(self, name: str) -> bool:
        """A parameter that is `true` or `false`; absent it is false."""
        value = self.query.get(name, "false")
        if value not in {"true", "false"}:
            raise wrong_parameter(name, "This is true or false.")
        return value == "true"

    @property
    def is_preview(self) -> bool:
        """Whether the change is only to be looked at, so that no version needs to be named."""
        return self.flag("preview")

    def whole(self, name: str, *, default: int, lowest: int, highest: int) -> int:
        """A parameter that is a whole number within bounds."""
        text = self.query.get(name, str(default))
        is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
        if not (is_number and lowest <= int(text) <= highest):
            raise wrong_parameter(name, f"A whole number from {lowest} to {highest}.")
        return int(text)

    def must_match(self, etag: str | None) -> None:
        """Raise a problem if the change was meant for another version than `etag`.

        None will do where nobody named a version.
        """
        self.is_matched = True
        if self.if_match is None or self.if_match.strip() == "*":
            return
        if etag not in [each.strip() for each in self.if_match.split(",")]:
            raise stale_version(etag)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back. `etag` names the version of the document, `location` where it lies.

    `content` is sent as it is in place of a document.
    """

    document: Any
    content: HttpResponseBase | None = None
    status: int | None = None
    location: str | None = None
    etag: str | None = None

    def headers(self) -> dict[str, str]:
        """The headers that belong to the document."""
        found = {"Location": self.location, "ETag": self.etag}
        return {name: value for name, value in found.items() if value is not None}


Handler = Callable[Concatenate[Any, Call, ...], Answer]


def operation(
    **declared: Any,
) -> Callable[[Handler], Callable[Concatenate[Any, Request, ...], HttpResponse]]:
    """Make a method of an `Endpoint` an operation; see `Operation` for what is declared."""
    promise = Operation(**declared)

    def decorate(handler: Handler) -> Callable[Concatenate[Any, Request, ...], HttpResponse]:
        @wraps(handler)
        def carried_out(endpoint: Any, request: Request, /, **ids: Any) -> HttpResponse:
            response: HttpResponse = endpoint.carry_out(promise, handler, request, ids)
            return response

        carried_out.operation = promise  # type: ignore[attr-defined]
        return carried_out

    return decorate
