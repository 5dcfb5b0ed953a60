"""The second factor of staff: a time-based code, enrolled at the first sign-in."""

from __future__ import annotations

from base64 import b32encode
from binascii import unhexlify

import segno
from django.db import transaction
from django_otp import verify_token
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User


def confirmed_device(user: User) -> TOTPDevice | None:
    """The device the user proved to have, if any."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).order_by("pk").first()


@transaction.atomic
def device_to_enrol(user: User) -> TOTPDevice:
    """The device that waits to be confirmed: the same one until it is."""
    User.objects.select_for_update().get(pk=user.pk)
    waiting = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return waiting or TOTPDevice.objects.create(user=user, name="authenticator", confirmed=False)


def secret_text(device: TOTPDevice) -> str:
    """The secret as authenticator apps take it by hand (RFC 4648 base 32)."""
    return b32encode(unhexlify(device.key)).decode("ascii").rstrip("=")


def qr_data_uri(device: TOTPDevice) -> str:
    """The same secret as a QR code for an `img`."""
    return str(segno.make(device.config_url, micro=False).svg_data_uri(scale=5, border=2))


def confirm(device: TOTPDevice, *, code: str) -> bool:
    """Whether the code proves that the person holds the device; if so, it is enrolled."""
    if not device.verify_token(int(code)):
        return False
    return bool(TOTPDevice.objects.filter(pk=device.pk, confirmed=False).update(confirmed=True))


def proves(user: User, *, code: str) -> bool:
    """Whether the code is one of the user's enrolled device, now and for the first time."""
    device = confirmed_device(user)
    return device is not None and verify_token(user, device.persistent_id, code) is not None
