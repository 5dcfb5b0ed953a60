"""What sweeps could not do for somebody, as staff see it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import setbacks
from accounts.models import Setback
from mailstore.admin.acting import ActingAdmin


@admin.register(Setback)
class SetbackAdmin(ActingAdmin):
    """Work that failed for one of many, until it does not any more."""

    list_display = ("name", "work", "organisation", "failure", "failed_first_at", "next_try_at")
    list_select_related = ("organisation",)
    search_fields = ("name", "organisation__name", "failure")
    fields = (
        "work",
        "name",
        "organisation",
        "failure",
        "failed_first_at",
        "failed_at",
        "tries",
        "next_try_at",
    )
    actions = ("try_now",)

    @admin.action(description=_("Try again with the next sweep"), permissions=["act"])
    def try_now(self, request: HttpRequest, queryset: QuerySet[Setback]) -> None:
        at = timezone.now()
        self.for_each(
            request,
            queryset,
            lambda setback: setbacks.try_now(setback=setback, at=at),
            refusals=(),
            done_text=gettext("Tried again within a minute: %(count)s."),
        )
