"""The audit trail as its people read it: asked for, told in words, and taken away as files."""

from hosting.activity.asking import (
    PAGE_LENGTH,
    WHO,
    Wanted,
    found,
    organisations_of,
    page,
    readable,
)
from hosting.activity.telling import Line, Reader

__all__ = [
    "PAGE_LENGTH",
    "WHO",
    "Line",
    "Reader",
    "Wanted",
    "found",
    "organisations_of",
    "page",
    "readable",
]
