"""What is recorded holds no secret: names and forms that secrets have are masked. Pure.

Nobody means to record one. This is for the day when somebody adds a field to what is recorded,
or a customer types a password where a reason is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "•••"
# Words that a name of a field is made of, if what it holds opens something.
_WORDS = (
    "password|passphrase|passcode|secret|token|hash|digest|otp|totp|seed|cookie|credential"
    "|credentials|private|authorization|recovery_code|recovery_codes"
)
_NAME = re.compile(rf"(?:^|_)(?:{_WORDS})(?:_|$)")
_SHAPES = (
    r"rst_(?:live|test)_\w+",
    r"whsec_[\w+/=-]+",
    r"\{[A-Z0-9.-]{3,20}\}\S+",
    r"\$(?:argon2\w*|2[aby]|[156y]|scrypt)\$\S+",
    r"(?:pbkdf2|argon2|bcrypt|scrypt|md5)\w*\$\S+",
    r"\b(?i:bearer) \S+",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*-----)?",
    r"otpauth://\S+",
    # In the query of an address, such as that of a webhook.
    r"(?i:(?<=[?&])(?:token|key|secret|sig|signature|password|auth|code)=[^&\s]+)",
    # Four groups of seven are an app password (`mailstore.credentials`).
    r"\b[a-z2-9]{7}(?:-[a-z2-9]{7}){3}\b",
)
_FORMS = re.compile("|".join(_SHAPES))


def is_secret_name(name: str) -> bool:
    """Whether a field of this name would hold something that opens something."""
    return _NAME.search(name.lower()) is not None


def masked_text(text: str) -> str:
    """The text, with what has the form of a secret masked."""
    return _FORMS.sub(MASK, text)


def masked(value: Any) -> Any:
    """A value as JSON has it, with nothing left in it that is called or looks like a secret."""
    if isinstance(value, Mapping):
        return {
            name: MASK if each and is_secret_name(str(name)) else masked(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(each) for each in value]
    return masked_text(value) if isinstance(value, str) else value
