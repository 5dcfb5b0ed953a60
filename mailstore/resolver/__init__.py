"""What the domain name system says; one module speaks to it, and a twin stands for it."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from mailstore.resolver.base import Exchange, NoAnswer, Resolver

__all__ = ["Exchange", "NoAnswer", "Resolver", "resolver"]


def resolver() -> Resolver:
    """Who answers questions about names here."""
    return _made(settings.RESOLVER)


@lru_cache
def _made(path: str) -> Resolver:
    return cast("Resolver", import_string(path)())
