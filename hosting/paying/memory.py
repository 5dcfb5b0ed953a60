"""A payment provider in memory, for tests and for looking around without an account."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from hosting.paying.base import (
    BadSignature,
    Checkout,
    CheckoutAsk,
    Fact,
    FactKind,
    ProviderDown,
    ProviderRefused,
    RefundAsk,
    Unreadable,
)

TOLERANCE = 300
_SECRET = b"only in memory"


@dataclass
class MemoryProvider:
    """Keeps pages, payments and refunds, and signs what it tells."""

    origin: str = "https://checkout.stripe.com"
    is_down: bool = False
    pages: dict[str, tuple[CheckoutAsk, Checkout]] = field(default_factory=dict)
    refunds: dict[str, tuple[RefundAsk, str]] = field(default_factory=dict)
    # What was paid and not paid back, by the payment's id.
    paid: dict[str, int] = field(default_factory=dict)

    def checkout(self, ask: CheckoutAsk) -> Checkout:
        """The page of this key."""
        self._must_be_up()
        if ask.key not in self.pages:
            if ask.amount_minor <= 0:
                message = "The amount is too small."
                raise ProviderRefused(message)
            number = len(self.pages) + 1
            page = Checkout(id=f"page_{number}", url=f"{self.origin}/c/pay/page_{number}")
            self.pages[ask.key] = (ask, page)
        first, page = self.pages[ask.key]
        if first != ask:
            message = "This key was used for another wish."
            raise ProviderRefused(message)
        return page

    def refund(self, ask: RefundAsk) -> str:
        """The refund of this key."""
        self._must_be_up()
        if ask.key not in self.refunds:
            if not 0 < ask.amount_minor <= self.paid.get(ask.payment_id, 0):
                message = "More than was paid cannot be paid back."
                raise ProviderRefused(message)
            self.paid[ask.payment_id] -= ask.amount_minor
            self.refunds[ask.key] = (ask, f"re_{len(self.refunds) + 1}")
        first, refund_id = self.refunds[ask.key]
        if first != ask:
            message = "This key was used for another wish."
            raise ProviderRefused(message)
        return refund_id

    def read(self, *, body: bytes, signature: str) -> Fact:
        """A message that this provider has signed."""
        moment, _, digest = signature.partition(".")
        if not moment.isascii() or not moment.isdigit():
            message = "There is no signature."
            raise BadSignature(message)
        if not hmac.compare_digest(self._digest(body, moment), digest):
            message = "The signature is wrong."
            raise BadSignature(message)
        if int(moment) < _now() - TOLERANCE:
            message = "The message is too old."
            raise BadSignature(message)
        try:
            values = json.loads(body)
            return Fact(**{**values, "kind": FactKind(values["kind"])})
        except (ValueError, TypeError, KeyError) as error:
            message = "This message is no event."
            raise Unreadable(message) from error

    def sign(self, body: bytes, *, at: int | None = None) -> str:
        """What proves that a message comes from here."""
        moment = str(_now() if at is None else at)
        return f"{moment}.{self._digest(body, moment)}"

    def tell(self, **values: Any) -> tuple[bytes, str]:
        """A message and its signature."""
        body = json.dumps(values).encode()
        return body, self.sign(body)

    def _digest(self, body: bytes, moment: str) -> str:
        return hmac.new(_SECRET, moment.encode() + b"." + body, hashlib.sha256).hexdigest()

    def _must_be_up(self) -> None:
        if self.is_down:
            message = "The payment provider cannot be reached."
            raise ProviderDown(message)


def _now() -> int:
    return int(timezone.now().timestamp())
