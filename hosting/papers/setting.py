"""A paper as a PDF, from the template that makes its page."""

from __future__ import annotations

from pathlib import Path

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from hosting.papers.values import Paper

_LOGO = "picture:logo"


def pdf(paper: Paper, *, usage_url: str, lines_url: str) -> bytes:
    """The addresses are whole ones, since a PDF is read far from the panel."""
    # It says why it is not imported above.
    from hosting.papers import printing  # noqa: PLC0415

    logo = paper.logo
    html = render_to_string(
        "hosting/paper.html",
        {
            "paper": paper,
            "logo_url": _LOGO,
            "usage_url": usage_url,
            "lines_url": lines_url,
        },
    )
    pictures = {_LOGO: (bytes(logo.picture), logo.media_type)} if logo else {}
    return printing.pdf(html, css=_style(), pictures=pictures)


def _style() -> str:
    found = finders.find("css/paper.css")
    if not isinstance(found, str):
        message = "static/css/paper.css is missing from this installation."
        raise FileNotFoundError(message)
    return Path(found).read_text(encoding="utf-8")
