"""Forms about when mail goes, and how it comes back."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from mailstore.engine import RemovedSearch
from mailstore.policy import LONGEST_DAYS, CountedFrom, Rule


class RemovedSearchForm(forms.Form):
    """What to look for among removed mail."""

    subject = forms.CharField(label=_("Subject"), required=False, max_length=200)
    sender = forms.CharField(label=_("From"), required=False, max_length=200)
    folder = forms.CharField(label=_("Folder"), required=False, max_length=255)
    since = forms.DateTimeField(
        label=_("Removed since (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    @property
    def search(self) -> RemovedSearch:
        """The search, of what was filled in well."""
        asked = getattr(self, "cleaned_data", {})
        return RemovedSearch(
            subject=asked.get("subject") or "",
            sender=asked.get("sender") or "",
            folder=asked.get("folder") or "",
            since=asked.get("since"),
        )


class MomentForm(forms.Form):
    """The moment to which a mailbox is rolled back."""

    moment = forms.DateTimeField(
        label=_("As it was at (UTC)"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=_("Everything removed since then returns to its own folder."),
    )


class RuleForm(forms.Form):
    """After how many days mail leaves a folder."""

    folder = forms.CharField(
        label=_("Folder"),
        max_length=255,
        help_text=_("A name, or * for all folders that no other rule names."),
    )
    days = forms.IntegerField(
        label=_("Days"),
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text=_("Leave empty to keep mail for ever."),
    )
    counted_from = forms.ChoiceField(
        label=_("Counted from"),
        choices=[
            (CountedFrom.ARRIVAL.value, _("arrival in the folder")),
            (CountedFrom.DOWNLOAD.value, _("when a program fetched it (inbox only)")),
        ],
        initial=CountedFrom.ARRIVAL.value,
    )

    @property
    def rule(self) -> Rule:
        """The rule that was asked for."""
        return Rule(
            folder=self.cleaned_data["folder"],
            counted_from=CountedFrom(self.cleaned_data["counted_from"]),
            days=self.cleaned_data["days"],
        )


class WindowForm(forms.Form):
    """For how many days removed mail can be brought back."""

    window_days = forms.IntegerField(label=_("Days"), min_value=1, max_value=365)
