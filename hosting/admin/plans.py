"""Plans and contracts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.staff import ReadOnlyAdmin, StaffAdmin
from hosting.models import Contract, Plan, PlanChange


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    """What is on sale. The protocol is settled once: contracts stand on it."""

    list_display = (
        "name",
        "slug",
        "protocol",
        "is_on_sale",
        "position",
    )
    list_filter = ("protocol", "is_on_sale")
    search_fields = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("slug", "protocol") if obj else ()


@admin.register(Contract)
class ContractAdmin(ReadOnlyAdmin):
    """Which mailbox was on which plan, and when."""

    list_display = ("mailbox", "plan", "starts_at", "ends_at")
    list_select_related = ("mailbox", "plan")
    list_filter = (("ends_at", admin.EmptyFieldListFilter),)
    search_fields = ("mailbox__address",)
    fields = ("mailbox", "plan", "starts_at", "ends_at")
    csv_columns = ("mailbox__address", "plan__slug", "starts_at", "ends_at")


@admin.register(PlanChange)
class PlanChangeAdmin(ReadOnlyAdmin):
    """Who let which mailbox go over to which plan."""

    list_display = ("at", "mailbox", "old_plan", "new_plan", "by", "undo_until", "undone_at")
    list_select_related = ("mailbox", "old_plan", "new_plan")
    list_filter = ("new_plan", ("undone_at", admin.EmptyFieldListFilter))
    search_fields = ("mailbox__address", "by")
    fields = (
        "mailbox",
        "old_plan",
        "new_plan",
        "old_quota_bytes",
        "old_window_days",
        "at",
        "by",
        "undo_until",
        "undone_at",
    )
    csv_columns = (
        "mailbox__address",
        "old_plan__slug",
        "new_plan__slug",
        "at",
        "by",
        "undo_until",
        "undone_at",
    )
