"""What orders or a closing would cost, before anything is done.

Amounts are for keys with the scope `invoices:read`, as bills are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Literal, TypedDict, cast

from hosting import forecasting, public_ids
from hosting.api.contract import Call
from hosting.api.moments import Moment
from hosting.changing import Month
from hosting.models import Plan
from hosting.quoting import Cost, Quote, Total
from mailstore.models import Mailbox


class MonthDocument(TypedDict):
    """What the mailbox brings to the bill of one month, without tax."""

    starts_at: Moment
    ends_at: Moment
    currency: str
    before_minor: int
    after_minor: int


class CostDocument(TypedDict):
    """What a new mailbox costs its organisation while it is empty."""

    this_month: MonthDocument
    full_month: MonthDocument


class TotalDocument(TypedDict):
    """What all new mailboxes of one currency cost together while they are empty, without tax."""

    currency: str
    this_month_minor: int
    full_month_minor: int


class SavingDocument(TypedDict):
    """What a month costs less, in the smallest unit of a currency."""

    currency: str
    amount_minor: int


class OrderPreviewDocument(TypedDict):
    """What a new mailbox would cost its organisation while it is empty. Nothing was ordered.

    Without the scope `invoices:read`, and where nobody pays for it, the months are null.
    """

    object: Literal["order_preview"]
    address: str
    plan: str
    this_month: MonthDocument | None
    full_month: MonthDocument | None


class ClosingPreviewDocument(TypedDict):
    """What a closing would save: the months until it takes effect. Nothing was asked for.

    Without the scope `invoices:read`, `months` is null.
    """

    object: Literal["closing_preview"]
    mailbox_id: str
    closes_at: Moment
    months: list[MonthDocument] | None


def are_for(call: Call) -> bool:
    """Whether the caller is told amounts."""
    return "invoices:read" in (call.actor.scopes or ())


def of_order(call: Call, quote: Quote, *, plan: Plan) -> OrderPreviewDocument:
    """The document of a quote."""
    cost = quote.cost if are_for(call) else None
    return {
        "object": "order_preview",
        "address": quote.address,
        "plan": plan.slug,
        "this_month": _month(cost.this_month) if cost else None,
        "full_month": _month(cost.full_month) if cost else None,
    }


def of_closing(
    call: Call, mailbox: Mailbox, months: Sequence[Month], *, closes_at: datetime
) -> ClosingPreviewDocument:
    """The document of what a closing would change."""
    return {
        "object": "closing_preview",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "closes_at": Moment(closes_at),
        "months": [_month(month) for month in months] if are_for(call) else None,
    }


def of_cost(cost: Cost | None) -> CostDocument | None:
    """One new mailbox of many."""
    if cost is None:
        return None
    return {"this_month": _month(cost.this_month), "full_month": _month(cost.full_month)}


def of_totals(totals: Iterable[Total]) -> list[TotalDocument]:
    """Many new mailboxes together."""
    return [cast("TotalDocument", asdict(total)) for total in totals]


def savings(call: Call, bytes_of: Mapping[int, int]) -> list[SavingDocument] | None:
    """What a month costs less without so much of each mailbox, by its key, for who may see it."""
    if not are_for(call):
        return None
    going = {mailbox: size for mailbox, size in bytes_of.items() if size}
    found = forecasting.monthly_savings(going, at=call.at)
    return [
        {"currency": currency, "amount_minor": amount} for currency, amount in sorted(found.items())
    ]


def of_month(call: Call, month: Month) -> MonthDocument | None:
    """One month before and after a change, for who may see it."""
    return _month(month) if are_for(call) else None


def _month(month: Month) -> MonthDocument:
    return {
        "starts_at": Moment(month.period.starts_at),
        "ends_at": Moment(month.period.ends_at),
        "currency": month.currency,
        "before_minor": month.before_minor,
        "after_minor": month.after_minor,
    }
