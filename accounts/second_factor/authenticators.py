"""Apps that make codes: enrolling one, and whether a code is right and was not used before."""

from __future__ import annotations

import hmac
import logging
import secrets
from base64 import b32encode
from datetime import datetime
from urllib.parse import quote, urlencode

import segno
from django.db import transaction
from django_otp.oath import hotp

from accounts import sealing
from accounts.models import Authenticator, User

logger = logging.getLogger(__name__)

# RFC 4226 recommends 160 bits, and RFC 6238 steps of 30 seconds.
_SECRET_BYTES = 20
STEP_SECONDS = 30
_DIGITS = 6
# A code may be a step older or younger than the phone's clock was known to be.
_TOLERANCE_STEPS = 1
# A phone whose clock is further off than ten minutes has to set it right.
_MOST_DRIFT_STEPS = 20
NAME_LENGTH = 64
_FIRST_NAME = "Authenticator app"


@transaction.atomic
def to_enrol(user: User) -> Authenticator:
    """The app that waits to be confirmed: the same one until it is."""
    User.objects.select_for_update().get(pk=user.pk)
    waiting = Authenticator.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return waiting or _new(user)


def _new(user: User, *, secret: bytes | None = None, confirmed: bool = False) -> Authenticator:
    sealed = sealing.seal(secret or secrets.token_bytes(_SECRET_BYTES))
    return Authenticator.objects.create(
        user=user, name=_FIRST_NAME, sealed_secret=sealed, confirmed=confirmed
    )


def give(user: User, *, secret: bytes) -> Authenticator:
    """An app that holds this secret already, for people who are made together with theirs."""
    return _new(user, secret=secret, confirmed=True)


def secret_text(device: Authenticator) -> str:
    """The secret as apps take it by hand (RFC 4648 base 32); raises `sealing.CannotOpen`."""
    return b32encode(sealing.open_sealed(device.sealed_secret)).decode("ascii").rstrip("=")


def qr_data_uri(device: Authenticator, *, house: str) -> str:
    """The same secret as a QR code for an `img`, under the name of the house.

    Raises `sealing.CannotOpen`.
    """
    # The colon parts the two halves of the label.
    issuer = house.replace(":", "")
    label = quote(f"{issuer}:{device.user.email}")
    query = urlencode({"secret": secret_text(device), "issuer": issuer}, quote_via=quote)
    link = f"otpauth://totp/{label}?{query}"
    return str(segno.make(link, micro=False).svg_data_uri(scale=5, border=2))


def code_at(secret: bytes, *, at: datetime) -> str:
    """What an app with this secret shows at that moment."""
    return _code(secret, int(at.timestamp()) // STEP_SECONDS)


def spend(device: Authenticator, *, code: str, at: datetime) -> bool:
    """Whether the code is one of this app, now and for the first time; then it is used up.

    Of two who show the same code at once, one gets through: the row is moved on by one update.
    """
    step = _matching_step(device, code=code, at=at)
    if step is None:
        return False
    drift = step - int(at.timestamp()) // STEP_SECONDS
    kept = max(-_MOST_DRIFT_STEPS, min(_MOST_DRIFT_STEPS, drift))
    unused = Authenticator.objects.filter(pk=device.pk, last_step__lt=step)
    return bool(unused.update(last_step=step, drift=kept, last_used_at=at))


def _matching_step(device: Authenticator, *, code: str, at: datetime) -> int | None:
    try:
        secret = sealing.open_sealed(device.sealed_secret)
    except sealing.CannotOpen as reason:
        logger.error("The secret of authenticator %s cannot be read: %s", device.pk, reason)  # noqa: TRY400  # nobody but the operator can help, and the trace says nothing more
        return None
    middle = int(at.timestamp()) // STEP_SECONDS + device.drift
    for step in range(middle - _TOLERANCE_STEPS, middle + _TOLERANCE_STEPS + 1):
        is_same = hmac.compare_digest(_code(secret, step), code)
        if is_same and step > device.last_step:
            return step
    return None


def _code(secret: bytes, step: int) -> str:
    return f"{hotp(secret, step, _DIGITS):0{_DIGITS}}"
