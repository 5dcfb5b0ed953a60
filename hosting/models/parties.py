"""Who buys and who sells, as a bill needs to know them."""

from __future__ import annotations

from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting import vat_ids
from hosting.models.prices import PriceList

# What turns the direction of a text or means nothing on paper; an address has line breaks.
_UNSEEN = r"\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
_ON_PAPER = RegexValidator(
    rf"^[^{_UNSEEN}]*\Z", _("It has signs that cannot be printed. Type it again.")
)
_COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", _("Two capital letters, for example AT."))


class Logo(models.Model):
    """A picture for the head of bills, checked and encoded anew by `hosting.logos`.

    It is a row, not a file, so that every web worker has it and a backup of the database is
    whole. It never changes: bills that were issued go on showing it after another follows.
    """

    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="logos",
    )
    picture = models.BinaryField(_("picture"))
    media_type = models.CharField(
        _("kind of picture"), max_length=10, choices=[(t, t) for t in ("image/png", "image/jpeg")]
    )
    width = models.PositiveIntegerField(_("width"))
    height = models.PositiveIntegerField(_("height"))
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("logo")
        verbose_name_plural = _("logos")

    def __str__(self) -> str:
        return f"{self.organisation}, {self.width} by {self.height}"


class BillingProfile(models.Model):
    """What an organisation's bills say of it, and the terms it buys on."""

    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="billing_profile",
    )
    legal_name = models.CharField(_("name on the bill"), max_length=200, validators=[_ON_PAPER])
    address = models.TextField(
        _("address"), max_length=600, validators=[_ON_PAPER, MaxLengthValidator(600)]
    )
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
        help_text=_("All IMAP mailboxes share what is included before any of them costs more."),
    )
    # Null stands for the term of the house.
    payment_days = models.PositiveSmallIntegerField(
        _("days to pay"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(365)],
        help_text=_("From the day of the bill. Empty for the term of the house."),
    )
    # Whoever sells puts it at the head of what it bills.
    logo = models.ForeignKey(
        Logo, verbose_name=_("logo"), on_delete=models.PROTECT, null=True, blank=True
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
        self.vat_id = vat_ids.canonical(self.vat_id)
        self.address = "\n".join(line.rstrip() for line in self.address.strip().splitlines())
        if self.vat_id:
            try:
                vat_ids.check(self.vat_id, country=self.country)
            except vat_ids.WrongVatId as refusal:
                raise ValidationError({"vat_id": str(refusal)}) from refusal

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


class LimitsQuerySet(models.QuerySet["Limits"]):
    """Which limits say what."""

    def capped(self) -> Self:
        """Those that bound what is spent."""
        return self.exclude(spend_cap_minor=None, own_cap_minor=None)


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
    # In the smallest unit of the currency it buys in, before tax: what somebody above it has
    # set, and what it allows itself. The lower one holds.
    spend_cap_minor = models.BigIntegerField(_("spend a month"), null=True, blank=True)
    own_cap_minor = models.BigIntegerField(_("spend a month, set by itself"), null=True, blank=True)

    objects = LimitsQuerySet.as_manager()

    class Meta:
        verbose_name = _("limits")
        verbose_name_plural = _("limits")
        constraints = (
            models.CheckConstraint(
                condition=(Q(stored_bytes__isnull=True) | Q(stored_bytes__gte=0))
                & (Q(spend_cap_minor__isnull=True) | Q(spend_cap_minor__gte=0))
                & (Q(own_cap_minor__isnull=True) | Q(own_cap_minor__gt=0)),
                name="hosting_limits_not_negative",
                violation_error_message=_("A limit cannot be negative."),
            ),
        )

    def __str__(self) -> str:
        return str(self.organisation)

    @property
    def cap_minor(self) -> int | None:
        """What may be spent a month; None for any amount."""
        caps = (self.spend_cap_minor, self.own_cap_minor)
        return min((cap for cap in caps if cap is not None), default=None)
