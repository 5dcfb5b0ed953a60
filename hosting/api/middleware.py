"""What holds for every answer below `/api/`, also where no route was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from hosting import request_ids
from hosting.api.authentication import limits_told
from hosting.api.endpoint import problem_response, request_id_of
from hosting.api.problems import CONTENT_TYPE, Problem, not_found, not_understood, wrong_header
from hosting.api.refusals import RETRY_AFTER_SECONDS, problem_of
from hosting.api.texts import too_large

PREFIX = "/api/v1"
GetResponse = Callable[[HttpRequest], HttpResponse]


class ApiMiddleware:
    """Gives each request an id, and makes a problem document of whatever is no success."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        with request_ids.given() as request_id:
            request.request_id = request_id  # type: ignore[attr-defined]
            response = self._answered(request, request_id)
        told = {**limits_told(request), **getattr(request, "warnings", {})}
        for name, value in told.items():
            response.headers.setdefault(name, value)
        if request.method == "HEAD":
            _leave_out_body(response)
        response.headers["Request-Id"] = request_id
        response.headers["Cache-Control"] = "no-store"
        return response

    def _answered(self, request: HttpRequest, request_id: str) -> HttpResponse:
        response = self.get_response(request)
        is_ours = response.headers.get("Content-Type", "").startswith(
            ("application/json", CONTENT_TYPE)
        )
        if response.status_code < 300 or is_ours:  # noqa: PLR2004
            return response
        return problem_response(_problem_for(response), request_id=request_id)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """What a view outside of the framework's care raises."""
        if not request.path_info.startswith(PREFIX):
            return None
        return problem_response(problem_of(error), request_id=request_id_of(request))


def _leave_out_body(response: HttpResponse | StreamingHttpResponse) -> None:
    """What HEAD is answered with: the length is told as it would be, and a file is not read."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    else:
        response.content = b""


def _problem_for(response: HttpResponse) -> Problem:
    """An answer that was made before any operation of the API was reached."""
    status = response.status_code
    if status in {301, 302}:
        return _without_tls() if response["Location"].startswith("https://") else not_found()
    if status == 405:  # noqa: PLR2004
        return _no_such_method(response.headers["Allow"])
    if status in _BY_STATUS:
        return _BY_STATUS[status]()
    if status < 500:  # noqa: PLR2004
        return not_understood()
    return Problem(code="internal-error", detail="This is our fault, and has been noted.")


def _without_tls() -> Problem:
    """Whoever was led on would send the key unencrypted each time, and never notice."""
    detail = "Call https:// instead. This came unencrypted, so replace the key if you sent one."
    return Problem(code="forbidden", detail=detail)


def _without_length() -> Problem:
    return wrong_header("Content-Length", "Say by Content-Length how long the body is.")


def _packed() -> Problem:
    message = "Send the body as it is, without a Content-Encoding."
    return wrong_header("Content-Encoding", message, code="unsupported-media-type")


def _no_such_method(allowed: str) -> Problem:
    detail = "There is no such method here."
    return Problem(code="method-not-allowed", detail=detail, headers={"Allow": allowed})


def _away() -> Problem:
    detail = "A server that is needed for this cannot be reached. Try again soon."
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(code="backend-unavailable", detail=detail, headers=headers)


_BY_STATUS: Mapping[int, Callable[[], Problem]] = {
    404: not_found,
    411: _without_length,
    413: too_large,
    415: _packed,
    503: _away,
}
