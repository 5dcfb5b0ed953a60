"""What every page wants to know of whoever is signed in, in one statement."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.db.models.fields import BooleanField

from accounts import membership
from accounts.access import Actor
from accounts.compiled import CompiledQuery
from accounts.models import Membership, User
from hosting import banners
from hosting.models import Brand


@dataclass(frozen=True, kw_only=True)
class Belonging:
    """One organisation that the person is a member of."""

    organisation_id: int
    parent_id: int | None
    role: str
    kind: str
    uuid: UUID
    # Whether pages have something to say that concerns it (`hosting.banners`).
    is_concerned: bool
    # Whether it, or the reseller above it, has a look of its own (`hosting.branding`).
    has_brand: bool


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person with all organisations that it belongs to."""

    user: User
    belongings: tuple[Belonging, ...]

    @property
    def actor(self) -> Actor:
        """The person as an actor, with the roles held now."""
        held = [(each.organisation_id, each.role, each.kind) for each in self.belongings]
        return membership.actor_holding(self.user, held)

    def within(self, seller_id: int) -> Actor | None:
        """As an actor in a reseller's tree alone; None for strangers there, and for staff.

        Staff see every tree, so nothing of theirs is shown under the name of one reseller.
        """
        inside = [
            (each.organisation_id, each.role, each.kind)
            for each in self.belongings
            if seller_id in {each.organisation_id, each.parent_id}
        ]
        if self.user.is_staff or not inside:
            return None
        return membership.actor_holding(self.user, inside)

    @property
    def is_concerned(self) -> bool:
        """Whether there is a banner to show."""
        return any(each.is_concerned for each in self.belongings)

    @property
    def has_brand(self) -> bool:
        """Whether pages may speak in a reseller's name."""
        return not self.user.is_staff and any(each.has_brand for each in self.belongings)


def load(user: User) -> Person:
    """The person as it is now."""
    rows = _BELONGINGS.rows(users=[user.pk])
    names = [field.name for field in fields(Belonging)]
    return Person(
        user=user,
        belongings=tuple(Belonging(**dict(zip(names, row, strict=True))) for row in rows),
    )


def _belongings(users: Any) -> QuerySet[Any, Any]:
    brands = Brand.objects.filter(
        Q(organisation=OuterRef("organisation")) | Q(organisation=OuterRef("organisation__parent"))
    )
    return (
        Membership.objects.filter(user__among=users)
        .annotate(
            is_concerned=Case(
                When(banners.concerned(), then=Value(value=True)),
                default=Value(value=False),
                output_field=BooleanField(),
            ),
            has_brand=Exists(brands),
        )
        .order_by("organisation_id")
        .values_list(
            "organisation_id",
            "organisation__parent_id",
            "role",
            "organisation__kind",
            "organisation__uuid",
            "is_concerned",
            "has_brand",
        )
    )


_BELONGINGS = CompiledQuery(_belongings)
