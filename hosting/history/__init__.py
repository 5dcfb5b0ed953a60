"""What happened, in sentences instead of the codes of events."""

from hosting.history.details import Detail, details
from hosting.history.people import role_text
from hosting.history.showing import harmless
from hosting.history.telling import (
    Happening,
    sentence_of,
    told,
    told_of_all,
    who,
    with_subject,
)
from hosting.history.words import GROUPS, MAIL, MONEY, SENTENCES

__all__ = [
    "GROUPS",
    "MAIL",
    "MONEY",
    "SENTENCES",
    "Detail",
    "Happening",
    "details",
    "harmless",
    "role_text",
    "sentence_of",
    "told",
    "told_of_all",
    "who",
    "with_subject",
]
