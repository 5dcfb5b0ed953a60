"""Files that programs ask for: written by a worker, fetched for a week, then forgotten."""

from hosting.exports.asking import (
    MOST_STANDING,
    ExportRefused,
    NothingToDiscard,
    TooManyExports,
    ask,
    discard,
)
from hosting.exports.forgetting import forget_old
from hosting.exports.keeping import FileGone, opened
from hosting.exports.wanting import Wanted, file_name, form_of, media_type, scopes_for
from hosting.exports.writing import resume, run

__all__ = [
    "MOST_STANDING",
    "ExportRefused",
    "FileGone",
    "NothingToDiscard",
    "TooManyExports",
    "Wanted",
    "ask",
    "discard",
    "file_name",
    "forget_old",
    "form_of",
    "media_type",
    "opened",
    "resume",
    "run",
    "scopes_for",
]
