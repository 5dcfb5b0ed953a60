"""A paper as a PDF, from the template that makes its page."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from django.contrib.staticfiles import finders
from django.core.cache import caches
from django.template.loader import render_to_string
from django.urls import reverse

from hosting import branding
from hosting.models import Invoice
from hosting.papers.values import Paper
from hosting.periods import Period

logger = logging.getLogger(__name__)

_LOGO = "picture:logo"


def pdf(invoice: Invoice, paper: Paper) -> bytes:
    """The paper of a bill. Its addresses are whole ones: a PDF is read far from the panel."""
    logo = paper.logo
    panel_url = branding.of_organisation(invoice.customer_id).panel_url
    usage_url = panel_url + usage_path(invoice)
    html = render_to_string(
        "hosting/paper.html",
        {
            "paper": paper,
            "logo_url": _LOGO,
            "usage_url": usage_url,
            "usage_text": usage_url,
            "lines_url": panel_url + lines_path(invoice),
        },
    )
    pictures = {_LOGO: (bytes(logo.picture), logo.media_type)} if logo else {}
    return _printed(html, css=_style(), pictures=pictures)


def _printed(html: str, *, css: str, pictures: Mapping[str, tuple[bytes, str]]) -> bytes:
    """What goes in alone decides what comes out, so that the same is set once for a while."""
    name = _digest(html, css, version("weasyprint"), repr(sorted(pictures.items())))
    made: bytes | None = caches["papers"].get(name)
    if made is None:
        # It says why it is not imported above.
        from hosting.papers import printing  # noqa: PLC0415

        made = printing.pdf(html, css=css, pictures=pictures)
        _keep(name, made)
    return made


def _keep(name: str, made: bytes) -> None:
    """A paper that cannot be kept costs the time to set it once more, and is no less a paper."""
    try:
        caches["papers"].set(name, made)
    except Exception:
        logger.exception("A paper could not be kept")


def _digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()


def usage_path(invoice: Invoice) -> str:
    """Where all that the bill was computed from can be had as CSV."""
    month = Period.of_day(invoice.period)
    return reverse("billing:usage", args=[invoice.customer.uuid, month])


def lines_path(invoice: Invoice) -> str:
    """Where all its lines can be had as CSV."""
    return reverse("billing:invoice_lines", args=[invoice.uuid])


def _style() -> str:
    return Path(str(finders.find("css/paper.css"))).read_text(encoding="utf-8")
