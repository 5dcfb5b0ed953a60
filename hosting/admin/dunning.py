"""Who does not pay, as staff see it: how much, what comes next and when, and what to do."""

from __future__ import annotations

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
from hosting import dunning
from hosting.dunning import debts, telling, words
from hosting.models import Dunning
from hosting.steps import Step, following, last_stop
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer
from mailstore.admin.tables import MOST_ROWS, Row, Table

_REFUSALS = (dunning.NotPossible, Forbidden)


class MoreTimeForm(ReasonForm):
    """Until when the debt counts as not due, and why."""

    until = forms.DateField(
        label=_("Until"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )


class OpenFilter(admin.SimpleListFilter):
    """Runs that are not over, first of all."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Not paid")), ("paused", _("Paused")), ("ended", _("Over"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "ended":
            return queryset.filter(ended_at__isnull=False)
        if self.value() == "paused":
            return queryset.open().filter(paused_at__isnull=False)
        return queryset.open() if self.value() == "open" else queryset


@admin.register(Dunning)
class DunningAdmin(ActingAdmin):
    """Past due: one row a customer and run."""

    change_form_template = "admin/mailstore/change_form.html"
    list_display = ("customer", "owed_text", "due_on", "now_text", "next_text", "note")
    list_select_related = ("customer__parent",)
    list_filter = (OpenFilter, "customer__is_test")
    indexed_filters = frozenset({"state"})
    search_fields = ("customer__name",)
    csv_columns = (
        "customer__name",
        "due_on",
        "day",
        "next_day",
        "next_on",
        "paused_at",
        "pause_reason",
        "extended_until",
        "ended_at",
    )
    fields = (
        "customer",
        "owed_text",
        "due_on",
        "now_text",
        "next_text",
        "note",
        "extended_until",
        "extension_reason",
        "paused_at",
        "pause_reason",
        "began_at",
        "ended_at",
        "uuid",
    )
    actions = ("pause", "resume", "extend")

    def complete(self, rows: list[Any]) -> None:
        """The debts of the page's customers, in a few queries for all of them."""
        found = debts.of([run.customer_id for run in rows], at=timezone.now())
        for run in rows:
            run.debt = found.get(run.customer_id)

    @admin.display(description=_("overdue"))
    def owed_text(self, run: Dunning) -> str:
        if not hasattr(run, "debt"):
            self.complete([run])
        debt: debts.Debt | None = getattr(run, "debt", None)
        return debt.total_text if debt and run.ended_at is None else gettext("nothing")

    @admin.display(description=_("now"))
    def now_text(self, run: Dunning) -> str:
        if run.ended_at is not None:
            return gettext("Over")
        return str(words.NAMES[last_stop(settings.DUNNING_STEPS, run.day)])

    @admin.display(description=_("next"))
    def next_text(self, run: Dunning) -> str:
        step = _next(run)
        if step is None or run.next_on is None:
            return "-"
        return f"{words.day_text(run.next_on)}: {words.NAMES[step.action]}"

    @admin.display(description=_("to know"))
    def note(self, run: Dunning) -> str:
        if run.ended_at is not None:
            return ""
        if run.paused_at is not None:
            return gettext("Paused: %(reason)s") % {"reason": run.pause_reason}
        if run.extended_until is not None and run.extended_until > dunning.today(timezone.now()):
            day = words.day_text(run.extended_until)
            return gettext("More time until %(day)s") % {"day": day}
        return ""

    def line(self, row: Dunning) -> str:
        return f"{row.customer}: {self.owed_text(row)}"

    def is_offered(self, action: str, row: Dunning) -> bool:
        if row.ended_at is not None:
            return False
        return {"pause": row.paused_at is None, "resume": row.paused_at is not None}.get(
            action, True
        )

    def tables(self, row: Dunning) -> list[Table]:
        return [_bills(row), _steps(row)]

    @admin.action(description=_("Pause …"), permissions=["act"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Dunning]) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda run: dunning.pause(
                actor=actor, run=run, reason=form.cleaned_data["reason"], at=at
            ),
            action="pause",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "No further letter and no further step, as while a bill is disputed. What is "
                "stopped stays stopped; to give it back, give more time."
            ),
            done_text=gettext("Customers whose reminders are paused now: %(count)s."),
        )

    @admin.action(description=_("Go on …"), permissions=["act"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Dunning]) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda run: dunning.resume(
                actor=actor, run=run, reason=form.cleaned_data["reason"], at=at
            ),
            action="resume",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext("The next step is announced anew before it is taken."),
            done_text=gettext("Customers whose reminders go on: %(count)s."),
        )

    @admin.action(description=_("Give more time …"), permissions=["act"])
    def extend(self, request: HttpRequest, queryset: QuerySet[Dunning]) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), MoreTimeForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda run: dunning.extend(
                actor=actor,
                run=run,
                until=form.cleaned_data["until"],
                reason=form.cleaned_data["reason"],
                at=at,
            ),
            action="extend",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "The debt counts as due on that day instead. What is stopped is given back at "
                "once, and mailboxes that are closing come back; on that day the reminders "
                "begin anew."
            ),
            done_text=gettext("Customers who have more time: %(count)s."),
        )


def _next(run: Dunning) -> Step | None:
    if run.next_day is None or run.ended_at is not None:
        return None
    return following(settings.DUNNING_STEPS, run.next_day - 1)


def _bills(run: Dunning) -> Table:
    debt = debts.of([run.customer_id], at=timezone.now()).get(run.customer_id)
    bills = debt.bills if debt else ()
    return Table(
        title=gettext("Bills that are overdue"),
        columns=(gettext("Number"), gettext("Due"), gettext("Open")),
        rows=[Row(cells=(bill.number, bill.due_on, bill.open_text)) for bill in bills[:MOST_ROWS]],
        empty=gettext("None."),
        has_more=len(bills) > MOST_ROWS,
    )


def _steps(run: Dunning) -> Table:
    steps = list(run.steps.order_by("-pk")[: MOST_ROWS + 1])
    told = telling.can_be_told(run.customer)
    title = gettext("What was done")
    if not told:
        title = gettext("What was done; nobody has an address outside, so nothing is stopped")
    return Table(
        title=title,
        columns=(gettext("When"), gettext("What"), gettext("Day"), gettext("Next on")),
        rows=[
            Row(cells=(step.at, step.get_kind_display(), step.day, step.next_on))
            for step in steps[:MOST_ROWS]
        ],
        empty=gettext("Nothing yet."),
        has_more=len(steps) > MOST_ROWS,
    )
