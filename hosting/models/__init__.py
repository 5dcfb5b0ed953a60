"""The tables of what is sold."""

from hosting.models.dunning import Dunning, DunningStep
from hosting.models.imports import BankImport, MailboxImport, UploadedList
from hosting.models.invoices import Immutable, Invoice, InvoiceCounter, InvoiceLine
from hosting.models.parties import BillingProfile, Limits, Logo, VatRate
from hosting.models.payments import LedgerEntry, OpenItem, Payment
from hosting.models.plans import Contract, Plan, PlanChange
from hosting.models.prices import Price, PriceList
from hosting.models.provider import ProviderEvent, Refund
from hosting.models.pulses import Pulse
from hosting.models.spending import Spending

__all__ = [
    "BankImport",
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
    "Logo",
    "MailboxImport",
    "OpenItem",
    "Payment",
    "Plan",
    "PlanChange",
    "Price",
    "PriceList",
    "ProviderEvent",
    "Pulse",
    "Refund",
    "Spending",
    "UploadedList",
    "VatRate",
]
