"""What stands in `/.well-known/security.txt` (RFC 9116). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

PATH = "/.well-known/security.txt"
# The RFC wants less than a year. Whoever reads a copy that is older asks again.
_GOOD_FOR = timedelta(days=90)


def is_page(text: str) -> bool:
    """Whether it is the address of a page that is read over TLS."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and text.isprintable()


def contact_uri(text: str) -> str:
    """An e-mail address or a page, as a URI; raises `ValueError` for anything else."""
    if is_page(text):
        return text
    address = text.removeprefix("mailto:")
    try:
        validate_email(address)
    except ValidationError as error:
        message = f"{text!r} is neither an e-mail address nor a page."
        raise ValueError(message) from error
    return f"mailto:{address}"


def contacts(chosen: Sequence[str], *, sender: str) -> Sequence[str]:
    """Who is named: those that were chosen, else where the letters of the panel come from."""
    return chosen or [parseaddr(sender)[1]]


def security_txt(
    *,
    contacts: Sequence[str],
    panel_url: str,
    policy_url: str,
    languages: Sequence[str],
    at: datetime,
) -> str:
    """The file; `panel_url` is the address under which it was asked for."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [f"Contact: {contact_uri(each)}" for each in contacts]
    lines.append(f"Expires: {(midnight + _GOOD_FOR).isoformat().replace('+00:00', 'Z')}")
    lines.append(f"Preferred-Languages: {', '.join(languages)}")
    lines.append(f"Canonical: {panel_url}{PATH}")
    if policy_url:
        lines.append(f"Policy: {policy_url}")
    return "\n".join(lines) + "\n"
