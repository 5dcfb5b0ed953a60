"""What every route of the API does before and after its own work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.access import Actor
from accounts.models import ApiKey
from hosting.api import idempotency
from hosting.api.authentication import BearerAuthentication, limit_rate
from hosting.api.contract import READING, Answer, Call, Handler, Match, Operation
from hosting.api.problems import (
    CONTENT_TYPE,
    Problem,
    not_found,
    version_needed,
    wrong_body,
    wrong_header,
    wrong_parameter,
)
from hosting.api.refusals import problem_of
from hosting.api.texts import JsonRenderer, MergePatchParser, StrictJsonParser
from hosting.models import KeptAnswer

# Whoever was refused for these can come again with the same key once the reason is gone.
_NOT_KEPT = frozenset({401, 403, 412, 413, 415, 428, 429})
_SERVER_ERROR = 500


class Endpoint(APIView):
    """One route. Its methods are operations (`hosting.api.contract`)."""

    authentication_classes = (BearerAuthentication,)
    permission_classes = ()
    parser_classes: tuple[type[BaseParser], ...] = (StrictJsonParser, MergePatchParser)
    renderer_classes: tuple[type[BaseRenderer], ...] = (JsonRenderer,)
    # Django answers HEAD by the handler of GET; a route without one refuses both.
    http_method_names = ["get", "head", "post", "patch", "put", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out who asks, and count the call, also one that comes to nothing."""
        self.perform_authentication(request)
        limit_rate(request, cast("ApiKey", request.auth), at=timezone.now())
        super().initial(request, *args, **kwargs)

    def carry_out(
        self, promise: Operation, handler: Handler, request: Request, ids: Mapping[str, Any]
    ) -> HttpResponse:
        """Check what was sent against the promise, do the work, and answer."""
        # Like the limits, these stand on whatever becomes the answer.
        request._request.warnings = promise.warnings()  # type: ignore[attr-defined]  # noqa: SLF001
        actor, api_key = cast("Actor", request.user), cast("ApiKey", request.auth)
        now = timezone.now()
        call = Call(
            actor=actor,
            api_key=api_key,
            at=now,
            now=now,
            asked={},
            query={},
            if_match=request.headers.get("If-Match"),
        )
        if promise.scope is not None:
            call.must_have(promise.scope)
        if promise.one_of:
            call.must_have_one(promise.one_of)
        for scope in promise.also:
            call.must_have(scope)
        call.query = _query(request, promise)
        match = promise.match_of(str(request.method), names_a_thing=bool(ids))
        _check_version_is_named(request, call, match)
        work = partial(self._work, promise, handler, request, call, ids)
        if request.method in READING:
            return _response(work(), promise)
        return _once(request, call, promise, work)

    def _work(
        self,
        promise: Operation,
        handler: Handler,
        request: Request,
        call: Call,
        ids: Mapping[str, Any],
    ) -> Answer:
        _check_body(request, call, promise)
        answer = handler(self, call, **ids)
        match = promise.match_of(str(request.method), names_a_thing=bool(ids))
        if match is not Match.NEVER and not call.is_matched and not call.is_preview:
            # Whatever it did is undone: it might have changed what somebody else just changed.
            message = f"{promise.name} never asked which version is meant."
            raise AssertionError(message)
        return answer

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """Every failure becomes a problem document; the middleware puts the request's id in."""
        return problem_response(problem_of(exc), request_id=request_id_of(self.request))


