"""Forms about a seller's customers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import countries, figures, money, searching
from hosting.forms.people import clean_address
from hosting.models import Limits, PriceList
from hosting.models.plans import GIGABYTE
from hosting.opening import Opening
from mailstore.addresses import ADDRESS_OCTETS

_HIGHEST = 2**31 - 1
_BILLING = ("legal_name", "address", "country", "vat_id")


class LimitFields(forms.Form):
    """How far a customer may go."""

    mailboxes = forms.IntegerField(
        label=_("Mailboxes"), required=False, min_value=0, max_value=_HIGHEST
    )
    domains = forms.IntegerField(
        label=_("Domains"), required=False, min_value=0, max_value=_HIGHEST
    )
    gigabytes = forms.DecimalField(
        label=_("Mail in GB"),
        required=False,
        min_value=Decimal(0),
        max_value=Decimal(10**6),
        max_digits=12,
        decimal_places=3,
        help_text=_("Counted by use, never by what was allowed. 1 GB is 1,000,000,000 bytes."),
    )

    @property
    def stored_bytes(self) -> int | None:
        """The limit in bytes."""
        amount: Decimal | None = self.cleaned_data.get("gigabytes")
        return None if amount is None else int(amount * GIGABYTE)


class OpenForm(LimitFields):
    """A new customer with what it begins with."""

    seller = forms.ModelChoiceField(
        label=_("Seller"),
        queryset=Organisation.objects.none(),
        to_field_name="uuid",
        empty_label=None,
    )
    name = forms.CharField(label=_("Name"), max_length=120, help_text=_("As people know it."))
    owner_email = forms.EmailField(
        label=_("E-mail address of the owner"),
        required=False,
        help_text=_(
            "We write there with a link to choose a password. Leave empty to open the customer "
            "without anybody in it."
        ),
    )
    external_ref = forms.CharField(
        label=_("Your reference"),
        required=False,
        max_length=120,
        help_text=_("The number in your own books, if it has one. No two customers share one."),
    )
    domain = forms.CharField(
        label=_("First domain"),
        required=False,
        max_length=ADDRESS_OCTETS,
        help_text=_("For example example.com, without www."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    legal_name = forms.CharField(
        label=_("Name on invoices"),
        required=False,
        max_length=200,
        help_text=_("If it differs from the name."),
    )
    address = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=600,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Street and town, as on a letter; the country is added."),
    )
    country = forms.ChoiceField(label=_("Country"), required=False)
    vat_id = forms.CharField(label=_("VAT id"), required=False, max_length=20)
    price_list = forms.ModelChoiceField(
        label=_("Price list and currency"),
        queryset=PriceList.objects.none(),
        required=False,
        empty_label=_("The one for everybody"),
    )

    field_order = ("seller", "name", "owner_email", "external_ref", "domain")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sellers = sellers_for(actor)
        seller = self.fields["seller"]
        seller.queryset = sellers  # type: ignore[attr-defined]
        first_two = sellers[:2]
        if len(first_two) == 1:
            seller.initial = first_two[0].uuid
            seller.widget = forms.HiddenInput()
        lists = PriceList.objects.filter(Q(seller__in=sellers) | Q(seller=None), audience="retail")
        self.fields["price_list"].queryset = lists.order_by("seller", "name")  # type: ignore[attr-defined]
        self.fields["country"].choices = [("", "—"), *countries.choices()]  # type: ignore[attr-defined]
        if not searching.sees_money(actor):
            for name in (*_BILLING, "price_list"):
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        """Billing details are whole or left to the owner."""
        cleaned = super().clean() or self.cleaned_data
        if any(cleaned.get(name) for name in (*_BILLING, "price_list")):
            for name in ("address", "country"):
                if not cleaned.get(name):
                    needed = _("Bills need an address and a country.")
                    self.add_error(name, ValidationError(needed, code="required"))
        return cleaned

    @property
    def opening(self) -> Opening:
        """What was asked for."""
        given = self.cleaned_data
        billing = {name: given.get(name, "") for name in _BILLING}
        billing["legal_name"] = billing["legal_name"] or given["name"]
        return Opening(
            name=given["name"],
            owner_email=given["owner_email"],
            external_ref=given["external_ref"],
            domain=given["domain"],
            mailboxes=given["mailboxes"],
            domains=given["domains"],
            stored_bytes=self.stored_bytes,
            billing=billing if given.get("address") else {},
            price_list=given.get("price_list"),
        )


class EditForm(LimitFields):
    """Name, reference and limits of a customer that is there."""

    name = forms.CharField(label=_("Name"), max_length=120)
    external_ref = forms.CharField(label=_("Your reference"), required=False, max_length=120)
    spend_cap = forms.DecimalField(
        label=_("Spend cap"),
        required=False,
        max_digits=12,
        min_value=Decimal(0),
        help_text=_("A month, before VAT, at what it pays you. Leave empty for none."),
    )

    field_order = ("name", "external_ref")

    def __init__(
        self, *args: Any, customer: Organisation, limits: Limits, currency: str, **kwargs: Any
    ) -> None:
        """Without a `currency` the actor may not cap, or nothing has a price."""
        stored, cap = limits.stored_bytes, limits.spend_cap_minor
        kwargs["initial"] = {
            "name": customer.name,
            "external_ref": customer.external_ref,
            "mailboxes": limits.mailboxes,
            "domains": limits.domains,
            "gigabytes": None
            if stored is None
            else f"{(Decimal(stored) / GIGABYTE).normalize():f}",
        }
        super().__init__(*args, **kwargs)
        self.currency = currency
        field = self.fields["spend_cap"]
        if not currency:
            del self.fields["spend_cap"]
            return
        field.label = _("Spend cap in %(currency)s") % {"currency": currency}
        field.decimal_places = money.EXPONENTS[currency]  # type: ignore[attr-defined]
        field.validators.append(DecimalValidator(12, money.EXPONENTS[currency]))
        if cap is not None:
            field.initial = money.from_minor(cap, currency=currency)

    @property
    def cap_minor(self) -> int | None:
        """The cap in the currency's smallest unit."""
        amount: Decimal | None = self.cleaned_data["spend_cap"]
        return None if amount is None else money.to_minor(Fraction(amount), currency=self.currency)


class ReasonForm(forms.Form):
    """Why something is done; whom it is done to reads it."""

    reason = forms.CharField(
        label=_("Why"), max_length=300, help_text=_("The customer reads this.")
    )


class InviteForm(forms.Form):
    """Another owner, or the same one again."""

    email = forms.CharField(
        label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )

    def clean_email(self) -> str:
        """The address as it is kept."""
        return clean_address(self.cleaned_data["email"])


def sellers_for(actor: Actor) -> Any:
    """Who can open customers for this person: its own organisations, or any for staff."""
    sellers = figures.sellers().select_related("parent").order_by("pk")
    opening = actor.only_with(Capability.MANAGE_PEOPLE)
    if opening.is_staff:
        return sellers
    return sellers.filter(pk__in=searching.sellers_of(opening))
