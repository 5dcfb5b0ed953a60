"""Advances of test clocks, which their organisations ask for."""

from __future__ import annotations

from django.contrib import admin

from accounts.staff import ReadOnlyAdmin
from hosting.models import ClockAdvance


@admin.register(ClockAdvance)
class ClockAdvanceAdmin(ReadOnlyAdmin):
    """How far each has come, and what could not be done on the way."""

    list_display = (
        "organisation",
        "started_from",
        "target",
        "state",
        "done_count",
        "total_count",
        "asked_by",
        "asked_at",
    )
    list_select_related = ("organisation",)
    list_filter = ("state",)
    search_fields = ("organisation__name", "asked_by")
    fields = (*list_display, "finished_at", "problems")
    csv_columns = (
        "organisation__name",
        "started_from",
        "target",
        "state",
        "done_count",
        "total_count",
        "asked_by",
        "asked_at",
        "finished_at",
    )
