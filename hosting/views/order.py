"""The order page: what is on sale, what it costs, and a new mailbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import Actor, Forbidden
from hosting import clocks, limits, ordering, pricing, profiles, selling
from hosting.forms.ordering import OrderForm
from hosting.models import Price
from hosting.views import actor_of, set_up
from hosting.views.public import bill, shown
from mailstore import provisioning
from mailstore.addresses import InvalidAddress
from mailstore.models import Domain, Mailbox


@login_required
@require_http_methods(["GET", "POST"])
def order(request: HttpRequest) -> HttpResponse:
    """Order a mailbox; its set-up page follows at once."""
    actor = actor_of(request)
    offers, at = _offers(request, actor)
    plans = {protocol: price.plan for protocol, price in offers.items()}
    initial = {
        "protocol": request.GET.get("protocol", "imap"),
        "domain": request.GET.get("domain"),
    }
    form = OrderForm(request.POST or None, actor=actor, plans=plans, initial=initial)
    if request.method == "POST" and form.is_valid():
        mailbox = _ordered(form, actor) if _is_price_seen(request, form, offers) else None
        if mailbox is not None:
            device = form.cleaned_data["device"] or _("First device")
            set_up.issue(request, actor=actor, mailbox=mailbox, label=device)
            return redirect("mailboxes:set_up", uuid=mailbox.uuid)
    context = {
        "form": form,
        "unnamed": profiles.unnamed(actor),
        **_order_context(request, offers, at=at),
    }
    return render(request, "hosting/order.html", context, status=422 if form.errors else 200)


def _is_price_seen(request: HttpRequest, form: OrderForm, offers: Mapping[str, Price]) -> bool:
    """Whether the page showed the price of what was chosen; else the form says so.

    Without scripts it shows that of what was chosen when it came, and at midnight prices change.
    """
    seen, plan = request.POST.get("seen"), form.cleaned_data["protocol"]
    prices = {str(price.pk) for price in offers.values() if price.plan == plan}
    if seen is None or seen in prices:
        return True
    message = _("The page showed another price. Below is that of what you chose; order once more.")
    form.add_error(None, message)
    return False


def _ordered(form: OrderForm, actor: Actor) -> Mailbox | None:
    asked = form.cleaned_data
    try:
        return ordering.order(
            actor=actor,
            domain=asked["domain"],
            local_part=asked["local_part"],
            plan=asked["protocol"],
            label=asked["label"],
            quota_bytes=form.quota_bytes,
            at=timezone.now(),
        )
    except InvalidAddress as refusal:
        form.add_error("local_part", refusal)
    except provisioning.AddressTaken as refusal:
        form.add_error("local_part", str(refusal))
    except selling.REFUSALS as refusal:
        form.add_error("protocol", str(refusal))
    except (provisioning.NoNewMailboxes, limits.LimitReached, Forbidden) as refusal:
        form.add_error(None, str(refusal))
    return None


def _offers(request: HttpRequest, actor: Actor) -> tuple[dict[str, Price], datetime]:
    """What is on sale for whoever owns the domain that is being chosen, and when it is there."""
    domains = Domain.objects.visible_to(actor).select_related("organisation__parent")
    asked = request.POST.get("domain") or request.GET.get("domain") or ""
    # PostgreSQL takes no text with a null character; the form refuses it later.
    known = domains.filter(name=asked.replace("\0", "")).first()
    domain = known or domains.order_by("name").first()
    seller_id = request.seller_id  # type: ignore[attr-defined]
    price_list = pricing.list_for(domain.organisation) if domain else pricing.shop_window(seller_id)
    at = clocks.now_for(domain.organisation) if domain else timezone.now()
    return ordering.offers(price_list, at=at), at


def _order_context(
    request: HttpRequest, offers: Mapping[str, Price], *, at: datetime
) -> dict[str, Any]:
    """The plans in words, and the bill of what is chosen so far."""
    asked = request.POST or request.GET
    price = offers.get(asked.get("protocol", "imap"))
    return {
        "plans": {name: shown(each) for name, each in offers.items()},
        "bill": price and bill(price, asked.get("space", ""), at=at),
        "seen": price and price.pk,
    }


@login_required
@require_safe
def order_price(request: HttpRequest) -> HttpResponse:
    """The price of what is being chosen, as a fragment."""
    offers, at = _offers(request, actor_of(request))
    context = _order_context(request, offers, at=at)
    return render(request, "hosting/_order_price.html", context)
