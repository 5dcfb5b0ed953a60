"""Mistakes of an installation that are found before it starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004

from hosting import well_known

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


@register(Tags.security, deploy=True)
def public_webhooks(**_options: Any) -> list[CheckMessage]:
    """Customers of a public panel cannot knock at doors inside its network."""
    if settings.PANEL_IS_PUBLIC and settings.ALLOW_PRIVATE_WEBHOOKS:
        hint = "Leave it out: customers could have the worker call services of your own network."
        return [Warning("ALLOW_PRIVATE_WEBHOOKS is on.", hint=hint, id="hosting.W002")]
    return []


@register(Tags.security, deploy=True)
def chosen_contact(**_options: Any) -> list[CheckMessage]:
    """Whoever reports a hole in a public panel writes to somebody who was chosen for it."""
    if settings.PANEL_IS_PUBLIC and not settings.SECURITY_CONTACTS:
        hint = f"Reports of holes go to {settings.DEFAULT_FROM_EMAIL}. Does somebody read that?"
        return [Info("SECURITY_CONTACT is not set.", hint=hint, id="hosting.I003")]
    return []


@register(Tags.security)
def security_contact(**_options: Any) -> list[CheckMessage]:
    """Whoever has found a hole can use what stands in security.txt."""
    found: list[CheckMessage] = []
    contacts = well_known.contacts(settings.SECURITY_CONTACTS, sender=settings.DEFAULT_FROM_EMAIL)
    for text in contacts:
        try:
            well_known.contact_uri(text)
        except ValueError:
            hint = "Write an e-mail address, or a page as https://…, with commas between several."
            name = "SECURITY_CONTACT" if settings.SECURITY_CONTACTS else "DEFAULT_FROM_EMAIL"
            message = f"{name} names {text!r}, which is neither."
            found.append(Error(message, hint=hint, id="hosting.E004"))
    policy = settings.SECURITY_POLICY_URL
    if policy and not well_known.is_page(policy):
        hint = "Write the address of a page as https://…, or leave it out."
        found.append(Error("SECURITY_POLICY_URL is no page.", hint=hint, id="hosting.E005"))
    return found
