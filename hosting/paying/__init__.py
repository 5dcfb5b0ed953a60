"""Paying by card: a page of the provider for a bill, what the provider tells, and refunds."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from hosting.paying.base import (
    BadSignature,
    Checkout,
    CheckoutAsk,
    Fact,
    FactKind,
    Provider,
    ProviderDown,
    ProviderError,
    ProviderRefused,
    RefundAsk,
    Unreadable,
)

__all__ = [
    "BadSignature",
    "Checkout",
    "CheckoutAsk",
    "Fact",
    "FactKind",
    "Provider",
    "ProviderDown",
    "ProviderError",
    "ProviderRefused",
    "RefundAsk",
    "Unreadable",
    "provider",
]


def provider() -> Provider | None:
    """Who takes payments here, or None if nobody does."""
    return _made(settings.PAYMENT_PROVIDER) if settings.PAYMENT_PROVIDER else None


@lru_cache
def _made(path: str) -> Provider:
    return cast("Provider", import_string(path)())
