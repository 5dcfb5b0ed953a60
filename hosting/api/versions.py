"""Which version of a thing a document shows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson

_LENGTH = 24


def etag(document: Mapping[str, Any], *, without: Collection[str] = ()) -> str:
    """A strong entity tag over the document.

    `without` names what changes by itself, such as use: a mail that arrives meanwhile is no
    reason to refuse a change. `quota.used_bytes` names one value of an object within.
    """
    stable = {
        name: _stable(name, value, without)
        for name, value in document.items()
        if name not in without
    }
    text = orjson.dumps(stable, option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.sha256(text).hexdigest()[:_LENGTH]}"'


def _stable(name: str, value: Any, without: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {inner: each for inner, each in value.items() if f"{name}.{inner}" not in without}
    return value
