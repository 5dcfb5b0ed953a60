"""Every sort of problem that the API can answer with, by its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One sort of problem, by its code in `KINDS`."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(status=400, title="The request cannot be understood"),
    "unknown-parameter": Kind(status=400, title="There is no such parameter"),
    "invalid-parameter": Kind(status=400, title="A parameter has a value that it cannot have"),
    "invalid-cursor": Kind(status=400, title="This cursor leads nowhere"),
    "unauthenticated": Kind(status=401, title="An API key is needed"),
    "key-unknown": Kind(status=401, title="There is no such API key"),
    "key-expired": Kind(status=401, title="The API key has expired"),
    "key-revoked": Kind(status=401, title="The API key has been revoked"),
    "organisation-closed": Kind(status=401, title="The organisation of the key is closed"),
    "network-not-allowed": Kind(status=403, title="The API key cannot be used from here"),
    "scope-missing": Kind(status=403, title="The API key may not do this"),
    "forbidden": Kind(status=403, title="This is not allowed"),
    "not-found": Kind(status=404, title="There is nothing here"),
    "method-not-allowed": Kind(status=405, title="This cannot be done here"),
    "not-acceptable": Kind(status=406, title="Answers are JSON only"),
    "address-taken": Kind(status=409, title="The address is taken"),
    "domain-taken": Kind(status=409, title="The domain is in use"),
    "already-exists": Kind(status=409, title="There is one already"),
    "quota-over-plan": Kind(status=409, title="The plan does not reach so high"),
    "below-use": Kind(status=409, title="More is in use than would fit"),
    "limit-reached": Kind(status=409, title="A limit has been reached"),
    "wrong-state": Kind(status=409, title="This cannot be done in the present state"),
    "idempotency-in-flight": Kind(status=409, title="The same request is being worked on"),
    "stale-version": Kind(status=412, title="It has changed meanwhile"),
    "body-too-large": Kind(status=413, title="The body is too large"),
    "unsupported-media-type": Kind(status=415, title="Bodies are JSON only"),
    "validation-failed": Kind(status=422, title="Some values cannot be taken"),
    "idempotency-mismatch": Kind(status=422, title="This key came with another request before"),
    "hold-active": Kind(status=423, title="A hold stops this"),
    "precondition-required": Kind(status=428, title="Say which version is meant"),
    "rate-limited": Kind(status=429, title="Too many requests"),
    "internal-error": Kind(status=500, title="Something went wrong here"),
    "backend-unavailable": Kind(status=503, title="A server behind the API cannot be reached"),
}
