"""Staff pages for those who lost their second factor: what waits, sooner, or not at all.

Staff let somebody begin the wait on the page of the person's organisation, as its owners do.
"""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.models import FactorLoss
from accounts.second_factor import losing
from mailstore.admin.acting import ActingAdmin, ConfirmForm, ReasonForm, answer

_REFUSALS = (losing.Over, losing.NeedsReason, losing.TooShort, Forbidden)
_SHORTEST_HOURS = int(losing.SHORTEST.total_seconds() // 3600)


class SoonerForm(ReasonForm):
    """How long everybody still has to object, and how staff know the person."""

    hours = forms.IntegerField(
        label=_("Hours from the asking until it is removed"),
        min_value=_SHORTEST_HOURS,
        max_value=24 * 30,
        initial=_SHORTEST_HOURS,
    )


@admin.register(FactorLoss)
class FactorLossAdmin(ActingAdmin):
    """People who lost their second factor. A wait is made shorter with a reason, never nothing."""

    list_display = ("user", "state", "asked_by", "asked_at", "due_at", "reason")
    list_filter = ("state",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    csv_columns = ("user__email", "state", "asked_by", "reason", "asked_at", "due_at", "ended_at")
    fields = (
        "user",
        "state",
        "asked_by",
        "reason",
        "address",
        "asked_at",
        "due_at",
        "told_at",
        "ended_at",
        "ended_by",
    )
    actions = ("call_off", "hasten")

    def is_offered(self, action: str, row: FactorLoss) -> bool:
        return row.state == FactorLoss.State.WAITING

    @admin.action(description=_("Call off …"), permissions=["act"])
    def call_off(
        self, request: HttpRequest, queryset: QuerySet[FactorLoss]
    ) -> HttpResponseBase | None:
        """The factors stay."""
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset.select_related("user"),
            lambda loss: losing.call_off(loss=loss, actor=actor, at=at),
            action="call_off",
            form=ConfirmForm(answer(request)),
            refusals=_REFUSALS,
            explanation=gettext("The devices stay as they are, and everybody is told."),
            done_text=gettext("Called off: %(count)s."),
        )

    @admin.action(description=_("Make the wait shorter …"), permissions=["act"])
    def hasten(
        self, request: HttpRequest, queryset: QuerySet[FactorLoss]
    ) -> HttpResponseBase | None:
        """For whoever staff know for sure."""
        actor, at, form = self.actor(request), timezone.now(), SoonerForm(answer(request))
        return self.ask_and_do(
            request,
            queryset.select_related("user"),
            lambda loss: losing.hasten(
                actor=actor,
                loss=loss,
                due_at=max(loss.asked_at + timedelta(hours=form.cleaned_data["hours"]), at),
                reason=form.cleaned_data["reason"],
                at=at,
            ),
            action="hasten",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "The person, the owners and the seller are told at once, with your name and your "
                "reason, and can still call it off."
            ),
            done_text=gettext("Waits that are shorter now: %(count)s."),
        )
