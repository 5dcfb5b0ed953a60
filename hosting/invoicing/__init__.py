"""Bills: closed once a month, final, verifiable, and taken back by a credit note only."""

from hosting.invoicing.again import AgainRefused, bill_again
from hosting.invoicing.closing import (
    ClosedEarly,
    Progress,
    close_due,
    close_month,
    foresee,
    profiles,
    seller_profile,
)
from hosting.invoicing.corrections import Correction, late
from hosting.invoicing.crediting import CreditRefused, credit
from hosting.invoicing.verifying import Difference, verify, verify_numbers
from hosting.invoicing.writing import Bill
from hosting.months import trouble

__all__ = [
    "AgainRefused",
    "Bill",
    "ClosedEarly",
    "Correction",
    "CreditRefused",
    "Difference",
    "Progress",
    "bill_again",
    "close_due",
    "close_month",
    "credit",
    "foresee",
    "late",
    "profiles",
    "seller_profile",
    "trouble",
    "verify",
    "verify_numbers",
]
