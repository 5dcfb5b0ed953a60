"""What a payment provider is, in plain values; the real one and its twin keep to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol


class ProviderError(Exception):
    """The provider did not do what it was asked; the text may be shown."""


class ProviderDown(ProviderError):
    """It could not be reached, or had no time: ask again with the same key."""


class ProviderRefused(ProviderError):
    """It understood, and will not do this however often it is asked."""


class BadSignature(ProviderError):
    """What claims to come from the provider does not, or is too old."""


class Unreadable(ProviderError):
    """It comes from the provider, but makes no sense here."""


@dataclass(frozen=True, kw_only=True)
class CheckoutAsk:
    """Wish for a page on which one bill can be paid.

    The same key with the same wish gives the same page, and another wish is refused.
    """

    key: str
    # Public id and number of the bill.
    invoice_uuid: str
    invoice_number: str
    amount_minor: int
    currency: str
    success_url: str
    cancel_url: str


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A page of the provider on which somebody pays."""

    id: str
    url: str


@dataclass(frozen=True, kw_only=True)
class RefundAsk:
    """Wish to pay back a part of what came in; the same key pays back once."""

    key: str
    # What the provider calls the payment, as in `Fact.payment_id`.
    payment_id: str
    amount_minor: int


class FactKind(StrEnum):
    """What a provider tells of by itself."""

    PAID = "paid"
    # Money that we asked to be paid back did not reach its owner and is here again.
    REFUND_FAILED = "refund_failed"
    # Somebody paid back at the provider's own pages, or we did.
    REFUNDED = "refunded"
    # A card holder's bank took the money, and perhaps gave it back later.
    TAKEN = "taken"
    GIVEN_BACK = "given_back"
    # Nothing that moves money.
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that a provider says has happened.

    `event_id` is the same however often it is told; `object_id` names what it is about, so
    that two events about one refund count once.
    """

    event_id: str
    kind: FactKind
    name: str
    at: int
    object_id: str = ""
    payment_id: str = ""
    # The public id of the bill, as it was given with the wish.
    invoice_uuid: str = ""
    # The key of the refund that we had asked for; empty if somebody else did.
    refund_key: str = ""
    amount_minor: int = 0
    currency: str = ""

    def as_data(self) -> dict[str, Any]:
        """How it is stored: nothing about the person who paid is in it."""
        return asdict(self)


class Provider(Protocol):
    """Whom we ask for money in the customer's name."""

    # Pages on which people pay lie there, and a form may lead there: `https://host`.
    origin: str

    def checkout(self, ask: CheckoutAsk) -> Checkout:
        """Make a page; raises `ProviderDown` or `ProviderRefused`."""
        ...

    def refund(self, ask: RefundAsk) -> str:
        """Pay back, and give the refund's id; raises `ProviderDown` or `ProviderRefused`."""
        ...

    def read(self, *, body: bytes, signature: str) -> Fact:
        """What the provider tells us; raises `BadSignature` or `Unreadable`."""
        ...
