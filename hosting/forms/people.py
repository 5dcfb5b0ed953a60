"""Forms about who belongs to an organisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts import inviting
from accounts.models import Membership

# What each role means, for whoever gives it.
MEANINGS: dict[str, Promise] = {
    "owner": _("Everything: mail, people, bills, keys and the spend cap. Makes other owners."),
    "admin": _("Mailboxes, domains, rules and people. No bills and no keys."),
    "billing": _("Sees and pays bills and keeps the billing details. Nothing of anybody's mail."),
    "read_only": _("Sees mailboxes and how they are set, and changes nothing."),
    "operator": _("Everything, for every customer. Appoints the rest of the staff."),
    "support": _("Mail and people of every customer. No money, no keys, no holds."),
    "staff_billing": _("Money of every customer: bills, prices, reminders. Nothing of any mail."),
}


def role_choices(roles: Sequence[str]) -> list[tuple[str, Any]]:
    """Roles with what they mean."""
    names = Membership.Role
    return [
        (
            role,
            format_html(
                '<span><b>{}</b> <span class="soft">{}</span></span>',
                names(role).label,
                MEANINGS[role],
            ),
        )
        for role in roles
    ]


class RoleForm(forms.Form):
    """One of the roles that the person who asks may give."""

    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = role_choices(roles)  # type: ignore[attr-defined]


class InvitePersonForm(RoleForm):
    """Whom to ask, and in what role."""

    email = forms.CharField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("We write to it. The link in the letter works for this address alone."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("email", "role")

    def clean_email(self) -> str:
        """The address as it is kept."""
        return clean_address(self.cleaned_data["email"])


def clean_address(text: str) -> str:
    """An address that somebody can be invited at; raises `ValidationError`."""
    try:
        return inviting.checked_email(text)
    except inviting.Refused as refusal:
        raise ValidationError(str(refusal)) from refusal


class RemoveForm(forms.Form):
    """Whether the keys that somebody made go too."""

    with_keys = forms.BooleanField(
        label=_("Revoke these keys too"),
        required=False,
        help_text=_("Programs that use them stop working at once. This cannot be undone."),
    )
