"""Forms of the customer's pages. What an address may look like is decided below, in `mailstore`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation
from hosting.models import Plan
from hosting.models.plans import GIGABYTE
from mailstore.addresses import ADDRESS_OCTETS
from mailstore.models import Domain, Mailbox

HIGHEST_GIGABYTES = 100_000


class EstimateForm(forms.Form):
    """What somebody needs, in two numbers."""

    gb = forms.IntegerField(label=_("Gigabytes of mail you keep"), min_value=0, max_value=50)
    devices = forms.IntegerField(label=_("Devices you read on"), min_value=1, max_value=10)


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
    label = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=120,
        help_text=_("For you only, for example who uses it."),
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = Domain.objects.visible_to(actor).confirmed().order_by("name")
        self.fields["domain"].queryset = domains.select_related("organisation__parent")  # type: ignore[attr-defined]

    def clean_protocol(self) -> Plan:
        """The plan on sale for the protocol."""
        protocol = self.cleaned_data["protocol"]
        plan = Plan.objects.on_sale().filter(protocol=protocol).first()
        if plan is None:
            raise ValidationError(_("This is not on sale at the moment."), code="not_on_sale")
        return plan


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


class AppPasswordForm(forms.Form):
    """A secret for one device."""

    label = forms.CharField(
        label=_("Device"),
        max_length=80,
        help_text=_("So that you know later which one it is, for example “Phone”."),
    )


class MailboxPasswordForm(forms.Form):
    """An optional password that a person chooses."""

    password = forms.CharField(
        label=_("Mailbox password"),
        strip=False,
        required=False,
        min_length=10,
        max_length=200,
        help_text=_("At least 10 characters. Leave empty to allow app passwords only."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


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


class CloseForm(forms.Form):
    """A closing is confirmed by typing the address."""

    address = forms.CharField(
        label=_("Type the address to confirm"),
        max_length=ADDRESS_OCTETS,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox = mailbox

    def clean_address(self) -> str:
        """Only the address itself will do."""
        typed: str = self.cleaned_data["address"]
        if typed.lower() != self.mailbox.address:
            raise ValidationError(_("This is not the address of this mailbox."), code="differs")
        return typed
