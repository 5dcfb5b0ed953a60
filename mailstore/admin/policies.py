"""Retention policies: what plans come with. Each change goes through `cooling`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from mailstore import cooling, policy, previewing, quotas, rules, tripwire
from mailstore.admin.acting import ActingAdmin, answer
from mailstore.admin.tables import Row, Table
from mailstore.engine import engine
from mailstore.models import RetentionPolicy

POLICY_REFUSALS = (policy.RuleRefused, tripwire.ThresholdsRefused, Forbidden)
# How far a preview looks ahead, and how many mailboxes of each policy it asks.
_HORIZON = timedelta(days=60)
_MOST_ASKED = 200


class PolicyRuleForm(forms.Form):
    """A rule, with the bounds that it sets for organisations, domains and mailboxes."""

    folder = forms.CharField(
        label=_("Folder"),
        max_length=255,
        help_text=_("A name, a special use such as \\Junk, or * for every folder."),
    )
    counted_from = forms.ChoiceField(
        label=_("Counted from"),
        choices=[
            (policy.CountedFrom.ARRIVAL.value, _("arrival in the folder")),
            (policy.CountedFrom.DOWNLOAD.value, _("when a program fetched it (inbox only)")),
        ],
    )
    days = forms.IntegerField(
        label=_("Days"), required=False, help_text=_("Empty: mail stays for ever.")
    )
    floor_days = forms.IntegerField(
        label=_("Least days"), required=False, help_text=_("What others may set below.")
    )
    ceiling_days = forms.IntegerField(label=_("Most days"), required=False)

    @property
    def rule(self) -> policy.Rule:
        """The rule that was asked for."""
        values = dict(self.cleaned_data)
        counted_from = policy.CountedFrom(values.pop("counted_from"))
        return policy.Rule(counted_from=counted_from, **values)


class RuleFolderForm(forms.Form):
    """Which rule goes."""

    folder = forms.CharField(label=_("Folder"), max_length=255)


class ThresholdsForm(forms.Form):
    """When the tripwire fires."""

    messages = forms.IntegerField(label=_("Messages"), required=False)
    percent = forms.IntegerField(label=_("Percent of the mailbox"), required=False)
    minutes = forms.IntegerField(label=_("Within minutes"), required=False)


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ActingAdmin):
    """The first layer of rules, and when the tripwire fires."""

    list_display = ("name", "slug", "trip_messages", "trip_percent", "trip_minutes")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "trip_messages", "trip_percent", "trip_minutes")
    actions = ("set_rule", "remove_rule", "change_thresholds")

    def tables(self, row: RetentionPolicy) -> list[Table]:
        own = rules.own_rules(row)
        return [
            Table(
                title=gettext("Rules"),
                columns=(
                    gettext("Folder"),
                    gettext("Days"),
                    gettext("Counted from"),
                    gettext("Least days"),
                    gettext("Most days"),
                ),
                rows=[
                    Row(
                        cells=(
                            rule.folder,
                            rule.days or gettext("for ever"),
                            rule.counted_from,
                            rule.floor_days or "",
                            rule.ceiling_days or "",
                        )
                    )
                    for rule in own
                ],
                empty=gettext("None: mail stays for ever."),
            )
        ]

    @admin.action(description=_("Set a rule …"), permissions=["act"])
    def set_rule(
        self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]
    ) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        form = PolicyRuleForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda row: cooling.ask_rule(
                actor=actor,
                target=row,
                rule=form.rule,
                engine=engine(),
                wait=settings.COOLING_OFF,
                at=at,
            ),
            action="set_rule",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=slower_where_less_safe(),
            done_text=gettext("Policies whose rule is set, or waits: %(count)s."),
            foresee=lambda rows: [_outlook(row, form.rule) for row in rows],
        )

    @admin.action(description=_("Take a rule away …"), permissions=["act"])
    def remove_rule(
        self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]
    ) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        form = RuleFolderForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda row: cooling.ask_rule_removal(
                actor=actor,
                target=row,
                folder=_known(row, form.cleaned_data["folder"]),
                wait=settings.COOLING_OFF,
                at=at,
            ),
            action="remove_rule",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=slower_where_less_safe(),
            done_text=gettext("Policies whose rule is gone, or goes: %(count)s."),
        )

    @admin.action(description=_("Change the tripwire …"), permissions=["act"])
    def change_thresholds(
        self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]
    ) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        form = ThresholdsForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda row: cooling.ask_thresholds(
                actor=actor, target=row, **form.cleaned_data, wait=settings.COOLING_OFF, at=at
            ),
            action="change_thresholds",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=slower_where_less_safe(),
            done_text=gettext("Policies whose tripwire is changed, or will be: %(count)s."),
        )


def slower_where_less_safe() -> str:
    """What to expect of a change, for the page that asks."""
    text = gettext(
        "What raises safety holds at once. What lowers it takes effect after %(hours)s hours, is "
        "announced to every owner, and can be called off."
    )
    return text % {"hours": int(settings.COOLING_OFF.total_seconds() // 3600)}


def _known(row: RetentionPolicy, folder: str) -> str:
    if folder not in {rule.folder for rule in rules.own_rules(row)}:
        message = gettext("There is no rule for %(folder)s.") % {"folder": folder}
        raise policy.RuleRefused(message)
    return folder


def _outlook(row: RetentionPolicy, rule: policy.Rule) -> Table:
    """What goes from the mailboxes of a policy with and without a rule."""
    rules.check_bounds(target=row, rule=rule)
    until = timezone.now() + _HORIZON
    now, then = (
        previewing.preview(target=row, engine=engine(), until=until, rule=tried, most=_MOST_ASKED)
        for tried in (None, rule)
    )
    title = gettext("%(policy)s: what goes within %(days)s days from %(looked_at)s of %(all)s")
    values = {
        "policy": row,
        "days": _HORIZON.days,
        "looked_at": then.looked_at,
        "all": then.mailboxes,
    }
    return Table(
        title=title % values,
        columns=(
            gettext("Folder"),
            gettext("Messages"),
            gettext("Go now"),
            gettext("Would go"),
            gettext("Size"),
            gettext("First"),
            gettext("Why"),
        ),
        rows=_outlook_rows(now.folders, then.folders),
        empty=gettext("No mailbox with this policy holds any mail."),
    )


def _outlook_rows(
    now: Sequence[previewing.FolderPreview], then: Sequence[previewing.FolderPreview]
) -> list[Row]:
    goes_now = {folder.folder: folder.going for folder in now}
    return [Row(cells=_outlook_cells(folder, goes_now.get(folder.folder, 0))) for folder in then]


def _outlook_cells(folder: previewing.FolderPreview, goes_now: int) -> tuple[Any, ...]:
    first = f"{min(folder.days):%-d %b %Y}" if folder.days else ""
    size_text = quotas.byte_text(folder.going_bytes)
    return (
        folder.folder,
        folder.messages,
        goes_now,
        folder.going,
        size_text,
        first,
        folder.sentence,
    )
