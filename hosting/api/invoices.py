"""Invoices and credit notes, as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from hosting import public_ids
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.filters import by_day, by_id
from hosting.api.listing import Filter, Listing
from hosting.api.moments import Moment, day_in
from hosting.api.problems import not_found
from hosting.models import Invoice, InvoiceLine
from hosting.papers import lines

InvoiceState = Literal["open", "paid", "voided", "credit_note"]


class TaxDocument(TypedDict):
    """What a bill taxes at one rate, and the sentence about it."""

    vat_percent: str
    note: str
    net_minor: int
    vat_minor: int


class InvoiceDocument(TypedDict):
    """A bill of one month, or a credit note that takes one back.

    A bill that a credit note took back is `voided`, whether or not it had been paid.
    `vat_percent` is the rate of the month itself. What is put right of earlier months is taxed as
    they were, so there may be several in `taxes`.
    """

    object: Literal["invoice", "credit_note"]
    id: str
    number: str
    customer_id: str
    is_issued_by_reseller: bool
    month: str
    state: InvoiceState
    currency: str
    net_minor: int
    vat_minor: int
    vat_percent: str
    taxes: list[TaxDocument]
    total_minor: int
    open_minor: int
    due_on: str | None
    issued_at: Moment
    corrects_id: str | None
    replaces_id: str | None
    reason: str


class LineDocument(TypedDict):
    """One line, with all that its amount was computed from. Integrals are decimal strings."""

    object: Literal["invoice_line"]
    id: str
    kind: Literal["mailbox", "storage", "correction"]
    mailbox_id: str | None
    address: str
    plan: str
    month: str
    seconds_count: int
    used_byte_seconds: str
    included_byte_seconds: str
    monthly_price: str
    storage_price_per_gigabyte_month: str
    currency: str
    net_minor: int


def documents(invoices: Sequence[Invoice]) -> list[InvoiceDocument]:
    """Bills that `rows` gave."""
    return [_document(invoice) for invoice in invoices]


def _document(invoice: Invoice) -> InvoiceDocument:
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    item = getattr(invoice, "open_item", None)
    corrected, replaced = invoice.corrects, invoice.replaces
    return {
        "object": "credit_note" if is_credit else "invoice",
        "id": public_ids.encode("crn" if is_credit else "inv", invoice.uuid),
        "number": invoice.number,
        "customer_id": public_ids.encode("org", invoice.customer.uuid),
        "is_issued_by_reseller": invoice.seller_id is not None,
        "month": f"{invoice.period:%Y-%m}",
        "state": _state(invoice),
        "currency": invoice.currency,
        "net_minor": invoice.net_minor,
        "vat_minor": invoice.vat_minor,
        "vat_percent": f"{invoice.vat_percent:f}",
        "taxes": [
            {
                "vat_percent": f"{tax.percent:f}",
                "note": tax.note,
                "net_minor": tax.net_minor,
                "vat_minor": tax.vat_minor,
            }
            for tax in sorted(invoice.taxes.all(), key=lambda tax: tax.number)
        ],
        "total_minor": invoice.total_minor,
        "open_minor": item.open_minor if item else 0,
        "due_on": item.due_on.isoformat() if item else None,
        "issued_at": Moment(invoice.issued_at),
        "corrects_id": None if corrected is None else public_ids.encode("inv", corrected.uuid),
        "replaces_id": None if replaced is None else public_ids.encode("inv", replaced.uuid),
        "reason": invoice.reason,
    }


def _state(invoice: Invoice) -> InvoiceState:
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return "credit_note"
    if invoice.is_voided:  # type: ignore[attr-defined]  # as `rows` says
        return "voided"
    item = getattr(invoice, "open_item", None)
    return "open" if item and item.open_minor else "paid"


def line_documents(found: Sequence[InvoiceLine]) -> list[LineDocument]:
    """Lines as `papers.lines.rows_of` loads them."""
    return [_line(each) for each in found]


def _line(line: InvoiceLine) -> LineDocument:
    return {
        "object": "invoice_line",
        "id": str(line.position),
        "kind": cast('Literal["mailbox", "storage", "correction"]', line.kind),
        "mailbox_id": public_ids.encode("mbx", line.mailbox.uuid) if line.mailbox else None,
        "address": line.mailbox.address if line.mailbox else "",
        "plan": line.price.plan.slug,
        "month": f"{line.period:%Y-%m}",
        "seconds_count": line.seconds,
        "used_byte_seconds": str(line.used_byte_seconds),
        "included_byte_seconds": str(line.included_byte_seconds),
        "monthly_price": f"{line.price.monthly_price:f}",
        "storage_price_per_gigabyte_month": f"{line.price.storage_price:f}",
        "currency": line.price.currency,
        "net_minor": line.net_minor,
    }


def rows(call: Call, kind: Invoice.Kind) -> QuerySet[Invoice]:
    """The bills of one kind that the key's organisations issued or got."""
    visible = Invoice.objects.visible_to(call.actor).filter(kind=kind)
    taken_back = Invoice.objects.filter(corrects=OuterRef("pk"))
    said = visible.annotate(is_voided=Exists(taken_back))
    joined = said.select_related("customer", "open_item", "corrects", "replaces")
    return joined.prefetch_related("taxes")


