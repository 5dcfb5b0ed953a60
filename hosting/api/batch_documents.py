"""What a batch answers: what became of each item, and what a dry run says of costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from hosting.api import cost_previews, devices
from hosting.api.contract import Answer
from hosting.api.cost_previews import CostDocument, TotalDocument
from hosting.api.mailbox_documents import MailboxDocument
from hosting.quoting import Cost, Total


class ItemDocument(TypedDict):
    """What became of one item: what its own call would have answered.

    In a dry run, `document` and `app_password` are null: nothing is there to be shown. `cost` is
    there in a dry run alone, for a new mailbox that somebody pays for.
    """

    key: str
    status: int
    document: MailboxDocument | None
    app_password: devices.NewAppPasswordDocument | None
    cost: CostDocument | None


class BatchDocument(TypedDict):
    """What became of all items, in their order. `is_dry_run` says that nothing was done.

    `totals` has one entry for each currency, and adds up the costs of all items. Without the scope
    `invoices:read`, and where it was no dry run, it is null.
    """

    object: Literal["batch"]
    is_dry_run: bool
    items: list[ItemDocument]
    totals: list[TotalDocument] | None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What new mailboxes cost, by their key in the batch, and together by currency."""

    of_items: Mapping[str, Cost | None]
    totals: Sequence[Total]


def changed(key: str, document: MailboxDocument) -> ItemDocument:
    """An item that changed a mailbox, which costs nothing."""
    return {"key": key, "status": 200, "document": document, "app_password": None, "cost": None}


def done(items: Sequence[ItemDocument]) -> Answer:
    """The answer of a batch that was carried out."""
    document: BatchDocument = {
        "object": "batch",
        "is_dry_run": False,
        "items": list(items),
        "totals": None,
    }
    return Answer(document=document)


def tried(items: Sequence[ItemDocument], costs: Costs | None) -> Answer:
    """The answer of a dry run; without costs for whoever may not see them."""
    of_items = costs.of_items if costs else {}
    document: BatchDocument = {
        "object": "batch",
        "is_dry_run": True,
        "items": [
            {
                "key": item["key"],
                "status": item["status"],
                "document": None,
                "app_password": None,
                "cost": cost_previews.of_cost(of_items.get(item["key"])),
            }
            for item in items
        ],
        "totals": cost_previews.of_totals(costs.totals) if costs else None,
    }
    return Answer(document=document)
