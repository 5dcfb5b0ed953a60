"""A paper as a PDF, from the template that makes its page."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.urls import reverse

from hosting.models import Invoice
from hosting.papers.values import Paper
from hosting.periods import Period

_LOGO = "picture:logo"


def pdf(invoice: Invoice, paper: Paper) -> bytes:
    """The paper of a bill. Its addresses are whole ones: a PDF is read far from the panel."""
    # It says why it is not imported above.
    from hosting.papers import printing  # noqa: PLC0415

    logo = paper.logo
    usage_url = settings.PANEL_URL + usage_path(invoice)
    html = render_to_string(
        "hosting/paper.html",
        {
            "paper": paper,
            "logo_url": _LOGO,
            "usage_url": usage_url,
            "usage_text": usage_url,
            "lines_url": settings.PANEL_URL + lines_path(invoice),
        },
    )
    pictures = {_LOGO: (bytes(logo.picture), logo.media_type)} if logo else {}
    return printing.pdf(html, css=_style(), pictures=pictures)


def usage_path(invoice: Invoice) -> str:
    """Where all that the bill was computed from can be had as CSV."""
    month = Period.of_day(invoice.period)
    return reverse("billing:usage", args=[invoice.customer.uuid, month])


def lines_path(invoice: Invoice) -> str:
    """Where all its lines can be had as CSV."""
    return reverse("billing:invoice_lines", args=[invoice.uuid])


def _style() -> str:
    return Path(str(finders.find("css/paper.css"))).read_text(encoding="utf-8")
