"""The tables of what is sold."""

from hosting.models.answers import KeptAnswer
from hosting.models.brands import Brand, PanelHost
from hosting.models.bulk import BulkItem, BulkRequest
from hosting.models.dunning import Dunning, DunningStep
from hosting.models.exports import Export
from hosting.models.figures import CustomerFigures, SellerFigures
from hosting.models.imports import BankImport, CustomerImport, MailboxImport, UploadedList
from hosting.models.invoices import (
    Immutable,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    InvoiceTax,
    MonthClose,
)
from hosting.models.overage import HeldOverage
from hosting.models.parties import BillingProfile, Limits, Logo, VatRate
from hosting.models.payments import LedgerEntry, OpenItem, Payment
from hosting.models.plans import Contract, Plan, PlanChange
from hosting.models.prices import Price, PriceList
from hosting.models.provider import ProviderEvent, Refund
from hosting.models.pulses import Pulse
from hosting.models.spending import Spending
from hosting.models.test_clocks import ClockAdvance, MeterStep, TestClock
from hosting.models.webhooks import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)

__all__ = [
    "BankImport",
    "BillingProfile",
    "Brand",
    "BulkItem",
    "BulkRequest",
    "ClockAdvance",
    "Contract",
    "CustomerFigures",
    "CustomerImport",
    "Dunning",
    "DunningStep",
    "Export",
    "HeldOverage",
    "Immutable",
    "Invoice",
    "InvoiceCounter",
    "InvoiceLine",
    "InvoiceTax",
    "KeptAnswer",
    "LedgerEntry",
    "Limits",
    "Logo",
    "MailboxImport",
    "MeterStep",
    "MonthClose",
    "OpenItem",
    "PanelHost",
    "Payment",
    "Plan",
    "PlanChange",
    "Price",
    "PriceList",
    "ProviderEvent",
    "Pulse",
    "Refund",
    "SellerFigures",
    "Spending",
    "TestClock",
    "UploadedList",
    "VatRate",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
]
