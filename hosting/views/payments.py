"""Paying a bill by card, and what the payment provider tells us."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from hosting import branding, clocks, paying
from hosting.models import Invoice
from hosting.paying import checkouts, facts
from hosting.views import actor_of

# Stripe's messages have a few kilobytes.
_MOST_BYTES = 256 * 1024
# Who comes back from the provider's page says so in the address.
_RETURNING = "returned"


@dataclass(frozen=True, kw_only=True)
class PayState:
    """What `hosting/_pay.html` shows of a bill."""

    uuid: UUID
    number: str
    is_settled: bool
    open_text: str
    due_on: date
    is_overdue: bool
    is_offered: bool
    # Somebody has just come back from paying, and the provider has not told us yet.
    is_waiting: bool = False


def pay_state(invoice: Invoice, *, is_returning: bool = False) -> PayState | None:
    """What is left to pay of a bill, for its page; nothing for a credit note.

    Load the bill with `open_item`, or it costs a query.
    """
    if invoice.kind != Invoice.Kind.INVOICE:
        return None
    item = invoice.open_item
    return PayState(
        uuid=invoice.uuid,
        number=invoice.number,
        is_settled=item.is_settled,
        open_text=item.open_text,
        due_on=item.due_on,
        is_overdue=item.is_overdue(clocks.now_for(invoice.customer).date()),
        is_offered=not item.is_settled and checkouts.is_offered(invoice),
        is_waiting=is_returning and not item.is_settled,
    )


@login_required
@require_POST
def pay(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Lead to the provider's page for all that is open."""
    actor = actor_of(request)
    invoice = _load(actor, uuid)
    # One address wherever somebody presses the button: the provider refuses another wish under
    # the key of a page that it has made.
    panel_url = branding.of_organisation(invoice.customer_id).panel_url
    here = panel_url + reverse("billing:payment", args=[uuid])
    try:
        page = checkouts.start(
            actor=actor,
            invoice=invoice,
            success_url=f"{here}?{_RETURNING}=yes",
            cancel_url=here,
            at=timezone.now(),
        )
    except (checkouts.NotPayable, paying.ProviderError) as refusal:
        messages.error(request, str(refusal))
        return redirect("billing:payment", uuid=uuid)
    return HttpResponseRedirect(page.url)


@login_required
@require_safe
def payment(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How a bill stands: it is paid when the provider has told us, not when somebody is back."""
    invoice = _load(actor_of(request), uuid)
    state = pay_state(invoice, is_returning=_RETURNING in request.GET)
    is_part = request.htmx  # type: ignore[attr-defined]
    template = "hosting/_pay.html" if is_part else "hosting/payment.html"
    return render(request, template, {"invoice": invoice, "pay": state})


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Store what the provider tells; it proves itself by its signature, not by a cookie."""
    provider = paying.provider()
    if provider is None:
        raise Http404
    if int(request.headers.get("Content-Length") or 0) > _MOST_BYTES:
        return HttpResponse("Too large.", status=413, content_type="text/plain")
    try:
        fact = provider.read(
            body=request.body, signature=request.headers.get("Stripe-Signature", "")
        )
    except (paying.BadSignature, paying.Unreadable) as refusal:
        return HttpResponse(str(refusal), status=400, content_type="text/plain")
    facts.store(fact, at=timezone.now())
    return HttpResponse("Thank you.", content_type="text/plain")


def _load(actor: Actor, uuid: UUID) -> Invoice:
    """The bill, if the actor's role shows the bills of whom it went to."""
    visible = Invoice.objects.visible_to(actor).select_related("customer__parent", "open_item")
    invoice = get_object_or_404(visible, uuid=uuid)
    if not actor.can(Capability.SEE_BILLS, lineage=invoice.customer.lineage):
        raise Http404
    return invoice
