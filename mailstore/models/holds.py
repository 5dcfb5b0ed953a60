"""Holds: a stop on all removal, placed by one person and released by another."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from mailstore.models.domains import Domain
from mailstore.models.mailboxes import Mailbox

_SCOPES = ("organisation", "domain", "mailbox")


def _exactly_one_scope() -> Q:
    one_of = Q()
    for scope in _SCOPES:
        one_of |= Q(**{f"{other}__isnull": other != scope for other in _SCOPES})
    return one_of


class HoldQuerySet(models.QuerySet["Hold"]):
    """Holds by whether they stand, and by what they stand on."""

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
    placed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="holds_placed")
    placed_at = models.DateTimeField(_("placed"))
    released_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="holds_released"
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
                condition=Q(released_by__isnull=True) | ~Q(released_by=F("placed_by")),
                name="mailstore_hold_second_person",
                violation_error_message=_("Somebody else than who placed it releases a hold."),
            ),
            models.CheckConstraint(
                condition=Q(released_by__isnull=True, released_at__isnull=True)
                | Q(released_by__isnull=False, released_at__isnull=False),
                name="mailstore_hold_release_whole",
            ),
        )

    def __str__(self) -> str:
        return f"{self.matter}: {self.organisation or self.domain or self.mailbox}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this hold."""
        return ("hold", str(self.uuid), self.matter)
