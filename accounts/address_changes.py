"""Another e-mail address to sign in with.

The new address confirms it by a link. The former one is told, and can stop it by a link before
that and for seven days after: whoever did it then loses the sessions and the password too. Staff
set one at once, and the former address hears of that and can take it back in the same way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts import (
    confirming,
    holding_back,
    links,
    notices,
    passwords,
    personal_facts,
    sessions,
    signing_in,
)
from accounts.access import Actor, Capability, Origin
from accounts.models import AddressChange, User, UserManager
from accounts.rate_limits import Bucket, Policy

_ASKED = Policy(name="address-change", limit=5, window_seconds=24 * 3600)
_State = AddressChange.State
_GONE = "This link was used already, or is too old."


class Refused(Exception):
    """The address cannot be changed so; the text says why."""


def is_taken(email: str, *, at: datetime, but: User | None = None) -> bool:
    """Whether somebody signs in with the address, or may come back to it for some days."""
    others = User.objects.filter(email=email)
    former = AddressChange.objects.undoable(at=at).filter(old_email=email)
    if but is not None:
        others, former = others.exclude(pk=but.pk), former.exclude(user=but)
    return others.exists() or former.exists()


def waiting(user: User) -> AddressChange | None:
    """The change that waits for its new address, if any."""
    return AddressChange.objects.waiting().filter(user=user).first()


@transaction.atomic
def ask(*, user: User, email: str, at: datetime, origin: Origin | None = None) -> AddressChange:
    """Ask the new address whether it is the person's; raises `Refused` and `NotNow`.

    Somebody who has shown to know the password asks. If others use the address already, the
    person hears the same, and that address is told instead.
    """
    new = UserManager.canonical(email)
    user = User.objects.select_for_update().get(pk=user.pk)
    if new == user.email:
        message = "This is your address already."
        raise Refused(message)
    holding_back.take(
        Bucket(policy=_ASKED, who=str(user.pk)),
        at=at,
        too_often="The address was to be changed several times today.",
        away="The address cannot be changed just now.",
    )
    AddressChange.objects.filter(user=user).call_off(at=at)
    was_verified = user.email_verified_at is not None
    change = AddressChange.objects.create(
        user=user,
        old_email=user.email,
        old_was_verified=was_verified,
        new_email=new,
        asked_at=at,
    )
    if is_taken(new, at=at, but=user):
        notices.tell(user=user, to=new, name="address_taken", context={}, at=at)
    else:
        context = {"changes": change.pk, "old": user.email}
        notices.tell(user=user, to=new, name="address_change", context=context, at=at)
    _tell_former(change, at=at)
    personal_facts.record(
        kind="user.address_change_asked",
        user=user,
        at=at,
        origin=origin,
        data={"email": {"old": user.email, "new": new}},
    )
    return change


@transaction.atomic
def call_off(*, user: User, at: datetime, origin: Origin | None = None) -> None:
    """Leave the address as it is."""
    if AddressChange.objects.filter(user=user).call_off(at=at):
        personal_facts.record(
            kind="user.address_change_called_off", user=user, at=at, origin=origin
        )


@transaction.atomic
def confirm(*, token: str, at: datetime, origin: Origin | None = None) -> AddressChange:
    """The new address says yes; raises `links.NotValid`, or `Refused` if it is others' by now."""
    change = links.changes(token)
    user = User.objects.select_for_update().get(pk=change.user_id)
    made = AddressChange.objects.waiting().filter(pk=change.pk)
    if not made.update(state=_State.MADE, made_at=at):
        raise links.NotValid(_GONE)
    _move(user, change.new_email, verified_at=at, at=at)
    change.refresh_from_db()
    _tell_former(change, at=at)
    personal_facts.record(
        kind="user.address_changed",
        user=user,
        at=at,
        origin=origin,
        data={"email": {"old": change.old_email, "new": change.new_email}},
    )
    return change


@transaction.atomic
def set_by_staff(
    *, actor: Actor, user: User, email: str, is_former_lost: bool, at: datetime
) -> AddressChange:
    """Give a person another address at once, as operators of the house do.

    Sessions end, and nobody is at home anywhere. The new address is asked to confirm. The former
    one is told and takes it back for seven days, if it was ever confirmed; `is_former_lost` says
    that somebody else reads it by now, and then it cannot. Raises `Refused` and `Forbidden`.
    """
    actor.must_everywhere(Capability.RUN_HOUSE, refusal="Only operators of the house do this.")
    user = User.objects.select_for_update().get(pk=user.pk)
    new, old, was_verified = UserManager.canonical(email), user.email, user.email_verified_at
    if new == old:
        message = "This is the address already."
        raise Refused(message)
    AddressChange.objects.filter(user=user).call_off(at=at)
    _move(user, new, verified_at=None, at=at)
    change = AddressChange.objects.create(
        user=user,
        old_email=old,
        old_was_verified=was_verified is not None and not is_former_lost,
        new_email=new,
        state=_State.MADE,
        asked_at=at,
        made_at=at,
    )
    ended = sessions.drop_all(user)
    signing_in.forget_everywhere(user)
    _tell_former(change, at=at, is_by_staff=True)
    confirming.write(user=user, at=at)
    personal_facts.record(
        kind="user.address_set",
        user=user,
        actor=actor,
        at=at,
        data={
            "email": {"old": old, "new": new},
            "former_is_lost": is_former_lost,
            "sessions": ended,
        },
    )
    return change


@transaction.atomic
def take_back(*, token: str, at: datetime, origin: Origin | None = None) -> AddressChange:
    """The former address says no; raises `links.NotValid`, or `Refused` if it is others' by now.

    Whoever asked for the change knew the password, so that opens nothing any more.
    """
    change = links.takes_back(token, at=at)
    user = User.objects.select_for_update().get(pk=change.user_id)
    standing = AddressChange.objects.waiting() | AddressChange.objects.undoable(at=at)
    if not standing.filter(pk=change.pk).exists():
        raise links.NotValid(_GONE)
    # With it go those that came after: they began from an address that was not to be.
    later = AddressChange.objects.filter(user=user, pk__gte=change.pk, ended_at__isnull=True)
    later.update(state=_State.TAKEN_BACK, ended_at=at)
    _move(user, change.old_email, verified_at=at, at=at)
    personal_facts.record(
        kind="user.address_change_taken_back",
        user=user,
        at=at,
        origin=origin,
        data={"email": {"old": change.old_email, "new": change.new_email}},
    )
    passwords.make_useless(user=user, at=at)
    return change


def _move(user: User, email: str, *, verified_at: datetime | None, at: datetime) -> None:
    """Give the person an address, and say when it was shown to be its own."""
    message = "Somebody else signs in with this address by now. Nothing was changed."
    if is_taken(email, at=at, but=user):
        raise Refused(message)
    user.email, user.email_verified_at = email, verified_at
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "email_verified_at"])
    except IntegrityError as error:
        raise Refused(message) from error


def _tell_former(change: AddressChange, *, at: datetime, is_by_staff: bool = False) -> None:
    """Tell the former address, with the link that takes it back if it was ever confirmed."""
    is_made = change.state == _State.MADE
    context: dict[str, Any] = {
        "new": change.new_email,
        "is_made": is_made,
        "is_by_staff": is_by_staff,
    }
    if change.old_was_verified:
        context["takes_back"] = change.pk
    notices.tell(
        user=change.user, to=change.old_email, name="address_changing", context=context, at=at
    )
