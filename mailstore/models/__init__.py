"""The tables of mail."""

from mailstore.models.cooling import PendingChange
from mailstore.models.credentials import AppPassword
from mailstore.models.domains import Domain
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
from mailstore.models.removals import Alarm, Removal
from mailstore.models.reports import LastLogin, LogPosition, Usage, UsageDay
from mailstore.models.retention import FullSweep, RetentionRule, Retrieval
from mailstore.models.standing import ClosedAlong, Restriction

__all__ = [
    "OPEN_STATES",
    "Alarm",
    "AppPassword",
    "ClosedAlong",
    "Domain",
    "FullSweep",
    "Hold",
    "LastLogin",
    "LogPosition",
    "Mailbox",
    "PendingChange",
    "PurgeBatch",
    "PurgeRun",
    "QuotaWarning",
    "Removal",
    "RestoreBatch",
    "RestoreRun",
    "Restriction",
    "RetentionPolicy",
    "RetentionRule",
    "Retrieval",
    "Usage",
    "UsageDay",
    "WorkState",
]
