"""Restores and removals as staff see them: only to be read."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.staff import ReadOnlyAdmin
from mailstore import quotas, sign_ins
from mailstore.admin.work import WorkAdmin
from mailstore.models import Removal, RestoreRun


@admin.register(RestoreRun)
class RestoreRunAdmin(WorkAdmin):
    """What was brought back, or is on its way."""

    list_display = (
        "mailbox",
        "moment",
        "state",
        "messages",
        "size_text",
        "planned_by",
        "planned_at",
        "lag_text",
        "failure",
    )
    list_select_related = ("mailbox",)
    list_filter = ("state", ("moment", admin.EmptyFieldListFilter))
    search_fields = ("mailbox__address", "planned_by", "failure")
    csv_columns = (
        "uuid",
        "mailbox__address",
        "moment",
        "state",
        "messages",
        "bytes",
        "planned_at",
        "planned_by",
        "finished_at",
        "attempts",
        "failure",
    )
    fields = (
        "mailbox",
        "moment",
        "state",
        "messages",
        "size_text",
        "planned_at",
        "planned_by",
        "finished_at",
        "lag_text",
        "attempts",
        "failure",
        "uuid",
    )


@admin.register(Removal)
class RemovalAdmin(ReadOnlyAdmin):
    """What mail programs removed, as the mail server's log tells it."""

    list_display = (
        "mailbox",
        "folder",
        "service",
        "address",
        "messages",
        "size_text",
        "took_folder",
        "began_at",
        "ended_at",
    )
    list_select_related = ("mailbox",)
    list_filter = ("service", "took_folder")
    search_fields = ("mailbox__address", "folder", "address")
    csv_columns = (
        "mailbox__address",
        "folder",
        "service",
        "address",
        "device",
        "session",
        "messages",
        "bytes",
        "uids",
        "took_folder",
        "began_at",
        "ended_at",
    )
    fields = (
        "mailbox",
        "folder",
        "service",
        "address",
        "device_text",
        "session",
        "messages",
        "size_text",
        "uids",
        "took_folder",
        "began_at",
        "ended_at",
    )

    @admin.display(description=_("size"))
    def size_text(self, removal: Removal) -> str:
        return quotas.byte_text(removal.bytes)

    @admin.display(description=_("device"))
    def device_text(self, removal: Removal) -> str:
        return device_text(removal, devices=sign_ins.labels_of(removal.mailbox))


def device_text(removal: Removal, *, devices: dict[str, str]) -> str:
    """Which device a removal was made with; one that was forgotten keeps its number."""
    if removal.device == "-":
        return gettext("The mailbox password")
    return devices.get(removal.device, removal.device)
