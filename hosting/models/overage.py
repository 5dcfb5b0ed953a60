"""Overage that waits until somebody has looked at it."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting import money
from hosting.models.invoices import Invoice


class HeldOverageQuerySet(models.QuerySet["HeldOverage"]):
    """Held overage by what became of it."""

    def waiting(self) -> Self:
        """What nobody has decided about, of bills that stand."""
        return self.filter(state=HeldOverage.State.WAITING, invoice__credit_notes=None)

    def gone(self) -> Self:
        """What nobody had decided about when its bill was taken back."""
        return self.filter(state=HeldOverage.State.WAITING, invoice__credit_notes__isnull=False)

    def with_gone(self) -> Self:
        """With `is_gone`, which says so of each."""
        return self.annotate(is_gone=Exists(HeldOverage.objects.gone().filter(pk=OuterRef("pk"))))

    def decided(self) -> Self:
        """What somebody decided about, or decided about on an earlier bill of the month."""
        return self.exclude(state=HeldOverage.State.WAITING)


class HeldOverage(models.Model):
    """What space above the included came to in a month, and was left out of its bill.

    It was more than twice the usual. Released, the next bill charges it as a correction.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RELEASED = "released", _("Released")
        LET_GO = "let_go", _("Not charged")

    invoice = models.OneToOneField(
        Invoice,
        verbose_name=_("bill"),
        on_delete=models.PROTECT,
        related_name="held_overage",
    )
    customer = models.ForeignKey(
        Organisation, verbose_name=_("customer"), on_delete=models.PROTECT, related_name="+"
    )
    # The first day of the month.
    period = models.DateField(_("month"))
    amount_minor = models.BigIntegerField(_("amount"))
    # The mean of the bills of the three months before, of those that there are.
    usual_minor = models.BigIntegerField(_("usual"))
    currency = models.CharField(_("currency"), max_length=3)
    held_at = models.DateTimeField(_("since"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decided_by = models.CharField(_("by"), max_length=254, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    objects = HeldOverageQuerySet.as_manager()

    class Meta:
        verbose_name = _("overage to look at")
        verbose_name_plural = _("overage to look at")
        constraints = (
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | Q(~Q(state="waiting"), decided_at__isnull=False),
                name="hosting_heldoverage_decided_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("held_at",),
                condition=Q(state="waiting"),
                name="hosting_heldoverage_waiting",
            ),
            models.Index(fields=("customer", "decided_at"), name="hosting_heldoverage_decided"),
        )

    def __str__(self) -> str:
        return f"{self.customer}, {self.period:%Y-%m}: {self.amount_text}"

    @property
    def amount_text(self) -> str:
        """What waits, before tax."""
        return money.minor_text(self.amount_minor, currency=self.currency)

    @property
    def usual_text(self) -> str:
        """What it was compared with, before tax."""
        return money.minor_text(self.usual_minor, currency=self.currency)
