"""The tables of what is sold."""

from hosting.models.imports import MailboxImport
from hosting.models.plans import Contract, Plan
from hosting.models.pulses import Pulse

__all__ = ["Contract", "MailboxImport", "Plan", "Pulse"]
