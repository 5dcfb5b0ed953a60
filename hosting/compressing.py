"""Pages, style sheets and lists, made small on their way.

What a compressed page shows of a secret could be guessed by its length (BREACH), if somebody made
a person's browser ask for it again and again with guesses in the address. Three things are in the
way: other sites cannot have a page asked for with the person's cookie (`SameSite`), the token of
forms is masked anew in each answer, and each answer is lengthened by chance. What programs get is
left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import cast

import brotli
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

# Pictures, PDFs and fonts are small already.
_WORTH_IT = ("text/", "application/javascript", "application/yaml", "image/svg+xml")
_API = "/api/v1/"


class CompressingMiddleware(GZipMiddleware):
    """Compresses what browsers get; files of the tree only once, and best."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """The answer as it is sent."""
        if request.path_info.startswith(_API) or not _is_worth_it(response):
            return response
        if request.path_info.startswith(settings.STATIC_URL):
            return _compressed_file(request, response)
        return super().process_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        """What was compressed is known to browsers by a weak ETag; files are by a strong one."""
        known = request.META.get("HTTP_IF_NONE_MATCH", "")
        if request.path_info.startswith(settings.STATIC_URL) and known.startswith("W/"):
            request.META["HTTP_IF_NONE_MATCH"] = known.removeprefix("W/")


class _Files:
    """Files of the tree as they were compressed, for as long as they are the same."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_path: dict[str, tuple[str, bytes]] = {}

    def compressed(self, path: str, etag: str, content: Iterable[bytes]) -> bytes:
        known = self._by_path.get(path)
        if known is not None and known[0] == etag:
            return known[1]
        whole = b"".join(content)
        with self._lock:
            made: bytes = brotli.compress(whole)
            self._by_path[path] = (etag, made)
        return made


_files = _Files()


def _is_worth_it(response: HttpResponseBase) -> bool:
    return response.status_code == 200 and response.headers.get(  # noqa: PLR2004
        "Content-Type", ""
    ).startswith(_WORTH_IT)


def _compressed_file(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    patch_vary_headers(response, ("Accept-Encoding",))
    accepted = request.META.get("HTTP_ACCEPT_ENCODING", "")
    if request.method != "GET" or "br" not in [each.strip() for each in accepted.split(",")]:
        return response
    etag = response.headers.get("ETag", "")
    streamed = cast("StreamingHttpResponse", response)
    content = _files.compressed(
        request.path_info, etag, cast("Iterable[bytes]", streamed.streaming_content)
    )
    streamed.close()
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in {"ETag", "Content-Length"}
    }
    headers |= {"ETag": f"W/{etag}", "Content-Encoding": "br", "Content-Length": str(len(content))}
    return HttpResponse(content, headers=headers)
