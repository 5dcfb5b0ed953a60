"""Mailboxes that went over to the other protocol."""

from __future__ import annotations

from django.contrib import admin

from accounts.staff import ReadOnlyAdmin
from mailstore.models import ProtocolSwitch


@admin.register(ProtocolSwitch)
class ProtocolSwitchAdmin(ReadOnlyAdmin):
    """Whether the mail server has followed, and what keeps it from it."""

    list_display = ("at", "mailbox", "protocol", "gathers", "by", "done_at", "failure")
    list_select_related = ("mailbox",)
    list_filter = (("done_at", admin.EmptyFieldListFilter), "protocol")
    indexed_filters = frozenset({"done_at__isempty"})
    search_fields = ("mailbox__address", "by")
    fields = ("mailbox", "protocol", "gathers", "at", "by", "done_at", "failure")
    csv_columns = ("mailbox__address", "protocol", "gathers", "at", "by", "done_at", "failure")
