"""What lists of customers are sorted and filtered by, as it was counted last."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation


class CustomerFigures(models.Model):
    """One customer's use and its month so far. Amounts are minor units before tax.

    Two thousand customers cannot be added up for each page, so a worker does it. What the
    seller pays and keeps is null where the house itself sells, or in two currencies.
    """

    organisation = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, related_name="figures"
    )
    mailboxes = models.PositiveIntegerField(_("mailboxes"), default=0)
    domains = models.PositiveIntegerField(_("domains"), default=0)
    stored_bytes = models.BigIntegerField(_("stored bytes"), default=0)
    # Unix time, as the mail server reports it; nothing stands for never.
    last_login = models.BigIntegerField(_("last sign-in"), default=0)
    is_at_limit = models.BooleanField(_("at a limit"), default=False)
    retail_minor = models.BigIntegerField(_("pays"), default=0)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    wholesale_minor = models.BigIntegerField(_("costs its seller"), null=True)
    wholesale_currency = models.CharField(_("currency of the cost"), max_length=3, blank=True)
    left_minor = models.BigIntegerField(_("its seller keeps"), null=True)

    class Meta:
        verbose_name = _("figures of a customer")
        verbose_name_plural = _("figures of customers")
        constraints = (
            models.CheckConstraint(
                condition=Q(stored_bytes__gte=0) & Q(last_login__gte=0),
                name="hosting_customerfigures_not_negative",
            ),
        )

    def __str__(self) -> str:
        return str(self.organisation)


class SellerFigures(models.Model):
    """All customers of one seller together, and when they were counted.

    The row is the queue: whoever moves `leased_until` on counts, and nobody else meanwhile.
    """

    seller = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, related_name="seller_figures"
    )
    counted_at = models.DateTimeField(_("counted"), null=True)
    leased_until = models.DateTimeField(null=True)
    customers = models.PositiveIntegerField(_("customers"), default=0)
    mailboxes = models.PositiveIntegerField(_("mailboxes"), default=0)
    stored_bytes = models.BigIntegerField(_("stored bytes"), default=0)
    # By currency.
    retail_minor = models.JSONField(_("customers pay"), default=dict)
    # Its own mailboxes included; null for the house.
    wholesale_minor = models.BigIntegerField(_("pays itself"), null=True)
    wholesale_currency = models.CharField(_("currency"), max_length=3, blank=True)
    left_minor = models.BigIntegerField(_("keeps"), null=True)

    class Meta:
        verbose_name = _("figures of a seller")
        verbose_name_plural = _("figures of sellers")

    def __str__(self) -> str:
        return str(self.seller)