class Nowhere(Endpoint):
    """Every address below the API's where nothing is."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """There is nothing here for anybody; a call with a key counts like any other."""
        if "Authorization" in request.headers:
            super().initial(request, *args, **kwargs)
        raise not_found()


def request_id_of(request: Any) -> str:
    """The id that the middleware gave to the request."""
    return str(getattr(request, "request_id", ""))


def problem_response(problem: Problem, *, request_id: str) -> HttpResponse:
    """A problem as an answer."""
    return HttpResponse(
        JsonRenderer().render(problem.as_data(request_id=request_id)),
        status=problem.status,
        headers=dict(problem.headers),
        content_type=CONTENT_TYPE,
    )


def _check_version_is_named(request: Request, call: Call, match: Match) -> None:
    """Raise a problem where a version must be named and is not, or cannot be and is."""
    if match is Match.REQUIRED and call.if_match is None and not call.is_preview:
        raise version_needed()
    if match is Match.NEVER and call.if_match is not None and request.method not in READING:
        message = "Nothing that is there already is changed here, so leave If-Match out."
        raise wrong_header("If-Match", message)


def _check_body(request: Request, call: Call, promise: Operation) -> None:
    if promise.takes is not None:
        body = promise.takes(data=request.data, partial=request.method == "PATCH")
        body.is_valid(raise_exception=True)
        call.asked = body.validated_data
    elif request.method not in READING and request.data:
        message = "Nothing is taken here; leave the body out."
        raise wrong_body(message)


def _query(request: Request, promise: Operation) -> dict[str, str]:
    """The parameters, each known and there once."""
    known = set(promise.parameters) | (promise.lists.parameters() if promise.lists else set())
    found: dict[str, str] = {}
    for name, values in request.query_params.lists():
        if name not in known:
            message = f"There is no parameter {name[:60]!r} here."
            raise wrong_parameter(name, message, code="unknown-parameter")
        if len(values) > 1:
            raise wrong_parameter(name, "It stands there more than once.")
        found[name] = str(values[0])
    return found


def _response(answer: Answer, promise: Operation) -> HttpResponse:
    if answer.content is not None:
        return cast("HttpResponse", answer.content)
    status = answer.status or promise.status
    body = JsonRenderer().render(answer.document)
    return _raw(body, status=status, headers=answer.headers())


def _raw(body: bytes, *, status: int, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(body, status=status, headers=headers, content_type="application/json")


def _once(
    request: Request, call: Call, promise: Operation, work: Callable[[], Answer]
) -> HttpResponse:
    """Do the work in one transaction, or answer as the first time."""
    asked_once = _identified(request, call)
    try:
        if promise.before is not None and not _is_kept(asked_once):
            _check_body(request, call, promise)
            call.beforehand = promise.before(call)
        return _done_once(asked_once, promise, work)
    except idempotency.AlreadyKept:
        # What was done is undone: somebody who sent the same has been told something else.
        return _answered_meanwhile(request, asked_once)
    except Exception as error:  # noqa: BLE001  # each becomes an answer, and that one is kept
        problem = problem_of(error, actor=call.actor)
        response = problem_response(problem, request_id=request_id_of(request))
        try:
            if asked_once is not None and _is_final(problem):
                _keep(asked_once, response)
        except idempotency.AlreadyKept:
            return _answered_meanwhile(request, asked_once)
        return response


def _is_kept(asked_once: idempotency.Request | None) -> bool:
    return asked_once is not None and idempotency.is_kept(asked_once)


@transaction.atomic
def _done_once(
    asked_once: idempotency.Request | None, promise: Operation, work: Callable[[], Answer]
) -> HttpResponse:
    if asked_once is not None and (kept := idempotency.claim(asked_once)) is not None:
        return _again(kept, asked_once)
    response = _response(work(), promise)
    if asked_once is not None:
        _keep(asked_once, response)
    return response


def _answered_meanwhile(request: Request, asked_once: idempotency.Request | None) -> HttpResponse:
    """The answer that the same request got a moment ago."""
    assert asked_once is not None  # noqa: S101  # Nothing is kept otherwise.
    try:
        with transaction.atomic():
            kept = idempotency.claim(asked_once)
        return _again(kept, asked_once)
    except Problem as problem:
        return problem_response(problem, request_id=request_id_of(request))


def _is_final(problem: Problem) -> bool:
    """Whether the same request would be refused for the same reason."""
    return (
        problem.status < _SERVER_ERROR
        and problem.status not in _NOT_KEPT
        and not problem.code.startswith("idempotency-")
    )


def _identified(request: Request, call: Call) -> idempotency.Request | None:
    text = request.headers.get("Idempotency-Key")
    if text is None or request.method != "POST":
        return None
    return idempotency.Request(
        organisation_id=call.api_key.organisation_id,
        is_test=call.api_key.is_test,
        key=idempotency.checked_key(text),
        fingerprint=idempotency.fingerprint(
            actor=call.actor,
            method=request.method,
            path=request.path,
            query=call.query,
            body=request.data,
        ),
    )


def _keep(asked_once: idempotency.Request, response: HttpResponse) -> None:
    """Keep an answer from now on, whatever time it is in a test organisation."""
    names = ("Location", "ETag", "Content-Type")
    headers = {name: response[name] for name in names if name in response}
    idempotency.keep(
        asked_once,
        status=response.status_code,
        headers=headers,
        body=response.content,
        at=timezone.now(),
    )


def _again(kept: KeptAnswer | None, asked_once: idempotency.Request) -> HttpResponse:
    if kept is None:
        raise idempotency.in_flight()
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    content_type = headers.pop("Content-Type", "application/json")
    body = idempotency.body_of(kept, asked_once)
    return HttpResponse(body, status=kept.status, headers=headers, content_type=content_type)
