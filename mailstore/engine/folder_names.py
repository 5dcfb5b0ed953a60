"""How folders are named on the wire, and how the mail server's log shows them.

Programs write a folder's name in the modified UTF-7 of RFC 3501, section 5.1.3. Dovecot names a
folder of the recoverable store by that form, so `Über` is kept below `&ANw-ber`; and its log
shows the first bytes of a name only.
"""

from __future__ import annotations

import base64
import binascii
import re

_MOST_SHOWN_BYTES = 64
_CUT = "..."
_PLAIN = re.compile(r"[\x20-\x25\x27-\x7e]+")
_PART = re.compile(r"[\x20-\x25\x27-\x7e]+|&|[^\x20-\x7e]+")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)(?:-|\Z)")


def to_wire(name: str) -> str:
    """The name in modified UTF-7."""
    return _PART.sub(lambda part: _encoded(part[0]), name)


def from_wire(name: str) -> str:
    """The name that `to_wire` encoded; what is no such name stays as it is."""
    decoded = _SHIFTED.sub(lambda part: _decoded(part[1]), name)
    return decoded if to_wire(decoded) == name else name


def shown(name: str) -> str:
    """What the log shows of a name: no control characters, and 64 bytes at most."""
    clean = re.sub(r"[\x00-\x1f\x7f]", "?", name)
    if len(clean.encode()) <= _MOST_SHOWN_BYTES:
        return clean
    return _first_bytes(clean, _MOST_SHOWN_BYTES - len(_CUT)) + _CUT


def is_whole(name: str) -> bool:
    """Whether what the log shows can be the name of one folder only, which is that."""
    return "?" not in name and not name.endswith(_CUT)


def is_shown_as(folder: str, kept: str) -> bool:
    """Whether the log may show one folder as `folder` and the store's folder for it as `kept`."""
    begin = folder.removesuffix(_CUT)
    decoded = _SHIFTED.sub(lambda part: _decoded(part[1]), kept.removesuffix(_CUT))
    is_whole = begin == folder and not kept.endswith(_CUT)
    if is_whole and len(begin) != len(decoded):
        return False
    return all(mine in {"?", theirs} for mine, theirs in zip(begin, decoded, strict=False))


def _encoded(part: str) -> str:
    if part == "&":
        return "&-"
    if _PLAIN.fullmatch(part):
        return part
    text = base64.b64encode(part.encode("utf-16-be", "surrogatepass")).decode("ascii")
    return f"&{text.rstrip('=').replace('/', ',')}-"


def _decoded(text: str) -> str:
    """What stands between `&` and `-`; of a part that was cut, the whole characters of it."""
    if not text:
        return "&"
    padded = text.replace(",", "/") + "=" * (-len(text) % 4)
    try:
        raw = base64.b64decode(padded)
    except binascii.Error:  # One character too many, of the next byte.
        raw = base64.b64decode(text[:-1].replace(",", "/"))
    return raw[: len(raw) // 2 * 2].decode("utf-16-be", "ignore")


def _first_bytes(text: str, most: int) -> str:
    return text.encode()[:most].decode("utf-8", "ignore")
