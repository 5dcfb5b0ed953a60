"""What a request may look like, and how large it may be, before anybody looks at what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.loader import render_to_string

GetResponse = Callable[[HttpRequest], HttpResponse]

# The API takes no more than one of its own documents, and says so in its own words.
API = "/api/v1"
_API_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PAGE_METHODS = ("GET", "HEAD", "POST", "OPTIONS")

_KIB = 1024
# A form of words and choices; the largest is a list of ticked rows in the staff pages.
_FORM_BYTES = 256 * _KIB
# What a route takes beyond that: files, with room for the form around them.
_UPLOADS: Mapping[str, int] = {
    "billing:set_logo": 1024 * _KIB,
    "look:try_out": 1024 * _KIB,
    "customers:import": 2200 * _KIB,
    "admin:hosting_mailboximport_add": 5200 * _KIB,
    "admin:hosting_bankimport_add": 10_200 * _KIB,
    "api:imports": 6 * 1024 * _KIB,
}
_API_BYTES = 1024 * _KIB
_NEVER_IN_A_PATH = frozenset({"", ".", ".."})


class RequestLimitsMiddleware:
    """Refuses what no browser and no program of an honest customer sends.

    A path has one spelling, so that what holds for all below a prefix holds for every request
    that reaches a page there.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = refusal_of(request) or self.get_response(request)
        if isinstance(answer, HttpResponseNotAllowed) and not request.path_info.startswith(API):
            # Django leaves it empty, and browsers show a page of their own that ends nowhere.
            answer.content = render_to_string("405.html")
            answer.headers["Content-Length"] = str(len(answer.content))
        return answer

    def process_view(
        self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Refuse a body that is larger than what this route could want, unread."""
        match = request.resolver_match
        if match is None or _length(request) <= most_bytes(match.view_name):
            return None
        return page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def refusal_of(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that nobody looks into, or None."""
    methods = _API_METHODS if request.path_info.startswith(API) else _PAGE_METHODS
    if request.method not in methods:
        return HttpResponseNotAllowed(methods)
    if not is_plain(request.path_info):
        return page(HTTPStatus.BAD_REQUEST)
    if "HTTP_TRANSFER_ENCODING" in request.META:
        # Bodies are counted before they are read, and one without a length would be left unread.
        return page(HTTPStatus.LENGTH_REQUIRED)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Nothing is unpacked for anybody, so a small body is small.
        return page(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    return None


def is_plain(path: str) -> bool:
    """Whether a path is spelt in the one way that pages have: no detours and no control marks."""
    steps = path.removeprefix("/").removesuffix("/").split("/")
    has_detour = path != "/" and not _NEVER_IN_A_PATH.isdisjoint(steps)
    return not has_detour and path.isprintable() and "\\" not in path


def most_bytes(view_name: str) -> int:
    """How long a body for this route may be."""
    usual = _API_BYTES if view_name.startswith("api:") else _FORM_BYTES
    return _UPLOADS.get(view_name, usual)


def _length(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdecimal() else 0


def page(status: HTTPStatus) -> HttpResponse:
    """A mishap in words, without a look at the database."""
    return HttpResponse(render_to_string(f"{status.value}.html"), status=status)
