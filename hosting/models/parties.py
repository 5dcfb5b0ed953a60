"""Who buys and who sells, as a bill needs to know them."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting.models.prices import PriceList

_COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", _("Two capital letters, for example AT."))


class BillingProfile(models.Model):
    """What an organisation's bills say of it, and the terms it buys on."""

    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="billing_profile",
    )
    legal_name = models.CharField(_("name on the bill"), max_length=200)
    address = models.TextField(_("address"), max_length=600)
    country = models.CharField(_("country"), max_length=2, validators=[_COUNTRY])
    vat_id = models.CharField(_("VAT id"), max_length=20, blank=True)
    # Null stands for the seller's list for every buyer.
    price_list = models.ForeignKey(
        PriceList,
        verbose_name=_("agreed price list"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="buyers",
    )
    pools_storage = models.BooleanField(
        _("shares included space"),
        default=False,
        help_text=_(
            "All mailboxes of a plan share what is included before any of them costs more."
        ),
    )
    # Null stands for the term of the house.
    payment_days = models.PositiveSmallIntegerField(
        _("days to pay"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(365)],
        help_text=_("From the day of the bill. Empty for the term of the house."),
    )
    # Of a reseller only.
    duns_customers = models.BooleanField(
        _("reminds its customers"),
        default=False,
        help_text=_(
            "The house reminds the customers of this reseller in its name, and stops what they "
            "do not pay for."
        ),
    )

    class Meta:
        verbose_name = _("billing profile")
        verbose_name_plural = _("billing profiles")

    def __str__(self) -> str:
        return self.legal_name

    def clean(self) -> None:
        super().clean()
        self.country = self.country.strip().upper()
        self.vat_id = "".join(self.vat_id.split()).upper()

    def as_text(self) -> dict[str, Any]:
        """How a bill keeps it for good."""
        return {
            "name": self.legal_name,
            "address": self.address.splitlines(),
            "country": self.country,
            "vat_id": self.vat_id,
        }


class VatRate(models.Model):
    """The standard rate of value added tax in a country, in percent, from a day on."""

    country = models.CharField(_("country"), max_length=2, validators=[_COUNTRY])
    starts_on = models.DateField(_("from"))
    percent = models.DecimalField(_("percent"), max_digits=5, decimal_places=2)
    is_in_eu = models.BooleanField(_("member of the EU"), default=False)

    class Meta:
        verbose_name = _("VAT rate")
        verbose_name_plural = _("VAT rates")
        constraints = (
            models.UniqueConstraint(fields=("country", "starts_on"), name="hosting_vatrate_once"),
            models.CheckConstraint(
                condition=Q(percent__gte=0) & Q(percent__lte=100),
                name="hosting_vatrate_is_percent",
                violation_error_message=_("A rate lies between 0 and 100 percent."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.country} {self.percent} %"


class Limits(models.Model):
    """How far an organisation and all below it may go; null stands for no limit."""

    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.CASCADE,
        related_name="limits",
    )
    mailboxes = models.PositiveIntegerField(_("mailboxes"), null=True, blank=True)
    domains = models.PositiveIntegerField(_("domains"), null=True, blank=True)
    # By use, never by the sum of what was allowed.
    stored_bytes = models.BigIntegerField(_("stored bytes"), null=True, blank=True)
    # In the smallest unit of the currency it buys in, before tax.
    spend_cap_minor = models.BigIntegerField(_("spend a month"), null=True, blank=True)

    class Meta:
        verbose_name = _("limits")
        verbose_name_plural = _("limits")
        constraints = (
            models.CheckConstraint(
                condition=(Q(stored_bytes__isnull=True) | Q(stored_bytes__gte=0))
                & (Q(spend_cap_minor__isnull=True) | Q(spend_cap_minor__gte=0)),
                name="hosting_limits_not_negative",
                violation_error_message=_("A limit cannot be negative."),
            ),
        )

    def __str__(self) -> str:
        return str(self.organisation)
