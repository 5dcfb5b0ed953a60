"""Stripe. Nothing else here imports its package or knows its words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import stripe
from django.conf import settings
from stripe.checkout import Session
from stripe.params.checkout import SessionCreateParams

from hosting.paying.base import (
    BadSignature,
    Checkout,
    CheckoutAsk,
    Fact,
    FactKind,
    ProviderDown,
    ProviderError,
    ProviderRefused,
    RefundAsk,
    Unreadable,
)

_T = TypeVar("_T")

# What a message may be old, in seconds; what is older may have been recorded and sent again.
TOLERANCE = 300
_PATIENCE_SECONDS = 10
_RETRIES = 2
# Stripe wants the last of three decimals to be zero.
_TENTHS = frozenset({"BHD"})
_DOWN = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    stripe.AuthenticationError,
    stripe.PermissionError,
)
# A wish with the same key is being worked on, or theirs is the fault.
_IN_FLIGHT, _SERVER_FAULT = 409, 500


class StripeProvider:
    """Checkout, refunds and signed messages by Stripe's API."""

    def __init__(
        self,
        *,
        secret_key: str,
        webhook_secret: str,
        origin: str,
        api_address: str = stripe.DEFAULT_API_BASE,
    ) -> None:
        self.origin = origin
        self._webhook_secret = webhook_secret
        self._secret_key = secret_key
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_address},
            http_client=stripe.RequestsClient(timeout=_PATIENCE_SECONDS),
            max_network_retries=_RETRIES,
        )

    def checkout(self, ask: CheckoutAsk) -> Checkout:
        """A Checkout page for the whole amount of one bill."""
        _must_be_payable(ask)
        sessions = self._client.v1.checkout.sessions
        session: Session = _asked(
            lambda: sessions.create(_wish(ask), options={"idempotency_key": ask.key})
        )
        if session.url is None:
            message = "Stripe made no page for this bill."
            raise ProviderRefused(message)
        return Checkout(id=session.id, url=session.url)

    def refund(self, ask: RefundAsk) -> str:
        """Pay back a part of one payment."""
        refund: stripe.Refund = _asked(
            lambda: self._client.v1.refunds.create(
                {
                    "payment_intent": ask.payment_id,
                    "amount": ask.amount_minor,
                    "metadata": {"refund": ask.key},
                },
                options={"idempotency_key": ask.key},
            )
        )
        return refund.id

    def read(self, *, body: bytes, signature: str) -> Fact:
        """A signed message, not older than `TOLERANCE`."""
        try:
            stripe.Webhook.construct_event(
                body,
                signature,
                self._webhook_secret,
                tolerance=TOLERANCE,
                api_key=self._secret_key,
            )
        except stripe.SignatureVerificationError as error:
            raise BadSignature(str(error)) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            message = "This message is no event."
            raise Unreadable(message) from error
        return _fact(json.loads(body))


def _wish(ask: CheckoutAsk) -> SessionCreateParams:
    metadata = {"invoice": ask.invoice_uuid}
    return {
        "mode": "payment",
        "client_reference_id": ask.invoice_uuid,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": ask.invoice_number},
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": ask.currency.lower(),
                    "unit_amount": ask.amount_minor,
                    "product_data": {"name": ask.invoice_number},
                },
            }
        ],
        "success_url": ask.success_url,
        "cancel_url": ask.cancel_url,
    }


def _must_be_payable(ask: CheckoutAsk) -> None:
    if ask.currency in _TENTHS and ask.amount_minor % 10:
        message = f"Cards pay {ask.currency} in steps of 0.010 only. Please pay by bank transfer."
        raise ProviderRefused(message)


def _asked(call: Callable[[], _T]) -> _T:
    """The answer of Stripe, or our own error."""
    try:
        return call()
    except stripe.StripeError as error:
        raise _translated(error) from error


def _translated(error: stripe.StripeError) -> ProviderError:
    """Whether to ask again. A wrong key is ours to mend, and heals while the wish waits."""
    status = error.http_status or _SERVER_FAULT
    if isinstance(error, _DOWN) or status == _IN_FLIGHT or status >= _SERVER_FAULT:
        return ProviderDown("The payment provider cannot be reached.")
    return ProviderRefused(error.user_message or "The payment provider refused.")


# What Stripe tells ----------------------------------------------------------------------

_Object = Mapping[str, Any]


def _paid(session: _Object) -> dict[str, Any]:
    invoice = (session.get("metadata") or {}).get("invoice")
    # Without a bill it is another business of the same account. Not paid means that a bank
    # debit is under way; another message follows when it has come.
    if not invoice or session["payment_status"] != "paid":
        return _other(session)
    return {
        "kind": FactKind.PAID,
        "object_id": str(session["payment_intent"]),
        "payment_id": str(session["payment_intent"]),
        "invoice_uuid": str(invoice),
        "amount_minor": _whole(session["amount_total"]),
        "currency": str(session["currency"]).upper(),
    }


def _refund(refund: _Object) -> dict[str, Any]:
    kinds = {"failed": FactKind.REFUND_FAILED, "canceled": FactKind.REFUND_FAILED}
    return {
        "kind": kinds.get(str(refund["status"]), FactKind.REFUNDED),
        "object_id": str(refund["id"]),
        "payment_id": str(refund["payment_intent"]),
        "refund_key": str((refund.get("metadata") or {}).get("refund", "")),
        "amount_minor": _whole(refund["amount"]),
        "currency": str(refund["currency"]).upper(),
    }


def _dispute(kind: FactKind) -> Callable[[_Object], dict[str, Any]]:
    def read(dispute: _Object) -> dict[str, Any]:
        return {
            "kind": kind,
            "object_id": str(dispute["id"]),
            "payment_id": str(dispute["payment_intent"]),
            "amount_minor": _whole(dispute["amount"]),
            "currency": str(dispute["currency"]).upper(),
        }

    return read


def _other(_object: _Object) -> dict[str, Any]:
    return {"kind": FactKind.OTHER}


_READERS: dict[str, Callable[[_Object], dict[str, Any]]] = {
    "checkout.session.completed": _paid,
    "checkout.session.async_payment_succeeded": _paid,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.funds_withdrawn": _dispute(FactKind.TAKEN),
    "charge.dispute.funds_reinstated": _dispute(FactKind.GIVEN_BACK),
}
# What the endpoint at Stripe is to send.
EVENTS = tuple(_READERS)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        message = "An amount is no whole number."
        raise TypeError(message)
    return value


def _fact(event: _Object) -> Fact:
    try:
        name = str(event["type"])
        read = _READERS.get(name, _other)
        about = read(event["data"]["object"])
        return Fact(event_id=str(event["id"]), name=name, at=_whole(event["created"]), **about)
    except (KeyError, TypeError, AttributeError) as error:
        message = "This event lacks what it should say."
        raise Unreadable(message) from error


def from_settings() -> StripeProvider:
    """Stripe as the environment describes it."""
    return StripeProvider(
        secret_key=settings.STRIPE_SECRET_KEY,
        webhook_secret=settings.STRIPE_WEBHOOK_SECRET,
        origin=settings.PAYMENT_ORIGIN,
    )
