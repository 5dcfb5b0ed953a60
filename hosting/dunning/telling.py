"""The letters of a run: to those who pay, and to the customers of a reseller."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts import membership, notices
from accounts.models import Notice, Organisation
from hosting.dunning import words
from hosting.dunning.debts import Debt, writers
from hosting.dunning.deciding import Decision, Move
from hosting.models import Dunning
from hosting.steps import SWITCHES, Action
from mailstore import domains


def write(
    run: Dunning,
    decision: Decision,
    *,
    debt: Debt | None,
    before: Action,
    now: Action,
    at: datetime,
) -> None:
    """One letter about one move, in the transaction that makes it.

    `before` and `now` are the stops that held before it and hold after it. What a test
    organisation owes is nothing that people are written to about; its events tell of it.
    """
    if run.customer.is_test:
        return
    if decision.move is not Move.END or before.stops:
        people = membership.payers_of(run.customer)
        inside = domains.inside(people)
        notices.announce(
            organisations=[run.customer],
            name="dunning",
            context=_context(run, decision, debt=debt, now=now),
            at=at,
            # Whoever has no other address is written to where the mail may not be read; only
            # letters that go outside count as an announcement.
            but=inside if len(inside) < len(people) else frozenset(),
            about=run.about if len(inside) < len(people) else "",
            with_billing=True,
        )
    if run.customer.kind == Organisation.Kind.RESELLER:
        _write_below(run, decision, before=before, now=now, at=at)


def told_at(run: Dunning) -> datetime | None:
    """When the run's last letter first went to an address outside of the house."""
    return told_at_of([run]).get(run.about)


def told_at_of(runs: list[Dunning]) -> dict[str, datetime]:
    """The same for several, by what their letters are about."""
    sent = Notice.objects.filter(about__in=[run.about for run in runs], sent_at__isnull=False)
    found: dict[str, datetime] = {}
    for about, sent_at in sent.values_list("about", "sent_at"):
        if sent_at is not None:
            found[about] = min(sent_at, found.get(about, sent_at))
    return found


def can_be_told(customer: Organisation) -> bool:
    """Whether anybody who pays for it has an address outside of the house."""
    people = membership.payers_of(customer)
    return len(domains.inside(people)) < len(people)


def _context(run: Dunning, decision: Decision, *, debt: Debt | None, now: Action) -> dict[str, Any]:
    names = writers([debt] if debt else [])
    context: dict[str, Any] = {
        "move": decision.move.value,
        "organisation": run.customer.name,
        "writer": names.get(debt.seller_id if debt else None, settings.HOUSE_NAME),
        "now_text": words.effect(now),
        "is_stopped": now.stops,
    }
    if debt is not None:
        context |= {
            "total_text": debt.total_text,
            "bills": [
                {
                    "number": bill.number,
                    "due_text": words.day_text(bill.due_on),
                    "open_text": bill.open_text,
                }
                for bill in debt.bills
            ],
        }
    if decision.next_step is not None and decision.next_on is not None:
        context |= {
            "next_is_stop": decision.next_step.action.stops,
            "next_on_text": words.day_text(decision.next_on),
            "next_text": words.effect(decision.next_step.action),
        }
    return context


def _write_below(
    run: Dunning, decision: Decision, *, before: Action, now: Action, at: datetime
) -> None:
    """Tell a reseller's customers what changes for them, and not what it owes."""
    context: dict[str, Any] = {"reseller": run.customer.name}
    held, holds = _below(before), _below(now)
    if held != holds:
        context["now_text"] = words.effect_below(holds)
    step = decision.next_step
    passes_on = step is not None and step.action.stops and _below(step.action) != holds
    if step is not None and decision.next_on is not None and passes_on:
        context["next_text"] = words.effect_below(_below(step.action))
        context["next_on_text"] = words.day_text(decision.next_on)
    if len(context) > 1:
        children = Organisation.objects.filter(parent=run.customer).order_by("pk")
        for child in children.iterator():
            notices.announce(
                organisations=[child],
                name="dunning_below",
                context={**context, "organisation": child.name},
                at=at,
            )


def _below(action: Action) -> Mapping[str, str]:
    return {name: way for name, way in SWITCHES[action].items() if name.endswith("_below")}
