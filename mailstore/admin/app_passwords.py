"""App passwords as staff see them: who has which, and taking one away."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.staff import ReadOnlyAdmin
from mailstore import credentials
from mailstore.models import AppPassword


@admin.register(AppPassword)
class AppPasswordAdmin(ReadOnlyAdmin):
    """App passwords without anything one could sign in with."""

    list_display = ("label", "mailbox", "allows_pop", "allows_imap", "created_at", "revoked_at")
    list_select_related = ("mailbox",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("label", "mailbox__address")
    csv_columns = (
        "mailbox__address",
        "label",
        "allows_pop",
        "allows_imap",
        "uuid",
        "created_at",
        "revoked_at",
    )
    fields = (
        "label",
        "mailbox",
        "allows_pop",
        "allows_imap",
        "uuid",
        "created_at",
        "revoked_at",
    )
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Revoking needs the right to change app passwords, although no field can be changed."""
        return request.user.has_perm("mailstore.change_apppassword")

    @admin.action(description=_("Revoke at once"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[AppPassword]) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset.select_related("mailbox__organisation__parent"),
            lambda each: credentials.revoke(actor=actor, app_password=each, at=at),
            refusals=(Forbidden,),
            done_text=gettext("App passwords that are revoked now: %(count)s."),
        )
