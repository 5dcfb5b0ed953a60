"""What a payment provider told us, and what we asked it to pay back; the rows are the queue."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from hosting import money
from hosting.models.payments import LedgerEntry, Payment


class ProviderEvent(models.Model):
    """One message, stored before anything is done about it, and done once."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        APPLIED = "applied", _("Done")
        FAILED = "failed", _("For staff to look at")

    event_id = models.CharField(_("event"), max_length=255, unique=True)
    name = models.CharField(_("name"), max_length=100)
    # A `hosting.paying.Fact`; nothing about the person who paid.
    data = models.JSONField(_("data"))
    state = models.CharField(_("state"), max_length=7, choices=State, default=State.WAITING)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    received_at = models.DateTimeField(_("received"))
    retry_at = models.DateTimeField(_("next try"))
    applied_at = models.DateTimeField(_("done"), null=True)

    class Meta:
        verbose_name = _("message of the payment provider")
        verbose_name_plural = _("messages of the payment provider")
        indexes = (
            models.Index(
                fields=("retry_at",),
                condition=Q(state="waiting"),
                name="hosting_providerevent_waiting",
            ),
            models.Index(
                fields=("received_at",),
                condition=Q(state="failed"),
                name="hosting_providerevent_failed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.event_id}"


class Refund(models.Model):
    """Money that goes back to a payer by the provider, or that the bank told of.

    The ledger has counted it already.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("To be asked for")
        SENT = "sent", _("On its way")
        FAILED = "failed", _("Did not happen")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payment = models.ForeignKey(
        Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="refunds"
    )
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, related_name="refund")
    amount_minor = models.BigIntegerField(_("amount"))
    state = models.CharField(_("state"), max_length=6, choices=State, default=State.ASKED)
    # What the provider or the bank calls it; a dispute stands here as well.
    provider_id = models.CharField(_("id at the provider"), max_length=255, blank=True)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    retry_at = models.DateTimeField(_("next try"))
    asked_at = models.DateTimeField(_("asked"))

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        constraints = (
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="hosting_refund_positive"),
            models.UniqueConstraint(
                fields=("provider_id",),
                condition=~Q(provider_id=""),
                name="hosting_refund_told_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("retry_at",), condition=Q(state="asked"), name="hosting_refund_asked"
            ),
            models.Index(
                fields=("asked_at",), condition=Q(state="failed"), name="hosting_refund_failed"
            ),
        )

    def __str__(self) -> str:
        return self.amount_text

    @property
    def amount_text(self) -> str:
        """What goes back; load `payment` with the row."""
        return money.minor_text(self.amount_minor, currency=self.payment.currency)
