"""The way from a bill to the page on which it is paid."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Max

from accounts.access import Actor, Capability
from hosting import ledger, paying
from hosting.models import Invoice, LedgerEntry


class NotPayable(Exception):
    """This bill cannot be paid by card here; the text says why."""


def is_offered(invoice: Invoice) -> bool:
    """Whether this bill could be paid by card while anything is open of it.

    Cards are taken for the house alone: a reseller has an account of its own. Nobody pays for
    a test.
    """
    is_bill = invoice.kind == Invoice.Kind.INVOICE and not invoice.customer.is_test
    return is_bill and invoice.seller_id is None and paying.provider() is not None


def start(
    *, actor: Actor, invoice: Invoice, success_url: str, cancel_url: str, at: datetime
) -> paying.Checkout:
    """A page for all that is open; raises `NotPayable` or `paying.ProviderError`.

    Asked again while the books stand as they are, the provider gives the same page, so that
    nobody pays twice. A page lasts a day, and so does its key.
    """
    actor.must(Capability.SEE_BILLS, lineage=invoice.customer.lineage)
    provider = paying.provider()
    if provider is None or not is_offered(invoice):
        message = "This bill cannot be paid by card here."
        raise NotPayable(message)
    open_minor = ledger.open_minor(invoice)
    if not open_minor:
        message = f"Nothing is left to pay of {invoice.number}."
        raise NotPayable(message)
    page = provider.checkout(
        paying.CheckoutAsk(
            key=_key(invoice, open_minor, at),
            invoice_uuid=str(invoice.uuid),
            invoice_number=invoice.number,
            amount_minor=open_minor,
            currency=invoice.currency,
            success_url=success_url,
            cancel_url=cancel_url,
        )
    )
    if not page.url.startswith(f"{provider.origin}/"):
        message = "The payment provider answered with a page that is not its own."
        raise paying.ProviderRefused(message)
    return page


def _key(invoice: Invoice, open_minor: int, at: datetime) -> str:
    """The same for everybody, until the books of the bill move on."""
    last = LedgerEntry.objects.filter(invoice=invoice).aggregate(last=Max("pk"))["last"] or 0
    return f"pay-{invoice.uuid}-{open_minor}-{last}-{at:%Y%m%d}"
