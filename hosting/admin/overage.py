"""Overage that was far above the usual, as staff look at it before it is charged."""

from __future__ import annotations

from typing import Any, cast

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
from hosting.models.overage import HeldOverageQuerySet
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer

_REFUSALS = (reviewing.AlreadyDecided, Forbidden)


_WAITING = HeldOverage.State.WAITING
_TAKEN_BACK = _("Bill taken back")


class OutcomeFilter(admin.SimpleListFilter):
    """What waits, apart from what waited on bills that were taken back."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*HeldOverage.State.choices, ("gone", _TAKEN_BACK)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == _WAITING:
            return queryset.waiting()
        if self.value() == "gone":
            return queryset.gone()
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(HeldOverage)
class HeldOverageAdmin(ActingAdmin):
    """What waits, and what became of it."""

    change_form_template = "admin/mailstore/change_form.html"
    list_display = ("customer", "month", "amount_text", "usual_text", "outcome", "held_at")
    list_select_related = ("customer", "invoice__seller__parent")
    list_filter = (OutcomeFilter,)
    search_fields = ("customer__name", "invoice__number")
    fields = (
        "customer",
        "month",
        "invoice",
        "amount_text",
        "usual_text",
        "held_at",
        "outcome",
        "decided_at",
        "decided_by",
        "reason",
    )
    csv_columns = (
        "customer__name",
        "period",
        "amount_minor",
        "usual_minor",
        "currency",
        "state",
        "is_gone",
    )
    actions = ("release", "let_go")

    def get_queryset(self, request: HttpRequest) -> QuerySet[HeldOverage]:
        return cast("HeldOverageQuerySet", super().get_queryset(request)).with_gone()

    @admin.display(description=_("state"))
    def outcome(self, held: Any) -> str:
        return str(_TAKEN_BACK if held.is_gone else held.get_state_display())

    @admin.display(description=_("month"), ordering="period")
    def month(self, held: HeldOverage) -> str:
        return f"{held.period:%Y-%m}"

    def is_offered(self, action: str, row: Any) -> bool:
        return row.state == _WAITING and not row.is_gone

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
