"""How the closes of months stand, and what is in the way of bills that are missing."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import outbox
from hosting.models import MonthClose
from mailstore.admin.acting import ActingAdmin


@admin.register(MonthClose)
class MonthCloseAdmin(ActingAdmin):
    """A row for each month; the reasons stand on its page."""

    list_display = ("month", "problem_count", "failing_since", "looked_at")
    list_filter = (("failing_since", admin.EmptyFieldListFilter),)
    fields = ("month", "problem_count", "reasons", "failing_since", "looked_at")
    csv_columns = ("period", "problem_count", "failing_since", "looked_at")
    ordering = ("-period",)
    actions = ("close_now",)

    @admin.display(description=_("month"), ordering="period")
    def month(self, row: MonthClose) -> str:
        return f"{row.period:%Y-%m}"

    @admin.display(description=_("what is in the way"))
    def reasons(self, row: MonthClose) -> str:
        return "\n".join(row.problems) or gettext("Nothing.")

    def is_offered(self, action: str, row: MonthClose) -> bool:
        return row.failing_since is not None

    @admin.action(description=_("Write the missing bills now"), permissions=["act"])
    def close_now(self, request: HttpRequest, queryset: QuerySet[MonthClose]) -> None:
        outbox.nudge("hosting.close_months")
        text = gettext("A worker writes what can be written of every month that is not complete.")
        self.message_user(request, text, messages.SUCCESS)
