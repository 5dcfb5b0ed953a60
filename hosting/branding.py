"""In whose name pages and letters speak: the house, or the reseller that somebody belongs to.

A reseller's brand holds for itself and for all its customers. Whoever belongs to nobody else
sees the house, whose name comes from the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formataddr, parseaddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.mailer import Letterhead
from accounts.models import Organisation, User
from hosting import colours, logos, panel_hosts, profiles
from hosting.models import Brand, Logo

HOUSE_ACCENT, HOUSE_ACCENT_DARK = "#24479f", "#a3bff7"
# From so many times its height on, a logo is taken for a name in writing and stands alone.
_WRITTEN = 2
# How long a logo waits for the brand it was sent for.
_TRIED_OUT = timedelta(days=1)
_TOLD = ("product_name", "accent", "accent_dark", "support_email", "support_url", "logo_id")


class BrandRefused(Exception):
    """The brand cannot be so; `field` is what it is about, and the text says why."""

    def __init__(self, text: str, *, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Look:
    """A brand as pages and letters show it; paths are empty where the house has nothing else."""

    name: str
    panel_url: str
    accent: str = HOUSE_ACCENT
    accent_dark: str = HOUSE_ACCENT_DARK
    style_path: str = ""
    logo_path: str = ""
    logo_is_written: bool = False
    support_email: str = ""
    support_url: str = ""
    is_house: bool = True

    @property
    def letter_ink(self) -> str:
        """What is written on the accent, on white paper."""
        return colours.LIGHT_INK

    @property
    def letter_ink_dark(self) -> str:
        """What is written on the accent, on dark paper."""
        return colours.DARK_INK


# Which brand holds ------------------------------------------------------------------------


def of_house(*, panel_url: str = "") -> Look:
    """The provider's own, from the settings."""
    return Look(name=settings.HOUSE_NAME, panel_url=panel_url or settings.PANEL_URL)


def of_seller(seller_id: int) -> Look:
    """What everybody sees at a reseller's own host, also before signing in."""
    return _shown(_stored().filter(organisation=seller_id)) or of_house(
        panel_url=panel_hosts.panel_url(seller_id)
    )


def of_person(user: User) -> Look:
    """What a person sees at the house's host: the brand of the reseller above, if any.

    A member below several resellers sees the brand that is oldest, and staff see the house.
    """
    if user.is_staff:
        return of_house()
    own = Q(organisation__memberships__user=user)
    above = Q(organisation__children__memberships__user=user)
    return _shown(_stored().filter(own | above)) or of_house()


def of_organisation(organisation_id: int | None) -> Look:
    """In whose name an organisation is written to."""
    if organisation_id is None:
        return of_house()
    reseller = Q(kind=Organisation.Kind.RESELLER)
    seller = Organisation.objects.filter(
        reseller, Q(pk=organisation_id) | Q(children=organisation_id)
    ).first()
    return of_seller(seller.pk) if seller else of_house()


def letterhead(organisation_id: int | None) -> Letterhead:
    """How letters to an organisation begin and end; `settings.LETTERHEAD` names this."""
    look = of_organisation(organisation_id)
    address = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    return Letterhead(
        sender=settings.DEFAULT_FROM_EMAIL if look.is_house else formataddr((look.name, address)),
        reply_to=look.support_email,
        context={"look": look, "panel_url": look.panel_url, "house_name": look.name},
    )


def look(brand: Brand, *, panel_url: str, logo_path: str = "") -> Look:
    """A brand, stored or not, as it is shown."""
    accent, dark = brand.accent, brand.shown_dark
    sheet = colours.style_sheet(accent=accent, accent_dark=dark)
    return Look(
        name=brand.product_name,
        panel_url=panel_url,
        accent=accent,
        accent_dark=dark,
        style_path=reverse("brand:style", args=[accent, dark, colours.digest(sheet)]),
        logo_path=logo_path if brand.logo else "",
        logo_is_written=bool(brand.logo and brand.logo.width >= _WRITTEN * brand.logo.height),
        support_email=brand.support_email,
        support_url=brand.support_url,
        is_house=False,
    )


def _stored() -> QuerySet[Brand]:
    """Brands with all that a look needs, but the picture itself."""
    known = Brand.objects.select_related("logo", "organisation__panel_host")
    return known.defer("logo__picture").order_by("pk")


def _shown(brands: QuerySet[Brand]) -> Look | None:
    brand = brands.first()
    if brand is None:
        return None
    path = reverse("brand:logo", args=[brand.uuid, brand.logo_id]) if brand.logo_id else ""
    return look(brand, panel_url=panel_hosts.url_of(brand.organisation), logo_path=path)


