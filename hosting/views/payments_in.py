"""What a reseller notes of its customers' payments: it comes on its account, not through us."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, Capability
from accounts.stepping_up import needs_fresh_proof
from hosting import clocks, ledger
from hosting.forms.payments import ReceivedForm, TakeBackForm
from hosting.models import Invoice, LedgerEntry, Payment
from hosting.views import actor_of

_MOST_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What a payment took off a bill."""

    payment: Payment
    amount_text: str
    by: str
    # Only what the seller noted itself; all else the house knows from elsewhere.
    can_be_taken_back: bool


def keeps_books(actor: Actor, invoice: Invoice) -> bool:
    """Whether the actor is of the reseller that the bill is to be paid to."""
    own = actor.only_with(Capability.SEE_BILLS).organisation_ids
    return invoice.kind == Invoice.Kind.INVOICE and invoice.seller_id in own


def settlements(invoice: Invoice) -> list[Settlement]:
    """The payments that settle a bill now, in the order in which they were matched."""
    standing = LedgerEntry.objects.filter(
        invoice=invoice, kind=LedgerEntry.Kind.MATCHED, reverses=None, reversed_by=None
    ).select_related("payment")
    return [
        Settlement(
            payment=entry.payment,
            amount_text=entry.amount_text,
            by=entry.actor_name,
            can_be_taken_back=entry.payment.source == Payment.Source.SELLER,
        )
        for entry in standing.order_by("pk")[:_MOST_SHOWN]
        if entry.payment is not None
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def record(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Money that came for a bill: a form, which settles the bill."""
    actor = actor_of(request)
    invoice = _load(actor, uuid)
    at = clocks.now_for(invoice.customer)
    form = ReceivedForm(request.POST or None, item=invoice.open_item, today=at.date())
    if request.method == "POST" and form.is_valid():
        try:
            payment = ledger.take(
                actor=actor,
                invoice=invoice,
                amount_minor=form.cleaned_data["amount"],
                received_on=form.cleaned_data["received_on"],
                reference=form.cleaned_data["reference"],
                external_id=form.external_id,
                at=at,
            )
        except ledger.LedgerRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _taken(payment))
            return redirect("billing:invoice", uuid=uuid)
    context = {"invoice": invoice, "item": invoice.open_item, "form": form}
    status = 422 if form.errors else 200
    return render(request, "hosting/payment_record.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def take_back(request: HttpRequest, uuid: UUID, payment_uuid: UUID) -> HttpResponse:
    """The record of a payment that never came, with a reason."""
    actor = actor_of(request)
    invoice = _load(actor, uuid)
    own = Payment.objects.filter(seller=invoice.seller, source=Payment.Source.SELLER)
    payment = get_object_or_404(own.filter(entries__invoice=invoice).distinct(), uuid=payment_uuid)
    form = TakeBackForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            ledger.take_back_whole(
                actor=actor,
                payment=payment,
                reason=form.cleaned_data["reason"],
                at=clocks.now_for(invoice.customer),
            )
        except ledger.LedgerRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Taken back. What it had settled is to pay again."))
            return redirect("billing:invoice", uuid=uuid)
    context = {"invoice": invoice, "payment": payment, "form": form}
    status = 422 if form.errors else 200
    return render(request, "hosting/payment_take_back.html", context, status=status)


def _taken(payment: Payment) -> str:
    if not payment.free_minor:
        return _("The payment is recorded.")
    text = _("The payment is recorded. %(free)s of it is credit, and settles what comes next.")
    return text % {"free": payment.free_text}


def _load(actor: Actor, uuid: UUID) -> Invoice:
    """A bill of the actor's own reseller; for anybody else it is absent."""
    own = actor.only_with(Capability.SEE_BILLS).organisation_ids
    bills = Invoice.objects.visible_to(actor).filter(kind=Invoice.Kind.INVOICE, seller__in=own)
    joined = bills.select_related("customer__parent", "seller__parent", "open_item")
    return get_object_or_404(joined, uuid=uuid)
