"""What an order or a closing would cost, before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

from hosting import public_ids
from hosting.api.moments import Moment
from hosting.changing import Month
from hosting.models import Plan
from hosting.quoting import Quote
from mailstore.models import Mailbox


class MonthDocument(TypedDict):
    """What the mailbox brings to the bill of one month, without tax."""

    starts_at: Moment
    ends_at: Moment
    currency: str
    before_minor: int
    after_minor: int


class OrderPreviewDocument(TypedDict):
    """What a new mailbox would cost its organisation while it is empty. Nothing was ordered."""

    object: Literal["order_preview"]
    address: str
    plan: str
    this_month: MonthDocument
    full_month: MonthDocument


class ClosingPreviewDocument(TypedDict):
    """What a closing would save: the months until it takes effect. Nothing was asked for."""

    object: Literal["closing_preview"]
    mailbox_id: str
    closes_at: Moment
    months: list[MonthDocument]


def of_order(quote: Quote, *, plan: Plan) -> OrderPreviewDocument:
    """The document of a quote."""
    return {
        "object": "order_preview",
        "address": quote.address,
        "plan": plan.slug,
        "this_month": of_month(quote.this_month),
        "full_month": of_month(quote.full_month),
    }


def of_closing(
    mailbox: Mailbox, months: Sequence[Month], *, closes_at: datetime
) -> ClosingPreviewDocument:
    """The document of what a closing would change."""
    return {
        "object": "closing_preview",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "closes_at": Moment(closes_at),
        "months": [of_month(month) for month in months],
    }


def of_month(month: Month) -> MonthDocument:
    """One month before and after a change."""
    return {
        "starts_at": Moment(month.period.starts_at),
        "ends_at": Moment(month.period.ends_at),
        "currency": month.currency,
        "before_minor": month.before_minor,
        "after_minor": month.after_minor,
    }
