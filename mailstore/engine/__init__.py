"""The mail server behind the panel. Nothing outside this package speaks its protocols."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.utils.module_loading import import_string

from mailstore.engine.attendance import MAILBOX_PASSWORD, Attendance, Outcome
from mailstore.engine.base import (
    DeliveryRefused,
    Engine,
    EngineError,
    EngineRefused,
    EngineUnavailable,
    FolderState,
    FolderUsage,
    MessageSearch,
    OutcomeUnknown,
    Present,
    RemovedEntry,
    RemovedMessage,
    RemovedSearch,
    Service,
    Size,
    StoredMessage,
    UnknownMailbox,
    uid_set,
    uids_of,
)
from mailstore.engine.server import server_from_settings

__all__ = [
    "MAILBOX_PASSWORD",
    "Attendance",
    "DeliveryRefused",
    "Engine",
    "EngineError",
    "EngineRefused",
    "EngineUnavailable",
    "FolderState",
    "FolderUsage",
    "MessageSearch",
    "Outcome",
    "OutcomeUnknown",
    "Present",
    "RemovedEntry",
    "RemovedMessage",
    "RemovedSearch",
    "Service",
    "Size",
    "StoredMessage",
    "UnknownMailbox",
    "engine",
    "server_from_settings",
    "uid_set",
    "uids_of",
]


def engine() -> Engine:
    """The engine that `settings.MAIL_ENGINE` names, made once."""
    return _made(settings.MAIL_ENGINE)


@lru_cache
def _made(path: str) -> Engine:
    made: Engine = import_string(path)()
    return made
