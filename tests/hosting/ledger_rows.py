"""Bills and payments as rows, without a month that led to them."""

from __future__ import annotations

from datetime import date

from django.db import transaction

from hosting import ledger
from hosting.models import Invoice, PriceList
from tests.hosting.billing_rows import ACTOR, CLOSED_AT


@transaction.atomic
def make_bill(customer, total_minor, *, seller=None, currency="EUR", days=14, at=CLOSED_AT, **more):
    """A bill that stands open; the months go back from one to the next."""
    count = Invoice.objects.count()
    month = date(2020 + count // 12, count % 12 + 1, 1)
    fields = {"number": f"T-{count + 1:06}", "period": month, **more}
    invoice = Invoice.objects.create(
        customer=customer,
        seller=seller,
        price_list=PriceList.objects.get(seller=None, audience="retail"),
        issued_at=at,
        currency=currency,
        vat_percent=0,
        net_minor=total_minor,
        vat_minor=0,
        total_minor=total_minor,
        seller_text=_party("Seller"),
        customer_text=_party(customer.name),
        **fields,
    )
    ledger.enter([invoice], payment_days=[days], actor=ACTOR, at=at)
    return invoice


def _party(name):
    return {"name": name, "address": [], "country": "AT", "vat_id": ""}


def paid(amount_minor, *, customer=None, seller=None, on=date(2026, 11, 2), **more):
    """Money that came in."""
    fields = {"source": "staff", "currency": "EUR", "actor": ACTOR, "at": CLOSED_AT, **more}
    return ledger.receive(
        seller=seller, customer=customer, amount_minor=amount_minor, received_on=on, **fields
    )
