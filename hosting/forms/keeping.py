"""Forms about when mail goes, and how it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from mailstore.engine import RemovedSearch
from mailstore.models import Mailbox, RetentionRule
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

    is_new_folder = forms.BooleanField(
        label=_("The folder does not exist yet"),
        required=False,
        help_text=_("Without this, a name that nobody has is taken for a slip of the pen."),
    )

    def __init__(self, *args: Any, kept: Sequence[RetentionRule] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the form does not ask stays as it was set elsewhere.
        self.kept = {row.folder: row for row in kept}

    @staticmethod
    def initial_of(own: Sequence[RetentionRule], folder: str) -> dict[str, Any]:
        """What the form begins with: the rule of a folder, to be changed, or its name alone."""
        row = next((row for row in own if row.folder == folder), None)
        if row is None:
            return {"folder": folder[:255]} if folder else {}
        return asdict(row.as_rule) | {"counted_from": row.counted_from}

    @property
    def rule(self) -> Rule:
        """The rule that was asked for."""
        kept = self.kept.get(self.cleaned_data["folder"])
        return Rule(
            folder=self.cleaned_data["folder"],
            counted_from=CountedFrom(self.cleaned_data["counted_from"]),
            days=self.cleaned_data["days"],
            floor_days=kept.floor_days if kept else None,
            ceiling_days=kept.ceiling_days if kept else None,
        )


class BoundedRuleForm(RuleForm):
    """A rule with what it lets others set below it."""

    floor_days = forms.IntegerField(
        label=_("Least days below"),
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text=_("No rule below removes mail sooner. Leave empty for no such limit."),
    )
    ceiling_days = forms.IntegerField(
        label=_("Most days below"),
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text=_("No rule below keeps mail longer. Leave empty for no such limit."),
    )

    field_order = (
        "folder",
        "days",
        "counted_from",
        "floor_days",
        "ceiling_days",
        "is_new_folder",
    )

    @property
    def rule(self) -> Rule:
        """The rule that was asked for."""
        bounds = {name: self.cleaned_data[name] for name in ("floor_days", "ceiling_days")}
        return replace(super().rule, **bounds)


class ArrivalForm(forms.Form):
    """Which messages: those that arrived in a folder on one day."""

    folder = forms.ChoiceField(label=_("Folder"))
    day = forms.DateField(
        label=_("Arrived on (UTC)"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, folders: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(folder, folder) for folder in folders]
        cast("forms.ChoiceField", self.fields["folder"]).choices = choices


class WindowForm(forms.Form):
    """For how many days removed mail can be brought back."""

    window_days = forms.IntegerField(label=_("Days"), min_value=1, max_value=LONGEST_DAYS)


class ThresholdsForm(forms.Form):
    """When the tripwire of a mailbox fires; what is empty is as its plan says."""

    messages = forms.IntegerField(label=_("Messages"), required=False, min_value=1)
    percent = forms.IntegerField(
        label=_("Percent of the mailbox"), required=False, min_value=1, max_value=100
    )
    minutes = forms.IntegerField(label=_("Within minutes"), required=False, min_value=1)
    fewest = forms.IntegerField(
        label=_("But no fewer messages than"),
        required=False,
        min_value=1,
        help_text=_("Fewer are somebody at work, whatever share of a folder they are."),
    )

    @classmethod
    def initial_of(cls, mailbox: Mailbox) -> dict[str, int | None]:
        """The mailbox's own thresholds."""
        return {name: getattr(mailbox, f"trip_{name}") for name in cls.base_fields}
