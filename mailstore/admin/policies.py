"""Retention policies: what plans come with. Each change goes through `cooling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from mailstore import checking, cooling, policy, previewing, quotas, rules, thresholds
from mailstore.admin.acting import ActingAdmin, answer
from mailstore.admin.tables import Row, Table
from mailstore.engine import engine
from mailstore.models import RetentionPolicy

POLICY_REFUSALS = (policy.RuleRefused, thresholds.ThresholdsRefused, Forbidden)
_MOST_DATES = 6


_NEW = "is_new_folder"


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
    is_new_folder = forms.BooleanField(
        label=_("No mailbox has the folder yet"),
        required=False,
        help_text=_("Without this, a name that nobody has is taken for a slip of the pen."),
    )

    @property
    def rule(self) -> policy.Rule:
        """The rule that was asked for."""
        values = {name: value for name, value in self.cleaned_data.items() if name != _NEW}
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
    fewest = forms.IntegerField(
        label=_("But no fewer messages than"),
        required=False,
        help_text=_("Fewer are a person at work, whatever share of a mailbox or folder they are."),
    )


class RetentionPolicyPages(ActingAdmin):
    """The first layer of rules, and when the tripwire fires; registered where prices are known."""

    list_display = ("name", "slug", "trip_messages", "trip_percent", "trip_minutes", "trip_fewest")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "trip_messages", "trip_percent", "trip_minutes", "trip_fewest")
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
                now=at,
                is_new_folder=form.cleaned_data[_NEW],
            ),
            action="set_rule",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=slower_where_less_safe(),
            done_text=gettext("Policies whose rule is set, or waits: %(count)s."),
            foresee=lambda rows: [
                self._outlook(request, row, rule=form.rule, is_new_folder=form.cleaned_data[_NEW])
                for row in rows
            ],
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
                engine=engine(),
                wait=settings.COOLING_OFF,
                at=at,
                now=at,
            ),
            action="remove_rule",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=slower_where_less_safe(),
            done_text=gettext("Policies whose rule is gone, or goes: %(count)s."),
            foresee=lambda rows: [
                self._outlook(request, row, without_folder=_known(row, form.cleaned_data["folder"]))
                for row in rows
            ],
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

    def saved_text(self, request: HttpRequest, bytes_of: Mapping[int, int]) -> str:
        """What a month costs less without so many bytes of each mailbox, by its key, in words.

        Empty where it saves nothing, or where the person may not know.
        """
        return ""

    def _outlook(self, request: HttpRequest, row: RetentionPolicy, **asked: Any) -> Table:
        """What goes from the mailboxes of a policy as it is, and with a rule or without one."""
        until = timezone.now() + timedelta(days=previewing.HORIZON_DAYS)
        now, then = checking.compare(target=row, engine=engine(), until=until, **asked)
        title = gettext("%(policy)s: what goes within %(days)s days from %(looked_at)s of %(all)s")
        values = {
            "policy": row,
            "days": previewing.HORIZON_DAYS,
            "looked_at": then.looked_at,
            "all": then.mailboxes,
        }
        stopped = gettext(", of which held or frozen: %(count)s") % {"count": then.stopped}
        return Table(
            title=title % values + (stopped if then.stopped else ""),
            note=_saving(self.saved_text(request, then.bytes_of)),
            columns=(
                gettext("Folder"),
                gettext("Messages"),
                gettext("Go now"),
                gettext("Would go"),
                gettext("Size"),
                gettext("Arrived"),
                gettext("On"),
                gettext("Why"),
            ),
            rows=_outlook_rows(now.folders, then.folders),
            empty=gettext("No mailbox with this policy holds any mail."),
        )


def _saving(amount: str) -> str:
    text = gettext("Without all that goes then, a month costs its owners %(amount)s less.")
    return text % {"amount": amount} if amount else ""


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


def _outlook_rows(
    now: Sequence[previewing.FolderPreview], then: Sequence[previewing.FolderPreview]
) -> list[Row]:
    goes_now = {folder.folder: folder.going for folder in now}
    return [Row(cells=_outlook_cells(folder, goes_now.get(folder.folder, 0))) for folder in then]


def _outlook_cells(folder: previewing.FolderPreview, goes_now: int) -> tuple[Any, ...]:
    days = sorted(folder.days)
    dates = ", ".join(f"{day:%-d %b %Y} ({folder.days[day]})" for day in days[:_MOST_DATES])
    arrived = ""
    if folder.oldest is not None and folder.newest is not None:
        arrived = f"{folder.oldest:%-d %b %Y} to {folder.newest:%-d %b %Y}"
    return (
        folder.folder,
        folder.messages,
        goes_now,
        folder.going,
        quotas.byte_text(folder.going_bytes),
        arrived,
        f"{dates}, …" if len(days) > _MOST_DATES else dates,
        folder.sentence,
    )
