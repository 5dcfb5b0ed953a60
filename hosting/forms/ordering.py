"""Forms about what is bought, and how far it may go."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator, MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation
from hosting import money
from hosting.models import Plan
from hosting.models.plans import GIGABYTE
from mailstore.addresses import ADDRESS_OCTETS
from mailstore.models import Domain, Mailbox
from mailstore.quotas import byte_text

HIGHEST_GIGABYTES = 100_000


class EstimateForm(forms.Form):
    """What somebody needs, in two numbers."""

    gb = forms.IntegerField(min_value=0, max_value=50)
    devices = forms.IntegerField(min_value=1, max_value=10)


class OrderForm(forms.Form):
    """One new mailbox."""

    domain = forms.ModelChoiceField(
        label=_("Domain"),
        queryset=Domain.objects.none(),
        to_field_name="name",
        empty_label=None,
    )
    # Nothing is stripped: every door gives the same verdict on the same text.
    local_part = forms.CharField(
        label=_("Name before the @"),
        strip=False,
        max_length=200,
        help_text=_("Letters a to z, digits, dot, hyphen and underscore."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    protocol = forms.ChoiceField(
        label=_("POP or IMAP"),
        choices=Mailbox.Protocol.choices,
        widget=forms.RadioSelect,
    )
    # Only what can be kept here can be limited; a plan with one limit leaves nothing to choose.
    space = forms.TypedChoiceField(
        label=_("Space"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=_("A limit, not a price: you pay for what you keep, and can change it any time."),
    )
    label = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=120,
        help_text=_("Optional and for you only, for example who uses it."),
    )
    device = forms.CharField(
        label=_("First device"),
        required=False,
        max_length=80,
        help_text=_("Its app password is made at once, and shown on the next page."),
        widget=forms.TextInput(attrs={"placeholder": _("Phone, laptop…")}),
    )

    def __init__(self, *args: Any, actor: Actor, plans: Mapping[str, Plan], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans = plans
        domains = Domain.objects.visible_to(actor).confirmed().order_by("name")
        self.fields["domain"].queryset = domains.select_related("organisation__parent")  # type: ignore[attr-defined]
        self.fields["space"].choices = limits(plans.get("imap"))  # type: ignore[attr-defined]

    def clean_protocol(self) -> Plan:
        """The plan on sale for the protocol."""
        plan = self.plans.get(self.cleaned_data["protocol"])
        if plan is None:
            raise ValidationError(_("This is not on sale at the moment."), code="not_on_sale")
        return plan

    @property
    def quota_bytes(self) -> int | None:
        """The limit that was chosen, or nothing where the plan decides."""
        is_imap = self.cleaned_data["protocol"].protocol == Mailbox.Protocol.IMAP
        chosen: int | None = self.cleaned_data["space"]
        return chosen if is_imap else None


def limits(plan: Plan | None) -> list[tuple[int, str]]:
    """The limits a plan can begin with: its first one, then doubled as far as it goes."""
    if plan is None:
        return []
    steps = [plan.quota_bytes]
    while steps[-1] * 2 < plan.ceiling_bytes:
        steps.append(steps[-1] * 2)
    if plan.ceiling_bytes > steps[-1]:
        steps.append(plan.ceiling_bytes)
    return [(step, byte_text(step)) for step in steps]


class DomainForm(forms.Form):
    """A domain to add."""

    name = forms.CharField(
        label=_("Domain"),
        strip=False,
        max_length=ADDRESS_OCTETS,
        help_text=_("For example example.com, without www."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    organisation = forms.ModelChoiceField(
        label=_("Owner"),
        queryset=Organisation.objects.none(),
        to_field_name="uuid",
        empty_label=None,
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owners = Organisation.objects.visible_to(actor).select_related("parent").order_by("pk")
        field = self.fields["organisation"]
        field.queryset = owners  # type: ignore[attr-defined]
        first_two = owners[:2]
        if len(first_two) == 1:
            field.initial = first_two[0].uuid
            field.widget = forms.HiddenInput()


class QuotaForm(forms.Form):
    """The limit in gigabytes of 10^9 bytes."""

    gigabytes = forms.DecimalField(
        label=_("Limit in GB"),
        max_digits=12,
        decimal_places=9,
        validators=[MinValueValidator(0), MaxValueValidator(HIGHEST_GIGABYTES)],
        help_text=_("1 GB is 1,000,000,000 bytes."),
    )

    @property
    def quota_bytes(self) -> int:
        """The limit in bytes."""
        return int(self.cleaned_data["gigabytes"] * GIGABYTE)


class CapForm(forms.Form):
    """How much may be spent a month; empty for any amount."""

    amount = forms.DecimalField(
        label=_("Spend cap"),
        required=False,
        max_digits=12,
        min_value=Decimal(0),
        help_text=_("A month, before VAT. Leave empty for none."),
    )

    def __init__(
        self, *args: Any, currency: str, present_minor: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        field = self.fields["amount"]
        field.label = _("Spend cap in %(currency)s") % {"currency": currency}
        field.decimal_places = money.EXPONENTS[currency]  # type: ignore[attr-defined]
        field.validators.append(DecimalValidator(12, money.EXPONENTS[currency]))
        if present_minor is not None:
            field.initial = money.from_minor(present_minor, currency=currency)

    @property
    def cap_minor(self) -> int | None:
        """The cap in the currency's smallest unit."""
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount is None:
            return None
        return money.to_minor(Fraction(amount), currency=self.currency)


class ChangePlanForm(forms.Form):
    """Another plan; where mail gets less safe by it, the address is typed."""

    gathers = forms.BooleanField(
        label=_("Move the mail of the other folders into the inbox, so that my program fetches it"),
        required=False,
        help_text=_("All folders except Junk and Trash. The folders themselves stay."),
    )
    widens = forms.BooleanField(
        label=_("Let app passwords that are meant for the other protocol work as well"),
        required=False,
    )
    address = forms.CharField(
        label=_("Type the address to confirm"),
        max_length=ADDRESS_OCTETS,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, waits: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox = mailbox
        if not waits:
            del self.fields["address"]

    def clean_address(self) -> str:
        """Only the address itself will do."""
        typed: str = self.cleaned_data["address"]
        if typed.lower() != self.mailbox.address:
            raise ValidationError(_("This is not the address of this mailbox."), code="differs")
        return typed
