"""Changes that cool off, as staff see them: what waits, and letting it be sooner or not at all."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from mailstore import cooling
from mailstore.admin.acting import ActingAdmin, ConfirmForm, ReasonForm, answer
from mailstore.models import PendingChange

_REFUSALS = (cooling.NotWaiting, cooling.ReasonNeeded, Forbidden)


class PendingChangePages(ActingAdmin):
    """What makes mail less safe, on its way. Who knows whose clock counts registers them."""

    list_display = (
        "sentence",
        "kind",
        "organisation",
        "state",
        "asked_by",
        "asked_at",
        "effective_at",
        "failure",
    )
    list_select_related = ("organisation__parent",)
    list_filter = ("state", "kind")
    indexed_filters = frozenset({"state__exact"})
    search_fields = (
        "sentence",
        "asked_by",
        "organisation__name",
        "domain__name",
        "mailbox__address",
    )
    csv_columns = (
        "uuid",
        "kind",
        "sentence",
        "organisation__name",
        "domain__name",
        "mailbox__address",
        "policy__slug",
        "state",
        "asked_by",
        "asked_at",
        "effective_at",
        "ended_by",
        "ended_at",
        "shortened_by",
        "shortening_reason",
        "failure",
        "what",
    )
    fields = (
        "sentence",
        "kind",
        "organisation",
        "domain",
        "mailbox",
        "policy",
        "state",
        "asked_by",
        "asked_at",
        "effective_at",
        "shortened_by",
        "shortening_reason",
        "ended_by",
        "ended_at",
        "failure",
        "what",
        "uuid",
    )
    actions = ("call_off", "shorten")

    def moment_of(self, change: PendingChange) -> datetime:
        """What time it is for whose change it is: the real one, where nobody knows of another."""
        return timezone.now()

    def is_offered(self, action: str, row: PendingChange) -> bool:
        return row.state == PendingChange.State.WAITING

    def line(self, row: PendingChange) -> str:
        asked = gettext("asked for by %(name)s, takes effect on %(when)s UTC")
        values = {"name": row.asked_by, "when": f"{row.effective_at:%-d %B %Y, %H:%M}"}
        return f"{row.sentence} ({asked % values})"

    @admin.action(description=_("Call off …"), permissions=["act"])
    def call_off(
        self, request: HttpRequest, queryset: QuerySet[PendingChange]
    ) -> HttpResponseBase | None:
        actor = self.actor(request)
        return self.ask_and_do(
            request,
            queryset,
            lambda change: cooling.call_off(actor=actor, change=change, at=self.moment_of(change)),
            action="call_off",
            form=ConfirmForm(answer(request)),
            refusals=_REFUSALS,
            explanation=gettext("Everything stays as it is. Whoever asked can ask again."),
            done_text=gettext("Changes that are called off: %(count)s."),
        )

    def has_shorten_permission(self, request: HttpRequest) -> bool:
        """Cutting a wait short cannot be undone, so it is for operators."""
        return request.user.has_perm("mailstore.shorten_pendingchange")

    @admin.action(description=_("Let take effect now …"), permissions=["shorten"])
    def shorten(
        self, request: HttpRequest, queryset: QuerySet[PendingChange]
    ) -> HttpResponseBase | None:
        actor = self.actor(request)
        form = ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda change: cooling.shorten(
                actor=actor,
                change=change,
                reason=form.cleaned_data["reason"],
                at=self.moment_of(change),
            ),
            action="shorten",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "The wait is there so that owners can object to what a thief asked for. Your "
                "name and the reason stay with the change, and in the audit trail."
            ),
            done_text=gettext("Changes that take effect now: %(count)s."),
        )