def _month(text: str) -> Q:
    day = day_in(f"{text}-01")
    if day is None:
        message = "A month such as 2026-11."
        raise ValueError(message)
    return Q(period=day)


_FILTERS = {
    "customer_id": by_id("org", "customer__uuid", "To one customer."),
    "month": Filter(
        meaning="Of one month, such as 2026-11.",
        condition=_month,
        form={"pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    ),
    "number": Filter(meaning="The one with this number.", condition=lambda text: Q(number=text)),
    "issued_from": by_day("issued_at__date__gte", "Issued on this day or later."),
}
_IN_STATE = {
    "open": Q(is_voided=False, open_item__open_minor__gt=0),
    "paid": Q(is_voided=False, open_item__open_minor=0),
    "voided": Q(is_voided=True),
}
_SORTS = {"created": ("pk",), "number": ("number", "pk")}
INVOICES: Listing[Invoice] = Listing(
    shown=documents,
    document=InvoiceDocument,
    sorts=_SORTS,
    filters={
        **_FILTERS,
        "state": Filter(
            meaning="With something left to pay, paid, or taken back by a credit note.",
            condition=lambda text: _IN_STATE[text],
            choices=("open", "paid", "voided"),
        ),
    },
)
CREDIT_NOTES: Listing[Invoice] = Listing(
    shown=documents, document=InvoiceDocument, sorts=_SORTS, filters=_FILTERS
)
LINES: Listing[InvoiceLine] = Listing(
    shown=line_documents, document=LineDocument, sorts={"position": ("position",)}
)


class Invoices(Endpoint):
    """All invoices."""

    @operation(name="list_invoices", scope="invoices:read", lists=INVOICES)
    def get(self, call: Call) -> Answer:
        """List invoices that were received or issued."""
        return INVOICES.page(call, rows(call, Invoice.Kind.INVOICE))


class OneInvoice(Endpoint):
    """One invoice."""

    @operation(name="get_invoice", scope="invoices:read", gives=InvoiceDocument)
    def get(self, call: Call, *, invoice: UUID) -> Answer:
        """Show an invoice."""
        return Answer(document=_document(_load(call, invoice, Invoice.Kind.INVOICE)))


class InvoiceLines(Endpoint):
    """The lines of an invoice."""

    @operation(name="list_invoice_lines", scope="invoices:read", lists=LINES)
    def get(self, call: Call, *, invoice: UUID) -> Answer:
        """List the lines of an invoice."""
        found = _load(call, invoice, Invoice.Kind.INVOICE)
        return LINES.page(call, lines.rows_of(found))


class CreditNotes(Endpoint):
    """All credit notes."""

    @operation(name="list_credit_notes", scope="invoices:read", lists=CREDIT_NOTES)
    def get(self, call: Call) -> Answer:
        """List credit notes."""
        return CREDIT_NOTES.page(call, rows(call, Invoice.Kind.CREDIT_NOTE))


class OneCreditNote(Endpoint):
    """One credit note."""

    @operation(name="get_credit_note", scope="invoices:read", gives=InvoiceDocument)
    def get(self, call: Call, *, note: UUID) -> Answer:
        """Show a credit note."""
        return Answer(document=_document(_load(call, note, Invoice.Kind.CREDIT_NOTE)))


def _load(call: Call, uuid: UUID, kind: Invoice.Kind) -> Invoice:
    found = rows(call, kind).filter(uuid=uuid).first()
    if found is None:
        raise not_found()
    return found
