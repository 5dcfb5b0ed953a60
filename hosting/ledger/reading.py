"""What the ledger says of a bill and of a customer."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Sum

from accounts.models import Organisation
from hosting import money
from hosting.models import Invoice, OpenItem, Payment


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What stands between a customer and one seller, in one currency."""

    # None stands for the house itself.
    seller_id: int | None
    currency: str
    open_minor: int
    # Money received that no bill has taken yet.
    credit_minor: int

    @property
    def balance_minor(self) -> int:
        """What the customer owes; below zero, what it has to its credit."""
        return self.open_minor - self.credit_minor

    @property
    def balance_text(self) -> str:
        """The same in words."""
        return money.minor_text(self.balance_minor, currency=self.currency)


def open_minor(invoice: Invoice) -> int:
    """What is left to pay of a bill; nothing of a credit note."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return 0
    return OpenItem.objects.get(invoice=invoice).open_minor


def balances(organisation: Organisation) -> list[Balance]:
    """One for each seller and currency in which anything is open or free, the house first."""
    items = OpenItem.objects.of(organisation).filter(open_minor__gt=0).order_by()
    owed = items.values_list("invoice__seller_id", "invoice__currency")
    payments = Payment.objects.filter(customer=organisation, free_minor__gt=0).order_by()
    free = payments.values_list("seller_id", "currency")
    opens = {(s, c): total for s, c, total in owed.annotate(total=Sum("open_minor"))}
    credits_ = {(s, c): total for s, c, total in free.annotate(total=Sum("free_minor"))}
    keys = sorted(opens.keys() | credits_.keys(), key=lambda key: (key[0] or 0, key[1]))
    return [
        Balance(
            seller_id=seller_id,
            currency=currency,
            open_minor=opens.get((seller_id, currency), 0),
            credit_minor=credits_.get((seller_id, currency), 0),
        )
        for seller_id, currency in keys
    ]


def balance_minor(organisation: Organisation) -> int:
    """What it owes the seller of its newest bill, in that bill's currency; credit is below zero."""
    newest = Invoice.objects.filter(customer=organisation).order_by("-pk").first()
    if newest is None:
        return 0
    terms = (newest.seller_id, newest.currency)
    found = [b for b in balances(organisation) if (b.seller_id, b.currency) == terms]
    return found[0].balance_minor if found else 0
