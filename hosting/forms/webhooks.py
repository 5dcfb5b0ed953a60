"""Forms about webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting.feed import TYPES
from hosting.webhooks.endpoints import DESCRIPTION_LENGTH
from hosting.webhooks.targets import LONGEST_URL


class EndpointForm(forms.Form):
    """Where events are sent, and which; what may stand there is judged by the verb."""

    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_URL,
        help_text=_("Where your program takes posts, such as https://shop.example.com/events."),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(
        label=_("Description"), max_length=DESCRIPTION_LENGTH, required=False
    )
    event_types = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(name, name) for name in TYPES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Choose none for all of them, and those to come."),
    )


class NewEndpointForm(EndpointForm):
    """The same for a new one, with whose events they are."""

    organisation = forms.ModelChoiceField(
        label=_("Events of"),
        queryset=Organisation.objects.none(),
        empty_label=None,
        help_text=_("And of everybody below it."),
    )
    is_test = forms.BooleanField(
        label=_("For testing"),
        required=False,
        help_text=_("It hears of customers that are there for testing, and of no others."),
    )
    field_order = ("organisation", "url", "description", "is_test", "event_types")

    def __init__(self, *args: Any, organisations: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelChoiceField[Organisation]", self.fields["organisation"])
        field.queryset = organisations
        field.initial = organisations.first()


class RotateForm(forms.Form):
    """How long the old secret goes on."""

    hours = forms.TypedChoiceField(
        label=_("Until the old secret ends"),
        coerce=int,
        choices=[
            (24, _("24 hours: deliveries are signed with both")),
            (168, _("7 days: deliveries are signed with both")),
            (0, _("Nothing: somebody else has seen it")),
        ],
    )

    @property
    def overlap(self) -> timedelta:
        """The same as a time."""
        return timedelta(hours=self.cleaned_data["hours"])


class EnableForm(forms.Form):
    """Whether what was missed is sent."""

    sends_missed = forms.BooleanField(
        label=_("Send what happened meanwhile"), required=False, initial=True
    )
