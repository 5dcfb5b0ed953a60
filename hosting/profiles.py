"""What bills say of an organisation: its name, address, VAT id and logo.

Bills that were issued keep what they said. What changes here stands on the next ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q, QuerySet

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import logos, months
from hosting.models import BillingProfile, Logo

SELLERS = (Organisation.Kind.PROVIDER, Organisation.Kind.RESELLER)
_TOLD = (
    "legal_name",
    "address",
    "country",
    "vat_id",
    "pools_storage",
    "price_list_id",
    "logo_id",
    "payment_days",
    "duns_customers",
)


class ProfileRefused(Exception):
    """The profile cannot be so; the text says why."""


def editable_by(actor: Actor) -> QuerySet[Organisation]:
    """Whose profiles a person keeps on the customer's pages: its own, and a reseller's customers'.

    Staff keep all others on the staff pages, behind a second factor.
    """
    own = actor.only_with(Capability.SEE_BILLS).organisation_ids
    below = Q(parent__in=own, parent__kind=Organisation.Kind.RESELLER)
    return Organisation.objects.filter(Q(pk__in=own) | below).select_related("parent__parent")


def unnamed(actor: Actor) -> Organisation | None:
    """The first of a person's own organisations whose bills would have no address."""
    buyers = editable_by(actor).filter(
        pk__in=actor.only_with(Capability.SEE_BILLS).organisation_ids,
        billing_profile=None,
        is_test=False,
    )
    return buyers.exclude(kind=Organisation.Kind.PROVIDER).order_by("pk").first()


def of(organisation: Organisation) -> BillingProfile:
    """The profile, or an empty one that is not stored yet."""
    known = BillingProfile.objects.select_related("logo", "price_list")
    found = known.filter(organisation=organisation).first()
    return found or BillingProfile(organisation=organisation, legal_name=organisation.name)


@transaction.atomic
def keep(
    *,
    actor: Actor,
    profile: BillingProfile,
    at: datetime,
    asked: Collection[str] = _TOLD,
) -> BillingProfile:
    """Store what bills say from now on; raises `ProfileRefused`.

    `asked` names the fields that somebody changed, of a profile that is there already. What
    others changed in it meanwhile stays.
    """
    organisation = profile.organisation
    actor.must(Capability.SEE_BILLS, lineage=organisation.lineage)
    try:
        profile.full_clean(validate_unique=False)
    except ValidationError as error:
        raise ProfileRefused(" ".join(error.messages)) from error
    kept = BillingProfile.objects.select_for_update().filter(organisation=organisation)
    before = kept.first()
    meant = _TOLD if _is_new(profile) else _among(asked)
    changed = [name for name in meant if _differs(name, before, profile)]
    if "pools_storage" in changed:
        check_sharing(profile=profile, at=at)
    if changed:
        values = {name: _change(name, before, profile) for name in changed}
        _save(profile, changed=changed)
        _record("billing_profile.changed", profile, actor=actor, at=at, changed=values)
    return profile


def check_sharing(*, profile: BillingProfile, at: datetime) -> None:
    """Raise `ProfileRefused` if sharing would change for a month that waits for its bill.

    Whether included space is shared holds for a whole month, the one that has ended included.
    """
    organisation = profile.organisation
    shares = BillingProfile.objects.filter(organisation=organisation, pools_storage=True).exists()
    if profile.pools_storage == shares:
        return
    waiting = months.unbilled(Organisation.objects.filter(pk=organisation.pk), at=at)
    if waiting is not None:
        message = (
            f"{organisation} has no bill of {waiting[1]} yet. Whether included space is shared "
            "can be changed once the bill is there."
        )
        raise ProfileRefused(message)


@transaction.atomic
def set_logo(*, actor: Actor, organisation: Organisation, content: bytes, at: datetime) -> Logo:
    """Put a picture at the head of the bills to come.

    Raises `ProfileRefused`, or `logos.LogoRefused` for the picture.
    """
    profile = _sellers_profile(actor, organisation)
    encoded = logos.encode(content)
    before = profile.logo_id
    profile.logo = store_logo(organisation, encoded, at=at)
    profile.save(update_fields=["logo"])
    # A close that runs now may still write bills with the one before.
    forget_unused_logos(organisation, but={before, profile.logo.pk})
    changed = {"logo": {"old": before, "new": profile.logo.pk}}
    _record("billing_profile.changed", profile, actor=actor, at=at, changed=changed)
    return profile.logo


@transaction.atomic
def remove_logo(*, actor: Actor, organisation: Organisation, at: datetime) -> None:
    """Let the name stand alone on the bills to come; raises `ProfileRefused`."""
    profile = _sellers_profile(actor, organisation)
    if profile.logo_id is None:
        return
    changed = {"logo": {"old": profile.logo_id, "new": None}}
    profile.logo = None
    profile.save(update_fields=["logo"])
    _record("billing_profile.changed", profile, actor=actor, at=at, changed=changed)


def _sellers_profile(actor: Actor, organisation: Organisation) -> BillingProfile:
    actor.must(Capability.SEE_BILLS, lineage=organisation.lineage)
    if organisation.kind not in SELLERS:
        message = "Only who sells has a logo on its bills."
        raise ProfileRefused(message)
    locked = BillingProfile.objects.select_for_update().filter(organisation=organisation)
    profile = locked.first()
    if profile is None:
        message = "Fill in the name and the address first."
        raise ProfileRefused(message)
    return profile


def store_logo(organisation: Organisation, encoded: logos.Encoded, *, at: datetime) -> Logo:
    """A new row for a picture, which nothing shows yet."""
    return Logo.objects.create(
        organisation=organisation,
        picture=encoded.content,
        media_type=encoded.media_type,
        width=encoded.width,
        height=encoded.height,
        created_at=at,
    )


def forget_unused_logos(
    organisation: Organisation,
    *,
    but: Iterable[int | None] = (),
    made_before: datetime | None = None,
) -> None:
    """Remove logos that nothing shows; one that a bill or a brand shows is protected by it."""
    found = Logo.objects.filter(organisation=organisation)
    if made_before is not None:
        found = found.filter(created_at__lt=made_before)
    for logo in found.exclude(pk__in=[k for k in but if k]):
        try:
            logo.delete()
        except ProtectedError:
            continue


def _is_new(profile: BillingProfile) -> bool:
    return profile._state.adding  # noqa: SLF001  # Django's way


def _among(asked: Collection[str]) -> list[str]:
    """The fields of a form, as they are told of; what leads to other rows goes by its number."""
    return [name for name in _TOLD if name in asked or name.removesuffix("_id") in asked]


def _differs(name: str, before: BillingProfile | None, after: BillingProfile) -> bool:
    return before is None or getattr(before, name) != getattr(after, name)


def _change(name: str, before: BillingProfile | None, after: BillingProfile) -> dict[str, Any]:
    """What a field said and what it says; of lists and logos, their numbers."""
    return {"old": getattr(before, name, None), "new": getattr(after, name)}


def _save(profile: BillingProfile, *, changed: Collection[str]) -> None:
    try:
        with transaction.atomic():
            profile.save(update_fields=None if _is_new(profile) else changed)
    except IntegrityError as error:
        message = "Somebody else has just filled this in. Look at it again."
        raise ProfileRefused(message) from error


def _record(
    kind: str,
    profile: BillingProfile,
    *,
    actor: Actor,
    at: datetime,
    changed: dict[str, dict[str, Any]],
) -> None:
    organisation = profile.organisation
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation,
        subject=("organisation", str(organisation.uuid), organisation.name),
        data={"changed": [*changed], **changed},
    )
