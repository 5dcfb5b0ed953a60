"""What a capped organisation has spent in a month, as it was counted last."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation


class Spending(models.Model):
    """One organisation with a spend cap, and one month. Amounts are minor units before tax."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="spendings"
    )
    # The first day of the month.
    period = models.DateField(_("month"))
    net_minor = models.BigIntegerField(_("spent so far"), default=0)
    # The part of it that is for storage, which no fixed price tells beforehand.
    storage_minor = models.BigIntegerField(_("for storage"), default=0)
    # The highest threshold that the owners were told of.
    told_percent = models.PositiveSmallIntegerField(_("told of percent"), default=0)
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        verbose_name = _("spending")
        verbose_name_plural = _("spendings")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "period"), name="hosting_spending_once"
            ),
            models.CheckConstraint(
                condition=Q(net_minor__gte=0) & Q(storage_minor__gte=0),
                name="hosting_spending_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.organisation} · {self.period:%Y-%m}"
