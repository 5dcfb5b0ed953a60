"""Mistakes of an installation that are found before it starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

_SECRET_KEYS, _TEST_KEYS = ("sk_", "rk_"), ("sk_test_", "rk_test_")
_WEBHOOK_SECRET = "whsec_"  # noqa: S105  # how each of them begins


@register(Tags.security)
def card_payments(**_options: Any) -> list[CheckMessage]:
    """Stripe is described whole or not at all, and with the right kind of key."""
    key, secret = settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET
    found: list[CheckMessage] = []
    if bool(key) != bool(secret):
        missing = "STRIPE_WEBHOOK_SECRET" if key else "STRIPE_SECRET_KEY"
        hint = f"Set {missing} as well, or leave both out; until then no card can be used."
        found.append(Error(f"{missing} is missing.", hint=hint, id="hosting.E001"))
    if key and not key.startswith(_SECRET_KEYS):
        hint = "Take the secret key (sk_…) or a restricted key (rk_…), not the publishable one."
        found.append(Error("STRIPE_SECRET_KEY is no secret key.", hint=hint, id="hosting.E002"))
    if secret and not secret.startswith(_WEBHOOK_SECRET):
        hint = "It begins with whsec_ and is shown with the webhook's address at Stripe."
        text = "STRIPE_WEBHOOK_SECRET is no webhook secret."
        found.append(Error(text, hint=hint, id="hosting.E003"))
    return found


@register(Tags.security, deploy=True)
def real_money(**_options: Any) -> list[CheckMessage]:
    """A public panel takes real money."""
    if settings.PANEL_IS_PUBLIC and settings.STRIPE_SECRET_KEY.startswith(_TEST_KEYS):
        hint = "Customers could pay with test cards. Take the key of the live mode."
        return [Warning("STRIPE_SECRET_KEY is a test key.", hint=hint, id="hosting.W001")]
    return []
