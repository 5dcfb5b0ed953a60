"""Letters to people: those that the relay did not take first, and sending them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import notices
from accounts.access import Forbidden
from accounts.models import Notice
from hosting.admin.bulk import BulkActions
from mailstore.admin.acting import ActingAdmin
from mailstore.admin.tables import Row, Table

_REFUSALS = (notices.SentAlready, Forbidden)


class SentFilter(admin.SimpleListFilter):
    """Letters by whether they left."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("failed", _("Not taken")), ("waiting", _("Waiting")), ("sent", _("Sent"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "sent":
            return queryset.filter(sent_at__isnull=False)
        if self.value() == "failed":
            return queryset.filter(sent_at__isnull=True).exclude(failure="")
        if self.value() == "waiting":
            return queryset.filter(sent_at__isnull=True, failure="")
        return queryset


@admin.register(Notice)
class NoticeAdmin(BulkActions, ActingAdmin):
    """What was written to whom, and whether the relay has it."""

    list_display = ("created_at", "to", "name", "sent_at", "failure", "tries", "next_try_at")
    list_filter = (SentFilter,)
    indexed_filters = frozenset({"state"})
    search_fields = ("to", "name")
    csv_columns = ("created_at", "to", "name", "sent_at", "failure", "tries", "next_try_at")
    fields = ("to", "name", "about", "created_at", "sent_at", "failure", "tries", "next_try_at")
    deeds: ClassVar[Mapping[str, str]] = {"send_again": "send_letters"}

    def is_offered(self, action: str, row: Notice) -> bool:
        return row.sent_at is None

    def tables(self, row: Notice) -> list[Table]:
        subject, text = _written(row)
        return [
            Table(
                title=subject,
                columns=(gettext("The letter"),),
                rows=[Row(cells=(line,)) for line in text.splitlines() if line.strip()],
                empty=gettext("It is empty."),
            )
        ]


def _written(notice: Notice) -> tuple[str, str]:
    """A letter that cannot be written is what staff look for, so it must not break the page."""
    try:
        return notices.written(notice)
    except Exception as failure:  # noqa: BLE001  # Whatever it is, they read it.
        return gettext("It cannot be written"), f"{type(failure).__name__}: {failure}"
