"""The tables of mail."""

from mailstore.models.credentials import AppPassword
from mailstore.models.domains import Domain
from mailstore.models.mailboxes import Mailbox
from mailstore.models.quotas import QuotaWarning
from mailstore.models.reports import LastLogin, LogPosition, Usage

__all__ = [
    "AppPassword",
    "Domain",
    "LastLogin",
    "LogPosition",
    "Mailbox",
    "QuotaWarning",
    "Usage",
]
