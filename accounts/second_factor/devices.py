"""The devices of one person: which there are, confirming, naming and removing them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django_otp.models import Device
from django_otp_webauthn.models import WebAuthnCredential

from accounts import personal_facts
from accounts.access import Actor
from accounts.models import Authenticator, FactorLoss, RecoveryCodes, User
from accounts.second_factor import authenticators, demanding, telling

_CLASSES: dict[str, Any] = {"app": Authenticator, "passkey": WebAuthnCredential}
# A household's worth of phones and keys.
MOST_DEVICES = 20


class NoSuchDevice(Exception):
    """The person has no device like this."""


class LastDevice(Exception):
    """Somebody asks for a second factor, and this is the only one."""


class TooManyDevices(Exception):
    """The person has as many as can be kept."""


class BadName(Exception):
    """A name that says nothing, or too much."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One device as pages show it."""

    kind: str
    pk: int
    name: str
    added_at: datetime
    last_used_at: datetime | None

    @property
    def is_passkey(self) -> bool:
        """Whether it is a passkey; else it is an app."""
        return self.kind == "passkey"


def of(user: User) -> list[Factor]:
    """All confirmed devices of a person, oldest first of each kind."""
    return [
        _factor(kind, each)
        for kind, model in _CLASSES.items()
        for each in model.objects.filter(user=user, confirmed=True).order_by("pk")
    ]


def _factor(kind: str, device: Any) -> Factor:
    return Factor(
        kind=kind,
        pk=device.pk,
        name=device.name or _nameless(kind),
        added_at=device.created_at,
        last_used_at=device.last_used_at,
    )


def _nameless(kind: str) -> str:
    return "Passkey" if kind == "passkey" else "Authenticator app"


def has_any(user: User) -> bool:
    """Whether the person has a second factor."""
    return any(
        model.objects.filter(user=user, confirmed=True).exists() for model in _CLASSES.values()
    )


def holders(users: Collection[int]) -> set[int]:
    """Who of these people, by key, has a second factor. A query for each kind of device."""
    held = (model.objects.filter(user__in=users, confirmed=True) for model in _CLASSES.values())
    return {user_id for rows in held for user_id in rows.values_list("user", flat=True)}


def apps_of(user: User) -> list[Authenticator]:
    """The confirmed apps of a person."""
    return list(Authenticator.objects.filter(user=user, confirmed=True).order_by("pk"))


def must_have_room(user: User) -> None:
    """Raises `TooManyDevices`."""
    if len(of(user)) >= MOST_DEVICES:
        message = f"You have {MOST_DEVICES} devices. Remove one first."
        raise TooManyDevices(message)


@transaction.atomic
def confirm(
    *, actor: Actor, user: User, device: Authenticator, name: str, code: str, at: datetime
) -> bool:
    """Enrol the app if the code proves that the person holds it; raises `BadName`."""
    clean = clean_name(name)
    if not authenticators.spend(device, code=code, at=at):
        return False
    waiting = Authenticator.objects.filter(pk=device.pk, user=user, confirmed=False)
    if not waiting.update(confirmed=True, name=clean, created_at=at):
        return False
    added(actor=actor, user=user, name=clean, kind="app", at=at)
    return True


def added(*, actor: Actor, user: User, name: str, kind: str, at: datetime) -> None:
    """A device of the person is confirmed: tell, and nothing lost is left to be replaced."""
    lost = FactorLoss.objects.filter(user=user, state=FactorLoss.State.DONE)
    lost.update(state=FactorLoss.State.REPLACED)
    telling.tell("second_factor.added", user=user, actor=actor, at=at, name=name, device=kind)


@transaction.atomic
def rename(*, actor: Actor, user: User, kind: str, pk: int, name: str, at: datetime) -> Factor:
    """Raises `NoSuchDevice` and `BadName`."""
    clean, device = clean_name(name), _load(user, kind, pk)
    old = _factor(kind, device).name
    if clean == old:
        return _factor(kind, device)
    device.name = clean
    device.save(update_fields=["name"])
    personal_facts.record(
        kind="second_factor.renamed",
        user=user,
        actor=actor,
        at=at,
        data={"name": {"old": old, "new": clean}},
    )
    return _factor(kind, device)


@transaction.atomic
def remove(*, actor: Actor, user: User, kind: str, pk: int, at: datetime) -> Factor:
    """Take a device away, and with the last one the codes on paper.

    Sessions that were proved by it have to prove another one. Raises `NoSuchDevice` and
    `LastDevice`.
    """
    User.objects.select_for_update().get(pk=user.pk)
    device = _load(user, kind, pk)
    gone = _factor(kind, device)
    is_last = len(of(user)) == 1
    if is_last and demanding.standing(user, at=at).must:
        message = "You must have a second factor here. Add another one before you remove this."
        raise LastDevice(message)
    device.delete()
    if is_last:
        RecoveryCodes.objects.filter(user=user).delete()
    telling.tell(
        "second_factor.removed", user=user, actor=actor, at=at, name=gone.name, device=kind
    )
    return gone


@transaction.atomic
def remove_all(user: User) -> int:
    """Everything that proves the person beside the password; returns how many devices."""
    count = len(of(user))
    for model in (*_CLASSES.values(), RecoveryCodes):
        model.objects.filter(user=user).delete()
    return count


def find(user: User, kind: str, pk: int) -> Factor:
    """One confirmed device of the person; raises `NoSuchDevice`."""
    return _factor(kind, _load(user, kind, pk))


def _load(user: User, kind: str, pk: int) -> Any:
    model = _CLASSES.get(kind)
    device = model and model.objects.filter(user=user, confirmed=True, pk=pk).first()
    if device is None:
        message = "There is no such device."
        raise NoSuchDevice(message)
    return device


def clean_name(name: str) -> str:
    """What a device may be called; raises `BadName`."""
    clean = " ".join(name.replace("\0", "").split())
    if not clean or len(clean) > authenticators.NAME_LENGTH or not clean.isprintable():
        message = f"A name has between 1 and {authenticators.NAME_LENGTH} characters."
        raise BadName(message)
    return clean


def is_paper(device: Device | None) -> bool:
    """Whether a session was proved by a code on paper."""
    return isinstance(device, RecoveryCodes)
