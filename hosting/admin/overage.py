"""Overage that was far above the usual, as staff look at it before it is charged."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from hosting.invoicing import reviewing
from hosting.models import HeldOverage
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer

_REFUSALS = (reviewing.AlreadyDecided, Forbidden)


@admin.register(HeldOverage)
class HeldOverageAdmin(ActingAdmin):
    """What waits, and what became of it."""

    change_form_template = "admin/mailstore/change_form.html"
    list_display = ("customer", "month", "amount_text", "usual_text", "state", "held_at")
    list_select_related = ("customer", "invoice__seller__parent")
    list_filter = ("state",)
    search_fields = ("customer__name", "invoice__number")
    fields = (
        "customer",
        "month",
        "invoice",
        "amount_text",
        "usual_text",
        "held_at",
        "state",
        "decided_at",
        "decided_by",
        "reason",
    )
    csv_columns = ("customer__name", "period", "amount_minor", "usual_minor", "currency", "state")
    actions = ("release", "let_go")

    @admin.display(description=_("month"), ordering="period")
    def month(self, held: HeldOverage) -> str:
        return f"{held.period:%Y-%m}"

    def is_offered(self, action: str, row: HeldOverage) -> bool:
        return row.state == HeldOverage.State.WAITING

    @admin.action(description=_("Charge it with the next bill"), permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[HeldOverage]) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset.select_related("customer", "invoice__seller__parent"),
            lambda held: reviewing.release(actor=actor, held=held, at=at),
            refusals=_REFUSALS,
            done_text=gettext("Overage that the next bill charges: %(count)s."),
        )

    @admin.action(description=_("Never charge it …"), permissions=["act"])
    def let_go(
        self, request: HttpRequest, queryset: QuerySet[HeldOverage]
    ) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset.select_related("customer", "invoice__seller__parent"),
            lambda held: reviewing.let_go(
                actor=actor, held=held, reason=form.cleaned_data["reason"], at=at
            ),
            action="let_go",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext("The bill stays as it is. This cannot be taken back."),
            done_text=gettext("Overage that is never charged: %(count)s."),
        )
