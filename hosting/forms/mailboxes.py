"""Forms about who gets into a mailbox, and about its end."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting.forms.networks import NetworksField
from mailstore.addresses import ADDRESS_OCTETS
from mailstore.models import Mailbox


class AppPasswordForm(forms.Form):
    """A secret for one device."""

    label = forms.CharField(
        label=_("Device"),
        max_length=80,
        help_text=_("So that you know later which one it is, for example “Phone”."),
    )
    protocols = forms.MultipleChoiceField(
        label=_("Good for"),
        choices=Mailbox.Protocol.choices,
        initial=Mailbox.Protocol.values,
        help_text=_("What the mailbox has not bought stays shut either way."),
        error_messages={"required": _("Choose at least one protocol.")},
        widget=forms.CheckboxSelectMultiple,
    )
    networks = NetworksField()


class ReachForm(forms.Form):
    """By which protocols, and from where, an app password may be used."""

    protocols = forms.MultipleChoiceField(
        label=_("Good for"),
        choices=Mailbox.Protocol.choices,
        help_text=_("What the mailbox has not bought stays shut either way."),
        error_messages={"required": _("Choose at least one protocol.")},
        widget=forms.CheckboxSelectMultiple,
    )
    networks = NetworksField()


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


class AddressForm(forms.Form):
    """A closing, or what cannot be undone, is confirmed by typing the address."""

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


class CloseAllForm(forms.Form):
    """The closing of an organisation is confirmed by typing its name."""

    name = forms.CharField(
        label=_("Type the name of the organisation to confirm"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organisation = organisation

    def clean_name(self) -> str:
        """Only the name itself will do."""
        typed: str = self.cleaned_data["name"]
        if typed.casefold() != self.organisation.name.casefold():
            raise ValidationError(_("This is not its name."), code="differs")
        return typed
