"""Bills: closed once a month, final, verifiable, and taken back by a credit note only."""

from hosting.invoicing.closing import (
    ClosedEarly,
    Progress,
    close_month,
    foresee,
    profiles,
    seller_profile,
)
from hosting.invoicing.corrections import last_known_at, late
from hosting.invoicing.crediting import CreditRefused, credit
from hosting.invoicing.verifying import Difference, verify
from hosting.invoicing.writing import Bill

__all__ = [
    "Bill",
    "ClosedEarly",
    "CreditRefused",
    "Difference",
    "Progress",
    "close_month",
    "credit",
    "foresee",
    "last_known_at",
    "late",
    "profiles",
    "seller_profile",
    "verify",
]
