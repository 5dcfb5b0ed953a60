"""Seals over where the chain of events stands: only who has the house's secret makes them.

Whoever can write to the database can compute links anew, but not seals. While an older secret
stands in `SECRET_KEY_FALLBACKS`, what was sealed under it holds as well.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "accounts.seals"


def seal(*parts: object) -> str:
    """The seal over some values, in hexadecimal."""
    return _seal(parts, settings.SECRET_KEY)


def holds(sealed: str, *parts: object) -> bool:
    """Whether the seal was made over these values by this house."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(sealed, _seal(parts, secret)) for secret in secrets)


def _seal(parts: tuple[object, ...], secret: str) -> str:
    text = "\n".join(map(str, parts))
    return salted_hmac(_SALT, text, secret=secret, algorithm="sha256").hexdigest()
