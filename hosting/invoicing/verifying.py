"""Whether a bill is what the raw rows come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from hosting import billing
from hosting.charges import Charge
from hosting.invoicing import charged, corrections, reviewing
from hosting.models import Invoice, InvoiceCounter, InvoiceLine, InvoiceTax
from hosting.periods import Period
from hosting.vat import Tax

# All that a line of a credit note has in common with the line that it takes back.
_SAME = (
    "kind",
    "mailbox_id",
    "price_id",
    "period",
    "seconds",
    "used_byte_seconds",
    "included_byte_seconds",
    "tax_number",
)


@dataclass(frozen=True)
class Difference:
    """Something that the bill says, and what the rows come to."""

    what: str
    charged: str
    computed: str

    def __str__(self) -> str:
        return f"{self.what}: the bill says {self.charged}, the rows come to {self.computed}."


def verify(invoice: Invoice) -> list[Difference]:
    """Compute a bill again from contracts, prices and the meter; nothing if it is equal.

    Its lines have to be what was known when it was written, and all that was charged for its
    month what was known when that was last put right.
    """
    found = list(_sums(invoice))
    if invoice.corrects is not None:
        return [*found, *_mirror(invoice, invoice.corrects)]
    return [*found, *_lines(invoice), *_month(invoice)]


def verify_numbers() -> list[str]:
    """Whether each seller has given each number once and left none out; a sentence for each."""
    counters = InvoiceCounter.objects.order_by("pk")
    return [sentence for counter in counters for sentence in _gaps(counter)]


def _gaps(counter: InvoiceCounter) -> Iterator[str]:
    bills = Invoice.objects.filter(seller=counter.seller_id, customer__is_test=counter.is_test)
    numbers = bills.order_by("pk").values_list("number", flat=True)
    expected = 1
    # The next one belongs to no bill yet.
    for number in chain(numbers.iterator(), [str(counter)]):
        due = f"{counter.prefix}{expected:06}"
        if number != due:
            yield f"{due} should come next, and {number} does."
        digits = number.removeprefix(counter.prefix)
        expected = int(digits) + 1 if digits.isdecimal() else expected + 1


def _sums(invoice: Invoice) -> Iterator[Difference]:
    lines: dict[int, int] = {}
    rows = InvoiceLine.objects.filter(invoice=invoice)
    for number, net_minor in rows.values_list("tax_number", "net_minor"):
        lines[number or 1] = lines.get(number or 1, 0) + net_minor
    taxes = {tax.number: tax for tax in invoice.taxes.order_by("number")}
    for number in sorted(lines.keys() | taxes.keys()):
        yield from _tax(taxes.get(number), lines.get(number, 0))
    yield from _unequal(
        ("Net", invoice.net_minor, sum(tax.net_minor for tax in taxes.values())),
        ("VAT", invoice.vat_minor, sum(tax.vat_minor for tax in taxes.values())),
        ("Total", invoice.total_minor, invoice.net_minor + invoice.vat_minor),
    )


def _tax(tax: InvoiceTax | None, net_minor: int) -> Iterator[Difference]:
    if tax is None:
        yield Difference("Net at no rate", str(net_minor), "0")
        return
    computed = Tax(percent=tax.percent, note=tax.note).on(net_minor)
    yield from _unequal(
        (f"Net at {tax.percent} %", tax.net_minor, net_minor),
        (f"VAT at {tax.percent} %", tax.vat_minor, computed),
    )


def _unequal(*pairs: tuple[str, object, object]) -> Iterator[Difference]:
    for what, says, is_ in pairs:
        if says != is_:
            yield Difference(what, str(says), str(is_))


def _mirror(note: Invoice, original: Invoice) -> Iterator[Difference]:
    """A credit note takes back each line as it was charged: price, time, use and rate."""
    yield from _unequal(
        ("Net", note.net_minor, -original.net_minor),
        ("VAT", note.vat_minor, -original.vat_minor),
    )
    says, is_ = _facts_of(note), _facts_of(original, sign=-1)
    for position in sorted(says.keys() | is_.keys()):
        yield from _unequal((f"Line {position}", says.get(position), is_.get(position)))
    rates = _rates_of(note), _rates_of(original, sign=-1)
    yield from _unequal(("Rates", *rates))


def _rates_of(bill: Invoice, *, sign: int = 1) -> list[tuple[Any, ...]]:
    rows = bill.taxes.order_by("number").values_list("number", "percent", "note", "vat_minor")
    return [(*same, sign * vat_minor) for *same, vat_minor in rows]


def _facts_of(bill: Invoice, *, sign: int = 1) -> Mapping[int, tuple[Any, ...]]:
    rows = bill.lines.values_list("position", *_SAME, "net_minor")
    return {position: (*same, sign * net) for position, *same, net in rows}


def _lines(invoice: Invoice) -> Iterator[Difference]:
    """Line by line, as it was known when the bill was written."""
    lines = _computed(invoice, known_at=invoice.issued_at)
    computed = {line.key: line for line in lines}
    stored = {
        (line.mailbox_id, line.price_id, line.kind): line
        for line in invoice.lines.exclude(kind=InvoiceLine.Kind.CORRECTION)
    }
    for key in sorted(computed.keys() | stored.keys(), key=str):
        says, is_ = stored.get(key), computed.get(key)
        name = f"Line {says.position}" if says else f"Mailbox {key[0]} at price {key[1]}"
        yield from _unequal((name, _facts(says), _facts(is_)))


def _month(invoice: Invoice) -> Iterator[Difference]:
    """All that was charged for the month, whatever bill it stands on."""
    customer, month = invoice.customer_id, Period.of_day(invoice.period)
    standing = charged.bill_of(customer, month)
    if standing is not None and standing != invoice:
        # It was taken back and billed again: the new bill answers for the month.
        return
    before = charged.nets(customer, month)
    now: Mapping[charged.Key, int] = {}
    known_at = charged.known_at(customer, month)
    if standing is not None and known_at is not None:
        now = _nets(invoice, _computed(invoice, known_at=known_at))
    for key in sorted(before.keys() | now.keys(), key=str):
        name = f"Mailbox {key.mailbox_id} at price {key.price_id} and {key.tax.percent} %"
        yield from _unequal((name, before.get(key, 0), now.get(key, 0)))


def _nets(invoice: Invoice, lines: Iterable[Charge]) -> Mapping[charged.Key, int]:
    return corrections.nets(lines, tax=charged.tax_of(invoice))


def _computed(invoice: Invoice, *, known_at: datetime) -> list[Charge]:
    buyer = billing.on_terms_of(invoice, organisation=invoice.customer)
    lines = billing.charges(buyer, period=Period.of_day(invoice.period), known_at=known_at)
    return reviewing.owed(lines, bill=invoice, known_at=known_at)


def _facts(line: InvoiceLine | Charge | None) -> tuple[int, int, int, int] | None:
    if line is None:
        return None
    return line.seconds, line.used_byte_seconds, line.included_byte_seconds, line.net_minor
