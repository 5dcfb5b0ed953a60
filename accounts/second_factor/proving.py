"""Whether somebody holds a second factor, by a code of an app or of the paper, or a passkey."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django_otp.models import Device

from accounts import keys, signing_in
from accounts.access import Actor
from accounts.models import RecoveryCodes, User
from accounts.second_factor import authenticators, devices, losing, recovery_codes, telling, tries


class Wrong(Exception):
    """No device of the person shows this code, or it was used before."""


def by_code(*, actor: Actor, user: User, code: str, address: str, at: datetime) -> Device:
    """The device that the code proves; raises `Wrong` and `signing_in.NotNow`."""
    tried = tries.begin(user=user, address=address, at=at)
    device = _spent(user, code=code, at=at)
    if device is None:
        message = _(
            "This code is not right. Those of an app change every 30 seconds and work once."
        )
        raise Wrong(message)
    tries.passed(tried, user=user, at=at)
    if isinstance(device, RecoveryCodes):
        _tell_of_paper(user, actor=actor, at=at)
    losing.found_again(user, actor=actor, at=at)
    return device


def enrols(*, actor: Actor, user: User, name: str, code: str, address: str, at: datetime) -> bool:
    """Whether the code is that of the app which waits to be enrolled; then it is.

    Raises `devices.BadName` and `signing_in.NotNow`.
    """
    clean = devices.clean_name(name)
    tried = tries.begin(user=user, address=address, at=at)
    device = authenticators.to_enrol(user)
    if not devices.confirm(actor=actor, user=user, device=device, name=clean, code=code, at=at):
        return False
    tries.passed(tried, user=user, at=at)
    return True


def ask_for_passkey(*, address: str, at: datetime) -> None:
    """Let a browser begin to show a passkey before anybody signed in; raises `NotNow`."""
    tries.begin_unknown(address=address, at=at)


def by_passkey(*, actor: Actor, user: User, address: str, at: datetime) -> None:
    """The browser has just shown a passkey of the person, which was looked at already."""
    holder = keys.holder_of(address)
    signing_in.know(user=user, holder=holder, at=at, has_proved=True)
    losing.found_again(user, actor=actor, at=at)


def _spent(user: User, *, code: str, at: datetime) -> Device | None:
    plain = code.replace(" ", "")
    for device in devices.apps_of(user):
        if authenticators.spend(device, code=plain, at=at):
            return device
    return recovery_codes.spend(user, code=code, at=at)


def _tell_of_paper(user: User, *, actor: Actor, at: datetime) -> None:
    telling.tell(
        "second_factor.code_used",
        user=user,
        actor=actor,
        at=at,
        left=recovery_codes.left(user) or 0,
    )
