"""Whether a bill is what the raw rows come to."""

from __future__ import annotations

from dataclasses import dataclass

from hosting import billing
from hosting.billing import Buyer
from hosting.charges import Charge
from hosting.invoicing import corrections
from hosting.models import Invoice, InvoiceLine
from hosting.periods import Period
from hosting.vat import Tax


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

    What later bills put right counts with it.
    """
    found = list(_sums(invoice))
    if invoice.corrects is not None:
        return [*found, *_mirror(invoice, invoice.corrects)]
    return [*found, *_lines(invoice)]


def _sums(invoice: Invoice) -> list[Difference]:
    lines = InvoiceLine.objects.filter(invoice=invoice)
    net = sum(lines.values_list("net_minor", flat=True))
    pairs = [("Net", invoice.net_minor, net)]
    if invoice.corrects is None:
        pairs.append(("VAT", invoice.vat_minor, Tax(percent=invoice.vat_percent).on(net)))
    pairs.append(("Total", invoice.total_minor, invoice.net_minor + invoice.vat_minor))
    return [Difference(what, str(says), str(is_)) for what, says, is_ in pairs if says != is_]


def _mirror(note: Invoice, original: Invoice) -> list[Difference]:
    pairs = [
        ("Net", note.net_minor, -original.net_minor),
        ("VAT", note.vat_minor, -original.vat_minor),
    ]
    return [Difference(what, str(says), str(is_)) for what, says, is_ in pairs if says != is_]


def _lines(invoice: Invoice) -> list[Difference]:
    buyer = Buyer(
        organisation=invoice.customer,
        price_list=invoice.price_list,
        pools_storage=invoice.pools_storage,
    )
    month = Period.of_day(invoice.period)
    known_at = corrections.last_known_at(invoice)
    lines = billing.charges(buyer, period=month, known_at=known_at)
    computed = {line.key: line for line in lines}
    stored = {
        (line.mailbox_id, line.price_id, line.kind): line
        for line in invoice.lines.exclude(kind=InvoiceLine.Kind.CORRECTION)
    }
    before, now = corrections.charged(buyer, month), corrections.nets(computed.values())
    found = [
        Difference(
            f"Mailbox {mailbox} at price {price}",
            str(before.get((mailbox, price), 0)),
            str(now.get((mailbox, price), 0)),
        )
        for mailbox, price in sorted(before.keys() | now.keys(), key=str)
        if before.get((mailbox, price), 0) != now.get((mailbox, price), 0)
    ]
    for key in computed.keys() & stored.keys():
        says, is_ = _facts(stored[key]), _facts(computed[key])
        if says != is_ and not _is_corrected(invoice, key[0]):
            found.append(Difference(f"Line {stored[key].position}", str(says), str(is_)))
    return found


def _facts(line: InvoiceLine | Charge) -> tuple[int, int, int, int]:
    return line.seconds, line.used_byte_seconds, line.included_byte_seconds, line.net_minor


def _is_corrected(invoice: Invoice, mailbox_id: int | None) -> bool:
    later = InvoiceLine.objects.filter(
        invoice__customer=invoice.customer,
        kind=InvoiceLine.Kind.CORRECTION,
        period=invoice.period,
    )
    return mailbox_id in later.values_list("mailbox_id", flat=True)
