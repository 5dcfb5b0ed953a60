"""Forms about what a reseller asks of its customers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from hosting.models import Plan
from hosting.models.plans import GIGABYTE


class PriceForm(forms.Form):
    """What a plan costs from a day on."""

    plan = forms.ModelChoiceField(
        label=_("Plan"), queryset=Plan.objects.none(), to_field_name="slug", empty_label=None
    )
    starts_on = forms.DateField(
        label=_("From"),
        help_text=_("A day in UTC, tomorrow at the earliest."),
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    monthly_price = forms.DecimalField(
        label=_("A month"), min_value=Decimal(0), max_digits=12, decimal_places=6
    )
    gigabytes = forms.DecimalField(
        label=_("GB included"),
        min_value=Decimal(0),
        max_value=Decimal(10**6),
        max_digits=12,
        decimal_places=3,
        required=False,
    )
    storage_price = forms.DecimalField(
        label=_("Each further GB"),
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=6,
        required=False,
        help_text=_("A month. Nothing for POP, whose price is flat."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["plan"].queryset = Plan.objects.order_by("pk")  # type: ignore[attr-defined]

    @property
    def terms(self) -> dict[str, Any]:
        """What `pricing.draft` and `pricing.succeed` take."""
        given = self.cleaned_data
        return {
            "plan": given["plan"],
            "starts_on": given["starts_on"],
            "monthly_price": given["monthly_price"],
            "included_bytes": int((given["gigabytes"] or 0) * GIGABYTE),
            "storage_price": given["storage_price"] or Decimal(0),
        }
