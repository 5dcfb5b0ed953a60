"""When somebody from above acted in a customer, and why."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models.organisations import Organisation, below
from accounts.models.people import User


class VisitQuerySet(models.QuerySet["Visit"]):
    """Visits by who may know of them, and by whether they go on."""

    def visible_to(self, actor: Actor) -> Self:
        """Visits to the organisations in the actor's tree."""
        return self.filter(below(actor, "organisation__"))

    def running(self, at: datetime) -> Self:
        """Those that nobody has ended and whose time is not over."""
        return self.filter(ended_at__isnull=True, ends_at__gt=at)


class Visit(models.Model):
    """One person from above in one customer. Never deleted: the customer may read it for good."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="visits")
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("customer"),
        on_delete=models.PROTECT,
        related_name="visits",
        db_index=False,
    )
    # As they were called then.
    person = models.CharField(_("person"), max_length=254)
    seller = models.CharField(_("from"), max_length=120)
    reason = models.CharField(_("reason"), max_length=300)
    begun_at = models.DateTimeField(_("begun"))
    ends_at = models.DateTimeField(_("ends by itself"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = VisitQuerySet.as_manager()

    class Meta:
        verbose_name = _("visit")
        verbose_name_plural = _("visits")
        constraints = (
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("begun_at")), name="accounts_visit_ends"
            ),
        )
        indexes = (
            models.Index(fields=("organisation", "id"), name="accounts_visit_organisation"),
            models.Index(
                fields=("ends_at",),
                condition=Q(ended_at__isnull=True),
                name="accounts_visit_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.person} in {self.organisation}"
