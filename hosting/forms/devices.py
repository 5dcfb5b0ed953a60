"""Forms about devices: which sign-ins are shown, and for how long copies stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailstore.models import Mailbox, SignIn
from mailstore.policy import LONGEST_DAYS, CountedFrom


class HistoryForm(forms.Form):
    """Which hours of the history are shown."""

    outcome = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[("", _("Everything")), ("ok", _("Sign-ins")), ("failed", _("Failed tries"))],
    )
    protocol = forms.ChoiceField(
        label=_("Protocol"), required=False, choices=[("", _("Both")), *Mailbox.Protocol.choices]
    )
    device = forms.ChoiceField(label=_("Device"), required=False)

    def __init__(self, *args: Any, names: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        chosen: Any = self.fields["device"]
        chosen.choices = [("", _("All")), *names.items()]

    @property
    def condition(self) -> Q:
        """What was filled in well, as a condition on sign-ins."""
        asked = getattr(self, "cleaned_data", {})
        condition = Q()
        if asked.get("outcome"):
            is_good = Q(outcome=SignIn.Outcome.SIGNED_IN)
            condition &= is_good if asked["outcome"] == "ok" else ~is_good
        if asked.get("protocol"):
            condition &= Q(protocol=asked["protocol"])
        if asked.get("device"):
            condition &= Q(credential=asked["device"])
        return condition

    @property
    def is_filtered(self) -> bool:
        """Whether something may be left out."""
        return any(getattr(self, "cleaned_data", {}).values())


class CopiesForm(forms.Form):
    """A rule for the inbox that counts from the download; the page of rules tries it out."""

    days = forms.IntegerField(
        label=_("Days after a program fetched them"),
        min_value=1,
        max_value=LONGEST_DAYS,
        initial=14,
    )
    folder = forms.CharField(initial="INBOX", widget=forms.HiddenInput)
    counted_from = forms.CharField(initial=CountedFrom.DOWNLOAD.value, widget=forms.HiddenInput)
