"""Holds: a stop on all removal, placed by one person or program and released by another."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import ApiKey, Organisation, User, below
from mailstore.models.domains import Domain
from mailstore.models.mailboxes import Mailbox

_SCOPES = ("organisation", "domain", "mailbox")


def _exactly_one_scope() -> Q:
    one_of = Q()
    for scope in _SCOPES:
        one_of |= Q(**{f"{other}__isnull": other != scope for other in _SCOPES})
    return one_of


def _is_one_of(person: str, key: str) -> Q:
    """Somebody, or some program, and not both."""
    return Q(**{f"{person}__isnull": False, f"{key}__isnull": True}) | Q(
        **{f"{person}__isnull": True, f"{key}__isnull": False}
    )


class HoldQuerySet(models.QuerySet["Hold"]):
    """Holds by whether they stand, by what they stand on, and by who may know of them."""

    def visible_to(self, actor: Actor) -> Self:
        """Those on something in the actor's tree."""
        return self.filter(
            below(actor, "organisation__")
            | below(actor, "domain__organisation__")
            | below(actor, "mailbox__organisation__")
        )

    def standing(self) -> Self:
        """Those that nobody has released."""
        return self.filter(released_at__isnull=True)

    def on(self, mailbox: Mailbox) -> Self:
        """Those that reach a mailbox; load `organisation__parent` with it."""
        return self.filter(
            Q(mailbox=mailbox)
            | Q(domain=mailbox.domain_id)
            | Q(organisation__in=mailbox.organisation.lineage),
        )


class Hold(models.Model):
    """Nothing below it is removed until it is released. Never deleted."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="holds"
    )
    domain = models.ForeignKey(
        Domain, on_delete=models.PROTECT, null=True, blank=True, related_name="holds"
    )
    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.PROTECT, null=True, blank=True, related_name="holds"
    )
    matter = models.CharField(_("matter"), max_length=120)
    reason = models.TextField(_("reason"), max_length=2000)
    placed_by = models.ForeignKey(
        User,
        verbose_name=_("placed by"),
        on_delete=models.PROTECT,
        null=True,
        related_name="holds_placed",
    )
    placed_by_key = models.ForeignKey(
        ApiKey,
        verbose_name=_("placed by the program"),
        on_delete=models.PROTECT,
        null=True,
        related_name="holds_placed",
    )
    placed_at = models.DateTimeField(_("placed"))
    released_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="holds_released"
    )
    released_by_key = models.ForeignKey(
        ApiKey,
        verbose_name=_("released by the program"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="holds_released",
    )
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
    release_reason = models.TextField(_("reason for release"), max_length=2000, blank=True)

    objects = HoldQuerySet.as_manager()

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        constraints = (
            models.CheckConstraint(condition=_exactly_one_scope(), name="mailstore_hold_one_scope"),
            models.CheckConstraint(
                condition=_is_one_of("placed_by", "placed_by_key"),
                name="mailstore_hold_one_placer",
            ),
            models.CheckConstraint(
                condition=(Q(released_by__isnull=True) | ~Q(released_by=F("placed_by")))
                & (Q(released_by_key__isnull=True) | ~Q(released_by_key=F("placed_by_key"))),
                name="mailstore_hold_second_person",
                violation_error_message=_("Somebody else than who placed it releases a hold."),
            ),
            models.CheckConstraint(
                condition=Q(
                    released_by__isnull=True,
                    released_by_key__isnull=True,
                    released_at__isnull=True,
                )
                | (Q(released_at__isnull=False) & _is_one_of("released_by", "released_by_key")),
                name="mailstore_hold_release_whole",
            ),
        )
        indexes = (
            models.Index(
                fields=("placed_at",),
                condition=Q(released_at__isnull=True),
                name="mailstore_hold_standing",
            ),
        )

    def __str__(self) -> str:
        return f"{self.matter}: {self.organisation or self.domain or self.mailbox}"

    @property
    def placer_text(self) -> str:
        """Who placed it; load `placed_by` and `placed_by_key` with the row."""
        return str(self.placed_by or self.placed_by_key)

    @property
    def releaser_text(self) -> str:
        """Who released it, or nothing."""
        return str(self.released_by or self.released_by_key or "")

    @property
    def owner(self) -> Organisation:
        """Whose mail it keeps; load what it stands on, with its organisation."""
        scope = self.domain or self.mailbox
        found = self.organisation or (scope.organisation if scope else None)
        assert found is not None  # noqa: S101  # A constraint of the table says so.
        return found

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this hold."""
        return ("hold", str(self.uuid), self.matter)
