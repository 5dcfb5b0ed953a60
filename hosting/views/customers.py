"""A seller's customers: the list of all, and each of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import itemising, money, searching
from hosting.models import CustomerFigures, SellerFigures
from hosting.searching import Wanted
from hosting.views import actor_of
from mailstore.addresses import shown
from mailstore.quotas import byte_text


@login_required
@require_safe
@vary_on_headers("HX-Request")
def customer_list(request: HttpRequest) -> HttpResponse:
    """All customers, by what was asked for."""
    actor = must_sell(actor_of(request))
    asked = request.GET.dict()
    after = asked.pop("after", "")
    sees_money = searching.sees_money(actor)
    wanted = Wanted.of(asked, sees_money=sees_money)
    page, last = searching.page(searching.found(actor, wanted), wanted, after=after)
    context = {
        "rows": rows(page, actor=actor),
        "wanted": wanted,
        "sees_money": sees_money,
        "shows_seller": _has_many_sellers(actor),
        "next_url": "?" + urlencode({**asked, "after": last}) if last else "",
        "first_url": "?" + urlencode(asked),
        "is_first_page": not after,
    }
    if request.htmx and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
        return render(request, "hosting/_customer_rows.html", context)
    context |= {
        "totals": _totals(actor, sees_money=sees_money),
        "may_open": may_open(actor),
        "states": Organisation.State.choices,
        "sorts": [
            (value, sort.title)
            for value, sort in searching.SORTS.items()
            if sees_money or not sort.is_money
        ],
        "query": request.GET.urlencode(),
        "is_empty": not page and not wanted.is_anything and not after,
    }
    return render(request, "hosting/customers.html", context)


def must_sell(actor: Actor) -> Actor:
    """The actor, who has customers; for everybody else there are no such pages."""
    if not (actor.is_staff or searching.sellers_of(actor)):
        raise Http404
    return actor


def load_customer(actor: Actor, uuid: UUID) -> Organisation:
    """One of the actor's customers; a stranger's answers like an absent one."""
    customers = searching.customers_of(must_sell(actor)).select_related(
        "parent__parent", "parent__seller_figures", "figures"
    )
    return get_object_or_404(customers, uuid=uuid)


def may_open(actor: Actor) -> bool:
    """Whether the pages offer what `reselling.open_customer` would not refuse."""
    opening = actor.only_with(Capability.MANAGE_PEOPLE)
    return opening.is_staff or bool(searching.sellers_of(opening))


def rows(customers: list[Organisation], *, actor: Actor) -> list[dict[str, Any]]:
    """Customers as lines of a list."""
    seeing = actor.only_with(Capability.SEE_BILLS)
    paid = searching.sellers_of(seeing)
    return [_row(each, sees_money=seeing.is_staff or each.parent_id in paid) for each in customers]


def _row(customer: Organisation, *, sees_money: bool) -> dict[str, Any]:
    figures = figures_of(customer)
    domain = getattr(customer, "first_domain", None)
    return {
        "name": customer.name,
        "url": reverse("customers:detail", args=[customer.uuid]),
        "seller": customer.parent,
        "ref": customer.external_ref,
        "domain": shown(domain) if domain else "",
        "state": customer.state,
        "state_text": customer.get_state_display(),
        "mailboxes": figures.mailboxes,
        "used_text": byte_text(figures.stored_bytes),
        "is_at_limit": figures.is_at_limit,
        "seen_at": seen_at(figures),
        **(money_texts(figures) if sees_money else {}),
    }


def figures_of(customer: Organisation) -> CustomerFigures:
    """What was counted, or nothing yet; load `figures` with the customer."""
    return getattr(customer, "figures", None) or CustomerFigures(organisation=customer)


def seen_at(figures: CustomerFigures) -> datetime | None:
    """When anybody signed in to a mailbox last, as a moment."""
    return datetime.fromtimestamp(figures.last_login, tz=UTC) if figures.last_login else None


def money_texts(figures: CustomerFigures) -> dict[str, Any]:
    """What a customer pays, costs and leaves; empty where there is no such figure."""
    left = figures.left_minor
    return {
        "retail_text": _text(figures.retail_minor, figures.currency),
        "cost_text": _text(figures.wholesale_minor, figures.wholesale_currency),
        "left_text": _text(left, figures.currency),
        "left_percent": _percent(left, figures.retail_minor),
        "is_loss": left is not None and left < 0,
    }


def _text(amount_minor: int | None, currency: str) -> str:
    if amount_minor is None or not currency:
        return ""
    return money.minor_text(amount_minor, currency=currency)


def _percent(part: int | None, whole: int) -> int | None:
    return None if part is None or whole <= 0 else part * 100 // whole


def _totals(actor: Actor, *, sees_money: bool) -> Mapping[str, Any] | None:
    """All customers of the one seller together, as they were counted last."""
    sellers = sorted(searching.sellers_of(actor))
    if actor.is_staff or len(sellers) != 1:
        return None
    found = SellerFigures.objects.filter(seller=sellers[0], counted_at__isnull=False).first()
    if found is None:
        return None
    totals = {
        "counted_at": found.counted_at,
        "customers": found.customers,
        "mailboxes": found.mailboxes,
        "used_text": byte_text(found.stored_bytes),
    }
    if not sees_money:
        return totals
    return totals | {
        "retail_text": itemising.savings_text(found.retail_minor),
        "cost_text": _text(found.wholesale_minor, found.wholesale_currency),
        "left_text": _text(found.left_minor, found.wholesale_currency),
        "is_loss": found.left_minor is not None and found.left_minor < 0,
    }


def _has_many_sellers(actor: Actor) -> bool:
    return actor.is_staff or len(searching.sellers_of(actor)) > 1
