"""Cursors: a place in a list that we gave away, and take back unchanged only.

A place is made of rows' keys, from which anybody could count what all tenants have. So a cursor is
enciphered (AES-SIV), which also shows whether it is ours. The same place has the same cursor.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.dateparse import parse_datetime

from hosting.api.problems import Problem

_KEY_BYTES = 64
# Places are filled up to a multiple of this, so that a cursor's length tells nothing of a key's.
_STEP_BYTES = 32


def seal(values: Iterable[Any], *, mark: str) -> str:
    """A cursor for a place. `mark` names what it belongs to: the same list, filters and order."""
    place = orjson.dumps([_plain(value) for value in values])
    filled = place + b" " * (-len(place) % _STEP_BYTES)
    sealed = _cipher(settings.SECRET_KEY).encrypt(filled, [mark.encode()])
    return urlsafe_b64encode(sealed).decode("ascii").rstrip("=")


def _plain(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def unseal(text: str, *, mark: str) -> list[Any]:
    """The place that a cursor names; raises a problem unless we made it for this very list."""
    place = _opened(text, mark=mark)
    if place is None:
        detail = "Take a cursor from an answer to the same filters and order, unchanged."
        raise Problem(code="invalid-cursor", detail=detail)
    return [parse_datetime(v["at"]) if isinstance(v, dict) else v for v in orjson.loads(place)]


def _opened(text: str, *, mark: str) -> bytes | None:
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return _cipher(secret).decrypt(sealed, [mark.encode()])
        except (InvalidTag, ValueError):
            # Another's, another list's, or too short to be one at all.
            continue
    return None


@lru_cache(maxsize=4)
def _cipher(secret: str) -> AESSIV:
    kdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"restante cursors")
    return AESSIV(kdf.derive(secret.encode()))
