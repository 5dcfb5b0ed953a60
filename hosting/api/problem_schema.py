"""Problem documents in the OpenAPI document."""

from __future__ import annotations

from typing import Any, get_args

from hosting import limits
from hosting.problem_kinds import KINDS


def made() -> dict[str, Any]:
    """The schema of every problem; what only some have is not required."""
    text = {"type": "string"}
    fault = {
        "type": "object",
        "properties": {
            "in": {"type": "string", "enum": ["body", "query", "header"]},
            "pointer": text,
            "code": text,
            "message": text,
            **_limit_figures(),
        },
        "required": ["in", "pointer", "code", "message"],
    }
    properties = {
        "type": text,
        "title": text,
        "status": {"type": "integer"},
        "detail": text,
        "instance": text,
        "code": {"type": "string", "enum": list(KINDS)},
        "request_id": text,
    }
    more = {
        "errors": {"type": "array", "items": fault},
        "scope": {**text, "description": "With `scope-missing`: the one that is needed."},
        **_limit_figures(),
    }
    return {
        "type": "object",
        "description": "A problem document after RFC 9457.",
        "properties": {**properties, **more},
        "required": list(properties),
    }


def _limit_figures() -> dict[str, Any]:
    """What `limit-reached` tells whoever may see the organisation on which the limit stands."""
    names = [*get_args(limits.LimitName), "webhook_endpoint_count", "quota_bytes"]
    about = "With `limit-reached`: "
    whole = {"type": "integer"}
    return {
        "limit_of": {
            "type": "string",
            "enum": names,
            "description": f"{about}which limit, named with the unit of the three figures.",
        },
        "limit": {**whole, "description": f"{about}how far one may go."},
        "current": {**whole, "description": f"{about}how far one has gone."},
        "requested": {
            "type": ["integer", "null"],
            "description": f"{about}what was asked for on top of it; null for space, of which "
            "no amount is asked for.",
        },
    }
