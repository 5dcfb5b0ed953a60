"""Warnings about space."""

from __future__ import annotations

from django.contrib import admin

from accounts.staff import ReadOnlyAdmin
from mailstore.models import QuotaWarning


@admin.register(QuotaWarning)
class QuotaWarningAdmin(ReadOnlyAdmin):
    """Who was told about space, and when."""

    list_display = ("at", "mailbox", "percent", "stored_at", "mailed_at")
    list_select_related = ("mailbox",)
    list_filter = ("percent",)
    search_fields = ("mailbox__address",)
    fields = (
        "mailbox",
        "percent",
        "used_bytes",
        "quota_bytes",
        "at",
        "stored_at",
        "mailed_at",
    )
