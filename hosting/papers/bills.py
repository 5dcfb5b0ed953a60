"""A bill or a credit note, whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from hosting.models import Invoice, InvoiceTax, OpenItem
from hosting.papers import gaps, lines
from hosting.papers.values import MOST_LINES, Paper, Party, Section, VatRow, amount, quantity
from hosting.periods import Period


def paper(invoice: Invoice) -> Paper:
    """All that a bill says; load `corrects` and `logo` with it."""
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    charges = [lines.charge_of(row) for row in lines.rows_of(invoice).iterator(chunk_size=2000)]
    if len(charges) > MOST_LINES:
        shown = lines.summary(charges, is_credit=is_credit)
    else:
        late = lines.late(invoice)
        shown = [lines.in_words(each, late=late, is_credit=is_credit) for each in charges]
    return assemble(
        invoice,
        title=_("Credit note") if is_credit else _("Invoice"),
        sections=[Section(lines=shown)],
        line_count=len(charges),
    )


def assemble(
    invoice: Invoice, *, title: str, sections: Sequence[Section], line_count: int
) -> Paper:
    """What all papers about a bill share, around these sections."""
    is_credit, currency = invoice.corrects is not None, invoice.currency
    taxes = _taxes(invoice)
    return Paper(
        title=title,
        number=invoice.number,
        issued_on=invoice.issued_at.date(),
        due_on=_due_on(invoice),
        period_text=_period_text(invoice),
        currency=currency,
        seller=Party.of(invoice.seller_text),
        buyer=Party.of(invoice.customer_text),
        logo=invoice.logo,
        corrects=_corrects_text(invoice.corrects) if invoice.corrects else "",
        replaces=_replaces_text(invoice.replaces) if invoice.replaces else "",
        reason=invoice.reason,
        sections=sections,
        line_count=line_count,
        net_text=amount(invoice.net_minor, currency=currency),
        vat=[_vat_row(tax, currency=currency) for tax in taxes],
        vat_notes=list(dict.fromkeys(tax.note for tax in taxes if tax.note)),
        total_label=_("Total credited") if is_credit else _("Total to pay"),
        total_text=f"{amount(invoice.total_minor, currency=currency)} {currency}",
        notes=[*_notes(invoice), *gaps.notes(invoice)],
    )


def _due_on(invoice: Invoice) -> date | None:
    item = OpenItem.objects.filter(invoice=invoice).first()
    return item.due_on if item else None


def _period_text(invoice: Invoice) -> str:
    """Whole days of UTC, the last one included."""
    last = Period.of_day(invoice.period).next.first_day - timedelta(days=1)
    return _("1 to %(last)s, UTC") % {"last": date_format(last, "j F Y")}


def _corrects_text(original: Invoice) -> str:
    return _("Takes back invoice %(number)s of %(day)s, whole.") % {
        "number": original.number,
        "day": date_format(original.issued_at, "j F Y"),
    }


def _replaces_text(before: Invoice) -> str:
    return _("Replaces invoice %(number)s of %(day)s, which was taken back.") % {
        "number": before.number,
        "day": date_format(before.issued_at, "j F Y"),
    }


def _taxes(invoice: Invoice) -> list[InvoiceTax]:
    """Those that something falls under; a bill over nothing has the first one all the same."""
    taxes = list(invoice.taxes.order_by("number"))
    return [tax for tax in taxes if tax.net_minor] or taxes[:1]


def _vat_row(tax: InvoiceTax, *, currency: str) -> VatRow:
    label = _("VAT %(percent)s %% on %(net)s") % {
        "percent": quantity(tax.percent),
        "net": amount(tax.net_minor, currency=currency),
    }
    return VatRow(label=label, text=amount(tax.vat_minor, currency=currency))


def _notes(invoice: Invoice) -> list[str]:
    month = Period.of_day(invoice.period)
    seconds = {
        "seconds": f"{month.seconds:,}",
        "month": date_format(month.first_day, "F Y"),
    }
    return [
        _(
            "Storage is the size of all messages that a mailbox shows, Junk and Trash included. "
            "Each change counts from the second in which it happens, to the byte-second, and is "
            "not sampled. Removed mail that can still be brought back costs nothing."
        ),
        _(
            "1 GB = 10⁹ bytes. A GB-month is 1 GB kept for all %(seconds)s seconds of "
            "%(month)s. Each line is computed exactly and rounded once, halves up; VAT is "
            "computed once for each rate, on the sum of its lines."
        )
        % seconds,
    ]
