"""The next bill: what it would say now, and at the end of the month."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, TypedDict, cast
from uuid import UUID

from accounts.access import Capability
from hosting import pricing, public_ids, upcoming
from hosting.api import organisations
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.moments import Moment
from hosting.api.problems import Problem, wrong_parameter
from hosting.public_ids import NoSuchId
from hosting.upcoming import Sums, UpcomingLine


class SideDocument(TypedDict):
    """One line at one moment. Quantities and integrals are decimal strings."""

    quantity: str
    seconds_count: int
    used_byte_seconds: str
    included_byte_seconds: str
    amount_minor: int


class UpcomingLineDocument(TypedDict):
    """One line; without a mailbox it is about the space that all share."""

    kind: str
    mailbox_id: str | None
    address: str
    plan: str
    unit: str
    unit_bytes: int | None
    unit_price: str
    currency: str
    month: str
    now: SideDocument
    forecast: SideDocument


class SumsDocument(TypedDict):
    """What it adds up to; without tax where too little is known for it."""

    net_minor: int
    vat_minor: int | None
    total_minor: int | None


class UpcomingInvoiceDocument(TypedDict):
    """The bill of the present month, as it stands now and as it is foreseen."""

    object: Literal["upcoming_invoice"]
    customer_id: str
    currency: str
    month: str
    computed_at: Moment
    vat_percent: str | None
    now: SumsDocument
    forecast: SumsDocument
    lines: list[UpcomingLineDocument]


class UpcomingInvoice(Endpoint):
    """The next bill of one customer."""

    @operation(
        name="get_upcoming_invoice",
        scope="invoices:read",
        gives=UpcomingInvoiceDocument,
        parameters={"customer_id": "Whose; by default that of the key's own organisation."},
        problems=("wrong-state",),
    )
    def get(self, call: Call) -> Answer:
        """Show the next bill before it is written."""
        customer = organisations.load(call, _customer(call))
        call.actor.must(Capability.SEE_BILLS, lineage=customer.lineage)
        try:
            found = upcoming.upcoming(customer, at=call.at)
        except pricing.NoPrice as refusal:
            raise Problem(code="wrong-state", detail=str(refusal)) from refusal
        document: UpcomingInvoiceDocument = {
            "object": "upcoming_invoice",
            "customer_id": public_ids.encode("org", customer.uuid),
            "currency": found.currency,
            "month": str(found.period),
            "computed_at": Moment(found.computed_at),
            "vat_percent": found.vat_percent,
            "now": _sums(found.now),
            "forecast": _sums(found.forecast),
            "lines": [_line(each) for each in found.lines],
        }
        return Answer(document=document)


def _customer(call: Call) -> UUID:
    text = call.query.get("customer_id")
    if text is None:
        return call.api_key.organisation.uuid
    try:
        return public_ids.decode("org", text)
    except NoSuchId as error:
        raise wrong_parameter("customer_id", str(error)) from error


def _sums(sums: Sums) -> SumsDocument:
    return cast("SumsDocument", asdict(sums))


def _line(line: UpcomingLine) -> UpcomingLineDocument:
    return {
        "kind": line.kind,
        "mailbox_id": None if line.mailbox is None else public_ids.encode("mbx", line.mailbox),
        "address": line.address,
        "plan": line.plan,
        "unit": line.unit,
        "unit_bytes": line.unit_bytes,
        "unit_price": line.unit_price,
        "currency": line.currency,
        "month": str(line.period),
        "now": _side(line.now),
        "forecast": _side(line.forecast),
    }


def _side(side: upcoming.Side) -> SideDocument:
    return {
        "quantity": side.quantity,
        "seconds_count": side.seconds,
        "used_byte_seconds": side.used_byte_seconds,
        "included_byte_seconds": side.included_byte_seconds,
        "amount_minor": side.amount_minor,
    }
