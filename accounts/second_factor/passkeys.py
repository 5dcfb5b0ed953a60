"""Passkeys: made and shown by the browser for one host name, the panel's own.

Only this module knows how they are looked at. A passkey that is shown instead of a password must
have looked at its person (a finger, a face or a PIN), so it is both factors at once.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django_otp_webauthn.exceptions import OTPWebAuthnApiError
from django_otp_webauthn.helpers import WebAuthnHelper
from django_otp_webauthn.models import WebAuthnCredential
from webauthn.helpers.exceptions import WebAuthnException

from accounts.access import Actor
from accounts.models import User
from accounts.second_factor import devices

# Session keys: the challenge of the ceremony that goes on. Each is taken out before it is used.
_ADDING = "passkey_adding"
_SHOWING = "passkey_showing"
# Browsers wait for five minutes (`OTP_WEBAUTHN_TIMEOUT_SECONDS`).
_LONGEST_SECONDS = 600
_FIRST_NAME = "Passkey"
# What the library lets through of an answer that is no answer.
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


class NotShown(Exception):
    """The browser showed no passkey that is good here; the text says why."""


class PanelPasskeys(WebAuthnHelper):  # type: ignore[misc]  # the library ships without types
    """The library's ceremonies for the panel's own host name."""

    def get_relying_party_domain(self) -> str:
        return host()

    def get_relying_party_name(self) -> str:
        return str(settings.HOUSE_NAME)

    def get_allowed_origins(self) -> list[str]:
        return [origin()]

    def get_credential_display_name(self, user: User) -> str:
        return user.get_short_name()


def origin() -> str:
    """Where the pages lie on which passkeys are made and shown."""
    parts = urlsplit(settings.PANEL_URL)
    return f"{parts.scheme}://{parts.netloc}"


def host() -> str:
    """The host name that passkeys are for."""
    return urlsplit(settings.PANEL_URL).hostname or ""


def are_possible(request: HttpRequest) -> bool:
    """Whether browsers make and show passkeys here: at the panel's own name, and over TLS.

    An address is no name to them. A laptop's own `localhost` counts as safe.
    """
    if request.get_host() != urlsplit(settings.PANEL_URL).netloc:
        return False
    if not (request.is_secure() or host() == "localhost"):
        return False
    try:
        ip_address(host())
    except ValueError:
        return True
    return False


def of(user: User) -> int:
    """How many the person has."""
    return int(WebAuthnCredential.objects.filter(user=user, confirmed=True).count())


def offered(request: HttpRequest, user: User) -> dict[str, Any] | None:
    """What a page says of the person's passkeys; None for whoever has none."""
    return {"are_possible": are_possible(request), "host": host()} if of(user) else None


def begin_adding(request: HttpRequest, *, user: User, at: datetime) -> dict[str, Any]:
    """What the browser needs to make one."""
    options, state = PanelPasskeys(request).register_begin(user=user)
    request.session[_ADDING] = {**state, "user": user.pk, "at": int(at.timestamp())}
    return cast("dict[str, Any]", options)


def finish_adding(
    request: HttpRequest, *, actor: Actor, user: User, answer: dict[str, Any], at: datetime
) -> WebAuthnCredential:
    """The passkey that the browser made; raises `NotShown`."""
    state = _taken(request, _ADDING, at=at)
    if state.get("user") != user.pk:
        message = "This passkey was made for somebody else."
        raise NotShown(message)
    try:
        with transaction.atomic():
            device = PanelPasskeys(request).register_complete(user=user, state=state, data=answer)
            device.name = _FIRST_NAME
            device.save(update_fields=["name"])
            devices.added(actor=actor, user=user, name=device.name, kind="passkey", at=at)
    except (WebAuthnException, OTPWebAuthnApiError, IntegrityError, *_MALFORMED) as reason:
        message = "The browser's answer does not prove a new passkey. Try again."
        raise NotShown(message) from reason
    return device


def begin_showing(request: HttpRequest, *, user: User | None, at: datetime) -> dict[str, Any]:
    """What the browser needs to show one of this person, or anybody's if it comes first."""
    options, state = PanelPasskeys(request).authenticate_begin(
        user=user, require_user_verification=user is None
    )
    whose = None if user is None else user.pk
    request.session[_SHOWING] = {**state, "user": whose, "at": int(at.timestamp())}
    return cast("dict[str, Any]", options)


def finish_showing(
    request: HttpRequest, *, user: User | None, answer: dict[str, Any], at: datetime
) -> WebAuthnCredential:
    """The passkey that the browser showed, which is this person's; raises `NotShown`."""
    state = _taken(request, _SHOWING, at=at)
    whose = None if user is None else user.pk
    if state.get("user", 0) != whose:
        message = "Somebody else has signed in meanwhile. Try again."
        raise NotShown(message)
    try:
        with transaction.atomic():
            device = PanelPasskeys(request).authenticate_complete(
                user=user, state=state, data=answer
            )
    except (WebAuthnException, OTPWebAuthnApiError, *_MALFORMED) as reason:
        message = "This passkey is not one that opens this account."
        raise NotShown(message) from reason
    is_theirs = device.confirmed and (user is None or device.user_id == user.pk)
    if not is_theirs or not device.user.is_active:
        message = "This passkey is not one that opens this account."
        raise NotShown(message)
    return device


def _taken(request: HttpRequest, key: str, *, at: datetime) -> dict[str, Any]:
    """The ceremony that goes on, which ends with this look at it."""
    state: dict[str, Any] | None = request.session.pop(key, None)
    # Written at once, so that a failure below does not leave the challenge for a second answer.
    request.session.save()
    if state is None or not 0 <= int(at.timestamp()) - state["at"] <= _LONGEST_SECONDS:
        message = "That took too long, or was answered before. Try again."
        raise NotShown(message)
    return state
