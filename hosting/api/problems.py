"""What is answered instead of a success: problem documents after RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hosting.problem_kinds import KINDS

CONTENT_TYPE = "application/problem+json"
# Where the reference page explains each problem, below the panel's own address.
TYPE_PREFIX = "/api/reference#problem-"
_LONGEST_STEP = 60


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong: `pointer` (RFC 6901) leads to it in the body, query or headers."""

    pointer: str
    code: str
    message: str
    where: str = "body"
    members: Mapping[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As it stands in `errors`."""
        return {
            "in": self.where,
            "pointer": self.pointer,
            "code": self.code,
            "message": self.message,
            **self.members,
        }


@dataclass(eq=False, kw_only=True)
class Problem(Exception):
    """Raised anywhere below a route; it becomes the answer."""

    code: str
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The status of the answer."""
        return KINDS[self.code].status

    def as_data(self, *, request_id: str) -> dict[str, Any]:
        """The document. It holds nothing of what was sent, and no id of what was asked for."""
        kind = KINDS[self.code]
        data: dict[str, Any] = {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "instance": f"urn:restante:request:{request_id}",
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }
        if self.faults:
            data["errors"] = [fault.as_data() for fault in self.faults]
        return data


def not_found() -> Problem:
    """The one answer for what is absent and for what is a stranger's."""
    return Problem(code="not-found", detail="There is nothing here, or nothing that you may see.")


def step(name: object) -> str:
    """One step of a JSON pointer (RFC 6901); what was sent as a name is cut, not echoed whole."""
    return str(name)[:_LONGEST_STEP].replace("~", "~0").replace("/", "~1")


def wrong_parameter(name: str, message: str, *, code: str = "invalid-parameter") -> Problem:
    """A parameter of the query that cannot be taken."""
    fault = Fault(pointer=f"/{step(name)}", code=code, message=message, where="query")
    return Problem(code=code, detail=message, faults=[fault])


def wrong_header(
    name: str,
    message: str,
    *,
    code: str = "bad-request",
    headers: Mapping[str, str] | None = None,
) -> Problem:
    """A header that cannot be taken, or is not there."""
    fault_code = "invalid" if code == "bad-request" else code
    fault = Fault(pointer=f"/{name}", code=fault_code, message=message, where="header")
    return Problem(code=code, detail=message, faults=[fault], headers=headers or {})


def stale_version(etag: str | None) -> Problem:
    """A change was meant for another version than the present one."""
    message = "It has changed since you read it. Read it again, then decide."
    headers = {} if etag is None else {"ETag": etag}
    return wrong_header("If-Match", message, code="stale-version", headers=headers)


def version_needed() -> Problem:
    """A change must say which version it is meant for."""
    message = "Send the ETag of what you read as If-Match, so nothing newer is changed."
    return wrong_header("If-Match", message, code="precondition-required")


def not_understood() -> Problem:
    """A request in a form that nobody takes apart."""
    return Problem(code="bad-request", detail="This request cannot be understood.")


def wrong_body(message: str, *, code: str = "bad-request") -> Problem:
    """A body of which nothing can be taken."""
    fault = Fault(pointer="", code=code, message=message)
    return Problem(code=code, detail=message, faults=[fault])


def invalid(pointer: str, message: str, *, code: str = "invalid") -> Problem:
    """One value of the body that cannot be taken."""
    return Problem(
        code="validation-failed",
        detail=message,
        faults=[Fault(pointer=pointer, code=code, message=message)],
    )