# Keeping one ------------------------------------------------------------------------------


def editable_by(actor: Actor) -> QuerySet[Organisation]:
    """The resellers whose brand a person keeps: those that it owns."""
    own = actor.only_with(Capability.MANAGE_BRAND).organisation_ids
    return Organisation.objects.filter(pk__in=own, kind=Organisation.Kind.RESELLER).select_related(
        "parent"
    )


def of(organisation: Organisation) -> Brand:
    """The reseller's brand, or what it begins with, which is not stored yet."""
    found = Brand.objects.select_related("logo").filter(organisation=organisation).first()
    return found or Brand(
        organisation=organisation, product_name=organisation.name[:60], accent=HOUSE_ACCENT
    )


def check(brand: Brand) -> None:
    """Make the brand's values canonical, or raise `BrandRefused`."""
    if brand.organisation.kind != Organisation.Kind.RESELLER:
        raise BrandRefused(_("Only a reseller has a look of its own."))
    brand.product_name = " ".join(brand.product_name.split())
    for name in ("accent", "accent_dark", "support_email", "support_url"):
        setattr(brand, name, getattr(brand, name).strip())
    try:
        brand.clean_fields(exclude=["organisation", "logo", "changed_at"])
    except ValidationError as error:
        field, texts = next(iter(error.message_dict.items()))
        raise BrandRefused(" ".join(texts), field=field) from error
    _check_support_url(brand.support_url)
    _check_colours(brand)


@transaction.atomic
def keep(*, actor: Actor, brand: Brand, at: datetime) -> Brand:
    """Show the brand from now on; raises `BrandRefused`."""
    organisation = brand.organisation
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    check(brand)
    before = Brand.objects.select_for_update().filter(organisation=organisation).first()
    changed = [
        name for name in _TOLD if before is None or getattr(before, name) != getattr(brand, name)
    ]
    if not changed:
        return brand
    values = {
        name: {"old": getattr(before, name, None), "new": getattr(brand, name)} for name in changed
    }
    # Two people who save at once end with the later of the two, and one row.
    brand.pk, brand.uuid = (before.pk, before.uuid) if before else (None, brand.uuid)
    brand.changed_at = at
    brand.save()
    _forget_old_logos(organisation, at=at)
    _record("brand.changed", organisation, actor=actor, at=at, data={"changed": changed, **values})
    return brand


@transaction.atomic
def put_back(*, actor: Actor, organisation: Organisation, at: datetime) -> None:
    """Show the house's own look again; doing it twice does no harm."""
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    removed, _by_model = Brand.objects.filter(organisation=organisation).delete()
    if removed:
        _forget_old_logos(organisation, at=at)
        _record("brand.removed", organisation, actor=actor, at=at)


def add_logo(*, actor: Actor, organisation: Organisation, content: bytes, at: datetime) -> Logo:
    """A picture for a brand that is not kept yet; raises `logos.LogoRefused`."""
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    encoded = logos.encode(content)
    return profiles.store_logo(organisation, encoded, at=at)


def _forget_old_logos(organisation: Organisation, *, at: datetime) -> None:
    """Those of today may belong to a bill that is being written, or a brand that is tried out."""
    profiles.forget_unused_logos(organisation, made_before=at - _TRIED_OUT)


def _check_support_url(url: str) -> None:
    if "@" in urlsplit(url).netloc:
        text = _("Write an address without a name or a password before the host name.")
        raise BrandRefused(text, field="support_url")


def _check_colours(brand: Brand) -> None:
    """Texts in the accent, and on it, must be readable on light and on dark pages."""
    brand.accent = colours.canonical(brand.accent)
    if not colours.fits_light(brand.accent):
        text = _("Texts in this colour are hard to read. The nearest that can be read is %s.")
        raise BrandRefused(text % colours.nearest_light(brand.accent), field="accent")
    if not brand.accent_dark:
        return
    brand.accent_dark = colours.canonical(brand.accent_dark)
    if not colours.fits_dark(brand.accent_dark):
        text = _("Texts in it are hard to read on dark pages. The nearest that can be read is %s.")
        raise BrandRefused(text % colours.nearest_dark(brand.accent_dark), field="accent_dark")


def _record(
    kind: str,
    organisation: Organisation,
    *,
    actor: Actor,
    at: datetime,
    data: dict[str, Any] | None = None,
) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation,
        subject=organisation.subject,
        data=data,
    )
