"""Background work that failed for one of many."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.organisations import Organisation


class Setback(models.Model):
    """One row for which a sweep failed while it went on with all others; it is tried again."""

    # What the sweep does, in a word or two.
    work = models.CharField(_("work"), max_length=40)
    # The key of the row, in the table that the work goes through.
    row_id = models.BigIntegerField()
    name = models.CharField(_("where"), max_length=320)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.CASCADE,
        related_name="setbacks",
    )
    failure = models.CharField(_("failure"), max_length=300)
    failed_first_at = models.DateTimeField(_("failed first"))
    failed_at = models.DateTimeField(_("failed last"))
    tries = models.PositiveIntegerField(_("tries"), default=0)
    # Until then the sweep leaves it out.
    next_try_at = models.DateTimeField(_("next try"))

    class Meta:
        verbose_name = _("setback")
        verbose_name_plural = _("setbacks")
        constraints = (
            models.UniqueConstraint(fields=("work", "row_id"), name="accounts_setback_once"),
        )

    def __str__(self) -> str:
        return f"{self.work}: {self.name}"
