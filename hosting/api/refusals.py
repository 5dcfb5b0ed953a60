"""From what a verb refuses, or a server fails at, to the problem that a program is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions

from accounts import inviting, keyring, keys, membership
from accounts.access import Actor
from hosting import (
    capping,
    changing,
    exports,
    limits,
    ordering,
    piecework,
    pricing,
    public_ids,
    reselling,
    selling,
    test_clock,
)
from hosting.api.problems import (
    Fault,
    Problem,
    not_found,
    not_understood,
    step,
    wrong_header,
)
from hosting.api.texts import too_large
from hosting.problem_kinds import KINDS
from hosting.webhooks import endpoints
from mailstore import (
    cooling,
    credentials,
    domains,
    holding,
    policy,
    provisioning,
    quotas,
    recovery,
    standing,
    switching,
    thresholds,
    working,
)
from mailstore.addresses import InvalidAddress
from mailstore.engine import EngineError, EngineUnavailable

logger = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 5

# Looked through from the top, so that a refusal stands before what it is a kind of.
CODES: tuple[tuple[type[Exception], str], ...] = (
    (keyring.BeyondOwnReach, "forbidden"),
    (keyring.KeyGone, "wrong-state"),
    (test_clock.AdvanceUnderWay, "wrong-state"),
    (endpoints.WrongState, "wrong-state"),
    (endpoints.TooManyEndpoints, "limit-reached"),
    (PermissionDenied, "forbidden"),
    (membership.Refused, "wrong-state"),
    (piecework.WrongState, "wrong-state"),
    (piecework.TooManyLists, "limit-reached"),
    (exports.TooManyExports, "limit-reached"),
    (exports.NothingToDiscard, "wrong-state"),
    (exports.FileGone, "wrong-state"),
    (Http404, "not-found"),
    (public_ids.NoSuchId, "not-found"),
    (provisioning.AddressTaken, "address-taken"),
    (provisioning.ReferenceTaken, "already-exists"),
    (reselling.RefTaken, "already-exists"),
    (standing.Refused, "wrong-state"),
    (provisioning.NoNewMailboxes, "wrong-state"),
    (provisioning.WrongState, "wrong-state"),
    (domains.DomainTaken, "domain-taken"),
    (ordering.LimitAbovePlan, "quota-over-plan"),
    (switching.BelowUse, "below-use"),
    (limits.LimitReached, "limit-reached"),
    (changing.PlanRefused, "wrong-state"),
    (selling.NotOnSale, "wrong-state"),
    (pricing.NoPrice, "wrong-state"),
    (holding.Stopped, "hold-active"),
    (holding.HoldRefused, "wrong-state"),
    (working.WrongWorkState, "wrong-state"),
    (recovery.NotEnoughSpace, "limit-reached"),
    (recovery.NothingToRestore, "wrong-state"),
    (recovery.RestoreUnderWay, "wrong-state"),
    (cooling.NotWaiting, "wrong-state"),
    (credentials.Revoked, "wrong-state"),
    (EngineUnavailable, "backend-unavailable"),
    (EngineError, "backend-unavailable"),
    (OperationalError, "backend-unavailable"),
    (InterfaceError, "backend-unavailable"),
)
# These name no field by themselves; the verb knows only one that it can be about.
FIELDS: tuple[tuple[type[Exception], str], ...] = (
    (quotas.ImpossibleLimit, "/quota_bytes"),
    (capping.CapRefused, "/limits/spend_cap_minor"),
    (policy.RuleRefused, "/rule"),
    (thresholds.ThresholdsRefused, "/tripwire"),
    (credentials.NoProtocol, "/protocols"),
    (inviting.Refused, "/email"),
    (keys.UnknownScope, "/scopes"),
    (keys.BadNetwork, "/networks"),
    (InvalidAddress, "/local_part"),
)
_FRAMEWORK: Mapping[type[exceptions.APIException], str] = {
    exceptions.ParseError: "bad-request",
    exceptions.NotFound: "not-found",
    exceptions.MethodNotAllowed: "method-not-allowed",
    exceptions.NotAcceptable: "not-acceptable",
    exceptions.UnsupportedMediaType: "unsupported-media-type",
    exceptions.NotAuthenticated: "unauthenticated",
    exceptions.PermissionDenied: "forbidden",
}
# What these are about stands in a header.
_HEADERS: Mapping[type[exceptions.APIException], str] = {
    exceptions.NotAcceptable: "Accept",
    exceptions.UnsupportedMediaType: "Content-Type",
}


def problem_of(error: Exception, *, actor: Actor | None = None) -> Problem:
    """What to answer. What nobody foresaw is logged, and told without a word about itself.

    Figures of a limit are told to an actor who may see the organisation on which it stands.
    """
    for translate in (_known, _of_form, _of_framework, _of_key, _of_verb, _of_field):
        found = translate(error)
        if found is not None:
            found.members = {**found.members, **figures_of(error, actor)}
            return found
    logger.error("A request failed in a way that nobody foresaw", exc_info=error)
    return Problem(code="internal-error", detail="This is our fault, and has been noted.")


def _known(error: Exception) -> Problem | None:
    return error if isinstance(error, Problem) else None


def _of_form(error: Exception) -> Problem | None:
    """What Django refuses to take apart: too long, too many parts, no host of ours."""
    if isinstance(error, RequestDataTooBig):
        return too_large()
    return not_understood() if isinstance(error, SuspiciousOperation) else None


def _of_framework(error: Exception) -> Problem | None:
    if isinstance(error, exceptions.ValidationError):
        return Problem(
            code="validation-failed",
            detail="Some values of the body cannot be taken; `errors` says which and why.",
            faults=list(faults_of(error.detail)),
        )
    for kind, name in _HEADERS.items():
        if isinstance(error, kind):
            return wrong_header(name, str(error), code=_FRAMEWORK[kind])
    for kind, code in _FRAMEWORK.items():
        if isinstance(error, kind):
            return not_found() if code == "not-found" else Problem(code=code, detail=str(error))
    return None


def faults_of(detail: Any, pointer: str = "") -> Iterator[Fault]:
    """The leaves of what a serializer complains about, each with the way to it."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            is_whole = name == "non_field_errors"
            yield from faults_of(inner, pointer if is_whole else f"{pointer}/{step(name)}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_leaf = isinstance(inner, str)
            yield from faults_of(inner, pointer if is_leaf else f"{pointer}/{index}")
    else:
        code = getattr(detail, "code", None) or "invalid"
        yield Fault(pointer=pointer, code=str(code), message=str(detail))


def _of_key(error: Exception) -> Problem | None:
    if not isinstance(error, keyring.KeyRefused):
        return None
    challenge = {} if KINDS[error.code].status != 401 else {"WWW-Authenticate": "Bearer"}  # noqa: PLR2004
    return Problem(code=error.code, detail=str(error), headers=challenge)


def _of_field(error: Exception) -> Problem | None:
    pointers: Callable[[], Iterator[str]] = lambda: (  # noqa: E731
        pointer for kind, pointer in FIELDS if isinstance(error, kind)
    )
    pointer = next(pointers(), None)
    if isinstance(
        error, (keyring.BadKey, endpoints.BadEndpoint, reselling.Refused, exports.ExportRefused)
    ):
        pointer = f"/{error.field}" if error.field else ""
    if pointer is None and not isinstance(error, DjangoValidationError):
        return None
    text, code = str(error), "invalid"
    if isinstance(error, DjangoValidationError):
        text, code = " ".join(error.messages), str(getattr(error, "code", None) or "invalid")
    fault = Fault(pointer=pointer or "", code=code, message=text)
    return Problem(code="validation-failed", detail=text, faults=[fault])


def figures_of(error: Exception, actor: Actor | None) -> dict[str, int | str | None]:
    """How far one may go, has gone and wanted to, where a limit was reached."""
    if isinstance(error, limits.LimitReached):
        reached = actor.organisation_ids if actor else frozenset[int]()
        # A customer is not told how far its seller has gone.
        if not reached.intersection(error.organisation.lineage):
            return {}
        name = str(error.limit_of)
    elif isinstance(error, endpoints.TooManyEndpoints):
        name = "webhook_endpoint_count"
    elif isinstance(error, recovery.NotEnoughSpace):
        name = "quota_bytes"
    else:
        return {}
    return {
        "limit_of": name,
        "limit": error.limit,
        "current": error.current,
        "requested": error.requested,
    }


def _of_verb(error: Exception) -> Problem | None:
    for kind, code in CODES:
        if isinstance(error, kind):
            return _answer(code, error)
    return None


def _answer(code: str, error: Exception) -> Problem:
    if code == "not-found":
        return not_found()
    if code == "backend-unavailable":
        logger.warning("A server behind the API cannot be reached: %s", error)
        detail = "A server that is needed for this cannot be reached. Try again soon."
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem(code=code, detail=detail, headers=headers)
    return Problem(code=code, detail=str(error))
