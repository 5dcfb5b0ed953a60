"""The tables of what is sold."""

from hosting.models.dunning import Dunning, DunningStep
from hosting.models.imports import MailboxImport
from hosting.models.invoices import Immutable, Invoice, InvoiceCounter, InvoiceLine
from hosting.models.parties import BillingProfile, Limits, VatRate
from hosting.models.payments import LedgerEntry, OpenItem, Payment
from hosting.models.plans import Contract, Plan
from hosting.models.prices import Price, PriceList
from hosting.models.pulses import Pulse
from hosting.models.spending import Spending

__all__ = [
    "BillingProfile",
    "Contract",
    "Dunning",
    "DunningStep",
    "Immutable",
    "Invoice",
    "InvoiceCounter",
    "InvoiceLine",
    "LedgerEntry",
    "Limits",
    "MailboxImport",
    "OpenItem",
    "Payment",
    "Plan",
    "Price",
    "PriceList",
    "Pulse",
    "Spending",
    "VatRate",
]
