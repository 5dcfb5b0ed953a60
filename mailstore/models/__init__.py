"""The tables of mail."""

from mailstore.models.cooling import PendingChange
from mailstore.models.credentials import AppPassword
from mailstore.models.devices import Device, Place, PlaceLetters, SignIn
from mailstore.models.dns import DomainDns
from mailstore.models.domains import Domain
from mailstore.models.guessing import Guessing, GuessingAlarm, GuessingSource
from mailstore.models.holds import Hold
from mailstore.models.mailboxes import Mailbox, RetentionPolicy
from mailstore.models.purging import (
    OPEN_STATES,
    PurgeBatch,
    PurgeRun,
    RestoreBatch,
    RestoreRun,
    WorkState,
)
from mailstore.models.quotas import QuotaWarning
from mailstore.models.removals import Alarm, MessageCopy, Removal
from mailstore.models.reports import (
    Drift,
    LastLogin,
    LogPosition,
    Recount,
    Suspicion,
    Usage,
    UsageDay,
)
from mailstore.models.retention import FetchDoubt, FullSweep, RetentionRule, Retrieval
from mailstore.models.standing import ClosedAlong, Restriction
from mailstore.models.switching import ProtocolSwitch

__all__ = [
    "OPEN_STATES",
    "Alarm",
    "AppPassword",
    "ClosedAlong",
    "Device",
    "Domain",
    "DomainDns",
    "Drift",
    "FetchDoubt",
    "FullSweep",
    "Guessing",
    "GuessingAlarm",
    "GuessingSource",
    "Hold",
    "LastLogin",
    "LogPosition",
    "Mailbox",
    "MessageCopy",
    "PendingChange",
    "Place",
    "PlaceLetters",
    "ProtocolSwitch",
    "PurgeBatch",
    "PurgeRun",
    "QuotaWarning",
    "Recount",
    "Removal",
    "RestoreBatch",
    "RestoreRun",
    "Restriction",
    "RetentionPolicy",
    "RetentionRule",
    "Retrieval",
    "SignIn",
    "Suspicion",
    "Usage",
    "UsageDay",
    "WorkState",
]
