"""Secrets that the house must be able to read again, sealed for the table they lie in.

The key comes from `SECRET_KEY`. While an older one stands in `SECRET_KEY_FALLBACKS`, what was
sealed under it opens as well.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_KEY_BYTES = 32


class CannotOpen(Exception):
    """It was sealed under a key that this installation does not have any more."""


def seal(secret: bytes) -> str:
    """The secret as text that nobody can read without the house's key."""
    return _box().encrypt(secret).decode("ascii")


def open_sealed(sealed: str) -> bytes:
    """What was sealed; raises `CannotOpen`."""
    try:
        return _box().decrypt(sealed.encode("ascii"))
    except InvalidToken as error:
        message = "This was sealed under a SECRET_KEY that is gone."
        raise CannotOpen(message) from error


def _box() -> MultiFernet:
    return _boxes((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _boxes(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    material = hashlib.sha256(key.encode()).digest()
    kdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"restante sealing")
    return base64.urlsafe_b64encode(kdf.derive(material))
