"""What a plan costs: price lists, and prices that follow each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Self

from django.db import models
from django.db.models import OuterRef, Q
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting import money
from hosting.models.plans import GIGABYTE, Plan


class PriceList(models.Model):
    """The prices that one seller asks of a kind of buyer, in one currency."""

    class Audience(models.TextChoices):
        RETAIL = "retail", _("Customers")
        WHOLESALE = "wholesale", _("Resellers")

    # Null stands for the house itself.
    seller = models.ForeignKey(
        Organisation,
        verbose_name=_("seller"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="price_lists",
        limit_choices_to={"kind": Organisation.Kind.RESELLER},
        help_text=_("Empty for the house itself."),
    )
    name = models.CharField(_("name"), max_length=60)
    audience = models.CharField(_("for"), max_length=10, choices=Audience)
    currency = models.CharField(_("currency"), max_length=3, choices=money.CURRENCIES)
    is_default = models.BooleanField(
        _("unless another is agreed"),
        default=False,
        help_text=_("Holds for every buyer with whom no other list was agreed."),
    )

    class Meta:
        verbose_name = _("price list")
        verbose_name_plural = _("price lists")
        constraints = (
            models.UniqueConstraint(
                Coalesce("seller_id", 0, output_field=models.BigIntegerField()),
                "audience",
                condition=Q(is_default=True),
                name="hosting_pricelist_one_default",
                violation_error_message=_("There is such a list already. Change that one first."),
            ),
            models.CheckConstraint(
                condition=Q(seller__isnull=True) | Q(audience="retail"),
                name="hosting_pricelist_wholesale_by_house",
                violation_error_message=_("Only the house sells to resellers."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"


class PriceQuerySet(models.QuerySet["Price"]):
    """Prices by the time that they are for."""

    def covering(self, month: date) -> Self:
        """Those by which the contract of an outer query is charged for all its time since then.

        `month` is a first day. Later ones follow; what comes before the first costs nothing.
        """
        begins = Cast(OuterRef("starts_at"), models.DateField())
        is_in_time = Q(starts_on__lte=month) | Q(starts_on__lte=begins)
        return self.filter(is_in_time, plan=OuterRef("plan"))


class Price(models.Model):
    """What a plan costs on a list from a day on (UTC), until the next price begins.

    Per mailbox-month and per GB-month, where 1 GB is 10^9 bytes. Once its day has come it is
    never changed, only succeeded.
    """

    price_list = models.ForeignKey(
        PriceList, verbose_name=_("price list"), on_delete=models.PROTECT, related_name="prices"
    )
    plan = models.ForeignKey(
        Plan, verbose_name=_("plan"), on_delete=models.PROTECT, related_name="prices"
    )
    starts_on = models.DateField(_("from"))
    monthly_price = models.DecimalField(_("price per month"), max_digits=12, decimal_places=6)
    included_bytes = models.BigIntegerField(_("included bytes"), default=0)
    storage_price = models.DecimalField(
        _("price per further GB and month"), max_digits=12, decimal_places=6, default=Decimal(0)
    )

    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        constraints = (
            models.UniqueConstraint(
                fields=("price_list", "plan", "starts_on"),
                name="hosting_price_once",
                violation_error_message=_("Another price begins on that day already."),
            ),
            models.CheckConstraint(
                condition=Q(monthly_price__gt=0) & Q(storage_price__gte=0),
                name="hosting_price_positive",
                violation_error_message=_(
                    "The price per month is above zero, and the one per GB is not below it."
                ),
            ),
            models.CheckConstraint(
                condition=Q(included_bytes__gte=0),
                name="hosting_price_included_not_negative",
                violation_error_message=_("What is included cannot be negative."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.plan}, {self.price_list}, {self.starts_on}"

    @property
    def currency(self) -> str:
        """The currency of its list; load `price_list` with the row."""
        return self.price_list.currency

    @property
    def starts_at(self) -> datetime:
        """Its first moment."""
        return datetime.combine(self.starts_on, time.min, tzinfo=UTC)

    @property
    def price_text(self) -> str:
        """The fixed part of the price."""
        return money.price_text(self.monthly_price, currency=self.currency)

    @property
    def storage_price_text(self) -> str:
        """The price of a gigabyte above what is included, or nothing where there is none."""
        if not self.storage_price:
            return ""
        return money.price_text(self.storage_price, currency=self.currency)

    def monthly_cost(self, *, stored_bytes: int) -> Decimal:
        """What a month costs in which this much is kept throughout, not rounded."""
        extra_bytes = max(0, stored_bytes - self.included_bytes)
        return self.monthly_price + self.storage_price * Decimal(extra_bytes) / GIGABYTE
