"""Forms about money that came in."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hosting import money
from hosting.models import OpenItem

_OLDEST = date(2000, 1, 1)


def amount_field(**more: Any) -> forms.DecimalField:
    """An amount above zero, with as many decimals as any currency has."""
    smallest = Decimal("0.001")
    return forms.DecimalField(
        label=gettext_lazy("Amount"), max_digits=15, decimal_places=3, min_value=smallest, **more
    )


class ReceivedForm(forms.Form):
    """Money for one bill."""

    amount = amount_field()
    received_on = forms.DateField(
        label=gettext_lazy("Received on"), widget=forms.DateInput(attrs={"type": "date"})
    )
    reference = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("What the transfer said, for instance. Only your side sees it."),
    )
    receipt = forms.CharField(
        label=gettext_lazy("Receipt number"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("If you have one. The same number is not recorded twice."),
    )
    # One form is one payment, however often it is sent.
    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any, *, item: OpenItem, today: date) -> None:
        currency = item.invoice.currency
        left = money.from_minor(item.open_minor, currency=currency)
        begin = {"amount": left, "received_on": today, "once": uuid4()}
        super().__init__(data, initial=begin)
        self.fields["amount"].help_text = _(
            "In %(currency)s. What is more than the bill takes is credit for the next one."
        ) % {"currency": currency}
        self._currency, self._today = currency, today

    def clean_amount(self) -> int:
        """In minor units of the bill's currency."""
        try:
            return money.exact_minor(self.cleaned_data["amount"], currency=self._currency)
        except money.TooFine as refusal:
            raise ValidationError(str(refusal)) from refusal

    def clean_received_on(self) -> date:
        """A day on which money can have come."""
        day: date = self.cleaned_data["received_on"]
        if not _OLDEST <= day <= self._today:
            message = _("A day that has been, up to today.")
            raise ValidationError(message)
        return day

    @property
    def external_id(self) -> str:
        """By what the ledger knows this payment again."""
        receipt = self.cleaned_data["receipt"]
        return f"receipt {receipt}" if receipt else f"form {self.cleaned_data['once']}"


class TakeBackForm(forms.Form):
    """Why a payment is taken off the books."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=300,
        help_text=gettext_lazy("Typed in twice, for instance. It stays in the books."),
    )
