"""From HTML to PDF by WeasyPrint, which reads nothing but what it is handed.

Importing it costs 40 MB of memory and a second, so whoever prints imports this module when a
PDF is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from weasyprint import CSS, HTML
from weasyprint.urls import URLFetcher, URLFetcherResponse


class Refused(ValueError):
    """The HTML names something that was not handed over."""

    def __init__(self, url: str) -> None:
        super().__init__(f"Nothing was handed over as {url[:80]}.")


class HandedOver(URLFetcher):  # type: ignore[misc]  # WeasyPrint ships without types
    """Answers from memory, and never opens a file or a connection."""

    def __init__(self, pictures: Mapping[str, tuple[bytes, str]]) -> None:
        super().__init__()
        self._pictures = pictures

    def fetch(self, url: str, headers: Any = None) -> Any:  # noqa: ARG002  # WeasyPrint's signature
        """The picture of that address; raises `Refused`, which leaves its place empty."""
        if url not in self._pictures:
            raise Refused(url)
        content, media_type = self._pictures[url]
        return URLFetcherResponse(url, content, {"Content-Type": media_type})


def pdf(html: str, *, css: str, pictures: Mapping[str, tuple[bytes, str]]) -> bytes:
    """A tagged PDF (PDF/UA-1). What goes in alone decides what comes out, byte by byte.

    `pictures` has the bytes and the media type of each address that the HTML may name.
    """
    fetcher = HandedOver(pictures)
    written: bytes = HTML(string=html, url_fetcher=fetcher).write_pdf(
        stylesheets=[CSS(string=css, url_fetcher=fetcher)],
        pdf_variant="pdf/ua-1",
        # Without one, WeasyPrint would draw it by chance.
        pdf_identifier=sha256(html.encode()).digest()[:16],
    )
    return written
