"""Staff let mailboxes go over to another plan, and see before what it would cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from hosting import changing, comparing
from hosting.models import Plan
from mailstore.admin.acting import Asking, answer
from mailstore.admin.tables import Row, Table
from mailstore.models import Mailbox


class ChangePlanForm(forms.Form):
    """The plan that mailboxes go over to."""

    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.on_sale())


class ChangingPlans(Asking):
    """An action on mailboxes."""

    @admin.action(description=_("Change the plan …"), permissions=["change"])
    def change_plan(
        self, request: HttpRequest, queryset: QuerySet[Mailbox]
    ) -> HttpResponseBase | None:
        """All of them or, if one cannot go over, none."""
        actor, at = self.actor(request), timezone.now()
        form = ChangePlanForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda mailbox: changing.change(
                actor=actor,
                mailbox=mailbox,
                plan=form.cleaned_data["plan"],
                wait=settings.COOLING_OFF,
                at=at,
            ),
            action="change_plan",
            form=form,
            refusals=(*comparing.REFUSALS, Forbidden),
            explanation=gettext(
                "The price changes at once, to the second, and so does sign-in where the protocol "
                "changes. What makes mail less safe waits, and the owners are told."
            ),
            done_text=gettext("Mailboxes on the new plan: %(count)s."),
            foresee=lambda rows: [_foreseen(rows, form.cleaned_data["plan"], at=at)],
        )


def _foreseen(mailboxes: Iterable[Mailbox], plan: Plan, *, at: datetime) -> Table:
    """What each mailbox would cost on another plan; the first refusal is raised instead."""
    rows = []
    for mailbox in mailboxes:
        proposal = changing.propose(mailbox=mailbox, plan=plan, at=at)
        months = (proposal.this_month, proposal.full_month)
        prices = [f"{month.before_text} → {month.after_text}" for month in months]
        waits = proposal.settled.effect.waits
        note = gettext("Some of it waits.") if waits else ""
        rows.append(Row(cells=(mailbox, proposal.settled.old_plan, *prices, note)))
    return Table(
        title=gettext("What it would cost"),
        columns=(
            gettext("Mailbox"),
            gettext("Plan now"),
            gettext("This month"),
            gettext("A full month"),
            gettext("Safety"),
        ),
        rows=rows,
        empty="",
    )
