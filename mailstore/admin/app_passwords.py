"""App passwords as staff see them: who has which, and taking one away."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from mailstore import credentials
from mailstore.admin.acting import ActingAdmin, ConfirmForm, answer
from mailstore.models import AppPassword


@admin.register(AppPassword)
class AppPasswordAdmin(ActingAdmin):
    """App passwords without anything one could sign in with."""

    list_display = (
        "label",
        "mailbox",
        "allows_pop",
        "allows_imap",
        "allow_nets",
        "created_at",
        "revoked_at",
    )
    list_select_related = ("mailbox",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("label", "mailbox__address")
    csv_columns = (
        "mailbox__address",
        "label",
        "allows_pop",
        "allows_imap",
        "allow_nets",
        "uuid",
        "created_at",
        "revoked_at",
    )
    fields = (
        "label",
        "mailbox",
        "allows_pop",
        "allows_imap",
        "allow_nets",
        "uuid",
        "created_at",
        "revoked_at",
    )
    actions = ("revoke",)

    def is_offered(self, action: str, row: AppPassword) -> bool:
        return row.revoked_at is None

    def line(self, row: AppPassword) -> str:
        return f"{row.mailbox}: {row}"

    @admin.action(description=_("Revoke at once …"), permissions=["act"])
    def revoke(
        self, request: HttpRequest, queryset: QuerySet[AppPassword]
    ) -> HttpResponseBase | None:
        """The end of app passwords, after a look at whose they are."""
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset.select_related("mailbox__organisation__parent"),
            lambda each: credentials.revoke(actor=actor, app_password=each, at=at),
            action="revoke",
            form=ConfirmForm(answer(request)),
            refusals=(Forbidden,),
            explanation=gettext(
                "The programs that sign in with these are refused from then on, and their open "
                "sessions end. Nothing takes that back: their owners make new ones."
            ),
            done_text=gettext("App passwords that are revoked now: %(count)s."),
        )
