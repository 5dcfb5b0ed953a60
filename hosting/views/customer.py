"""One customer of a seller: what it has, what it may, what happened, and opening a new one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import membership, visits
from accounts.access import Actor, Capability, Forbidden
from accounts.models import Event, Invitation, Membership, Organisation
from accounts.stepping_up import needs_fresh_proof
from hosting import (
    activity,
    billing,
    capping,
    clocks,
    history,
    limits,
    money,
    opening,
    pricing,
    reselling,
)
from hosting.forms.customers import EditForm, InviteForm, OpenForm, ReasonForm
from hosting.models import Invoice, Limits
from hosting.views import actor_of, look_of, mailbox_lists, sees_bills
from hosting.views.customers import (
    figures_of,
    load_customer,
    may_open,
    money_texts,
    must_sell,
    seen_at,
)
from mailstore import standing
from mailstore.models import Mailbox, PendingChange, Restriction
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.quotas import byte_text

_MOST_SHOWN = 20
_MOST_BILLS = 6


@login_required
@require_safe
@vary_on_headers("HX-Request")
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything about one customer on one page."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    own = _mailboxes_of(customer, actor=actor)
    here = reverse("customers:detail", args=[customer.uuid])
    context = mailbox_lists.context(request, own, url=here)
    if mailbox_lists.wants_rows(request):
        return render(request, "hosting/_mailbox_rows.html", context)
    context |= _about(customer, actor=actor, house_name=look_of(request).name) | {
        "invite_form": InviteForm()
    }
    return render(request, "hosting/customer.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def open_new(request: HttpRequest) -> HttpResponse:
    """A form for a new customer with what it begins with."""
    actor = must_sell(actor_of(request))
    if not may_open(actor):
        raise Forbidden
    form = OpenForm(request.POST or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        seller = form.cleaned_data["seller"]
        try:
            customer = opening.open_with(
                actor=actor, reseller=seller, opening=form.opening, at=timezone.now()
            )
        except reselling.Refused as refusal:
            _say(form, refusal)
        else:
            messages.success(request, _("%(name)s is open.") % {"name": customer})
            return redirect("customers:detail", uuid=customer.uuid)
    status = 422 if form.errors else 200
    return render(request, "hosting/customer_open.html", {"form": form}, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Name, reference and limits."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    _must_manage(actor, customer)
    stored = Limits.objects.filter(organisation=customer).first() or Limits()
    form = EditForm(
        request.POST or None,
        customer=customer,
        limits=stored,
        currency=_currency(actor, customer),
    )
    if request.method == "POST" and form.is_valid():
        try:
            _keep(form, customer, actor=actor)
        except reselling.Refused as refusal:
            _say(form, refusal)
        else:
            messages.success(request, _("Kept."))
            return redirect("customers:detail", uuid=uuid)
    room = _room(customer, limits.use_of(customer))
    context = {"form": form, "customer": customer, "room": room}
    status = 422 if form.errors else 200
    return render(request, "hosting/customer_edit.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suspend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Stop signing in and sending, with a reason."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    _must_manage(actor, customer)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reselling.suspend(
                actor=actor,
                customer=customer,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        except standing.Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("Suspended: nobody signs in. Mail still arrives."))
        return redirect("customers:detail", uuid=uuid)
    count = Mailbox.objects.standing().filter(organisation=customer).count()
    context = {"form": form, "customer": customer, "mailbox_count": count}
    status = 422 if form.errors else 200
    return render(request, "hosting/customer_suspend.html", context, status=status)


@login_required
@require_POST
def resume(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take back what was stopped from here."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    reason = _("%(name)s took it back.") % {"name": actor.name}
    try:
        reselling.resume(actor=actor, customer=customer, reason=reason, at=timezone.now())
    except standing.Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Resumed: signing in works again."))
    return redirect("customers:detail", uuid=uuid)


@login_required
@require_POST
@needs_fresh_proof
def invite(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let somebody own the customer, or send the letter again."""
    actor = actor_of(request)
    customer = load_customer(actor, uuid)
    _must_manage(actor, customer)
    membership.must_appoint(actor, customer, Membership.Role.OWNER)
    form = InviteForm(request.POST)
    if form.is_valid():
        email = form.cleaned_data["email"]
        try:
            reselling.invite_owner(actor=actor, customer=customer, email=email, at=timezone.now())
        except reselling.Refused as refusal:
            _say(form, refusal)
        else:
            messages.success(request, _("A letter is on its way to %(email)s.") % {"email": email})
            return redirect("customers:detail", uuid=uuid)
    own = _mailboxes_of(customer, actor=actor)
    here = reverse("customers:detail", args=[customer.uuid])
    context = mailbox_lists.context(request, own, url=here) | _about(
        customer, actor=actor, house_name=look_of(request).name
    )
    return render(request, "hosting/customer.html", {**context, "invite_form": form}, status=422)


def _mailboxes_of(customer: Organisation, *, actor: Actor) -> MailboxQuerySet:
    showing = Mailbox.objects.visible_to(actor.only_with(Capability.SEE_MAIL))
    return showing.filter(organisation=customer).standing()


def _about(customer: Organisation, *, actor: Actor, house_name: str) -> dict[str, Any]:
    """What stands beside the mailboxes."""
    figures = figures_of(customer)
    sees_money = sees_bills(actor, customer.parent) if customer.parent else False
    seller = customer.parent
    use = limits.use_of(customer)
    stops = list(Restriction.objects.standing().filter(organisation=customer).order_by("pk"))
    asked = PendingChange.objects.waiting().filter(organisation=customer, kind="close_all")
    return {
        "customer": customer,
        "seller": seller if seller and seller.kind == seller.Kind.RESELLER else None,
        "house": house_name,
        "mailbox_count": use.mailboxes,
        "shows_mailboxes": actor.can(Capability.SEE_MAIL, lineage=customer.lineage),
        "used_text": byte_text(use.stored_bytes),
        "money": money_texts(figures) if sees_money else None,
        "counted_at": _counted_at(customer),
        "seen_at": seen_at(figures),
        "may_manage": reselling.may_manage(actor, customer),
        "may_act": visits.may_begin(actor, customer),
        "restrictions": stops,
        "can_resume": any(stop.cause == Restriction.Cause.ABOVE for stop in stops),
        "waiting_close": asked.first(),
        "domains": list(customer.domains.order_by("name")[:_MOST_SHOWN]),
        "room": _room(customer, use),
        "may_invite": membership.may_appoint(actor, customer, Membership.Role.OWNER),
        "people": _people(customer),
        "invited": Invitation.objects.open().filter(organisation=customer)[:_MOST_SHOWN],
        "bills": _bills(customer, actor=actor) if sees_money else [],
        "happenings": _happenings(customer, actor=actor, house_name=house_name),
    }


def _counted_at(customer: Organisation) -> Any:
    return getattr(getattr(customer.parent, "seller_figures", None), "counted_at", None)


def _room(customer: Organisation, use: limits.Use) -> list[dict[str, Any]]:
    """Each limit beside what is used of it."""
    most = Limits.objects.filter(organisation=customer).first() or Limits()
    pairs = (
        (_("Mailboxes"), str(use.mailboxes), most.mailboxes, use.mailboxes),
        (_("Domains"), str(use.domains), most.domains, use.domains),
        (_("Mail"), byte_text(use.stored_bytes), most.stored_bytes, use.stored_bytes),
    )
    is_bytes = {_("Mail")}
    return [
        {
            "name": name,
            "used_text": text,
            "most_text": _most_text(limit, is_bytes=name in is_bytes),
            "percent": _percent(used, limit),
            "level": _level(used, limit),
        }
        for name, text, limit, used in pairs
    ]


def _most_text(limit: int | None, *, is_bytes: bool) -> str:
    if limit is None:
        return ""
    return byte_text(limit) if is_bytes else str(limit)


def _percent(used: int, limit: int | None) -> int | None:
    if limit is None:
        return None
    return min(100, used * 100 // limit) if limit else 100


def _level(used: int, limit: int | None) -> str:
    if limit is None or used * 5 < limit * 4:
        return "fine"
    return "full" if used >= limit else "near"


def _people(customer: Organisation) -> list[dict[str, Any]]:
    members = customer.memberships.select_related("user").order_by("pk")[:_MOST_SHOWN]
    return [
        {
            "name": member.user.name,
            "email": member.user.email,
            "role": member.get_role_display(),
        }
        for member in members
    ]


def _bills(customer: Organisation, *, actor: Actor) -> list[dict[str, Any]]:
    """The newest ones that the actor's organisation wrote."""
    found = Invoice.objects.visible_to(actor).filter(customer=customer).order_by("-pk")
    return [
        {
            "number": bill.number,
            "url": reverse("billing:invoice", args=[bill.uuid]),
            "period": bill.period,
            "is_credit_note": bill.kind == Invoice.Kind.CREDIT_NOTE,
            "total_text": money.minor_text(bill.total_minor, currency=bill.currency),
        }
        for bill in found[:_MOST_BILLS]
    ]


def _happenings(
    customer: Organisation, *, actor: Actor, house_name: str
) -> list[history.Happening]:
    of_customer = Event.objects.filter(organisation=customer, kind__in=history.SENTENCES)
    events = of_customer.filter(activity.readable(actor))
    return history.told_of_all(events.order_by("-seq")[:_MOST_SHOWN], house_name=house_name)


def _currency(actor: Actor, customer: Organisation) -> str:
    """What a cap is set in, for whoever may set one."""
    if not capping.may_set_above(actor, customer):
        return ""
    try:
        return billing.buyer(customer).currency
    except pricing.NoPrice:
        return ""


@transaction.atomic
def _keep(form: EditForm, customer: Organisation, *, actor: Actor) -> None:
    at, given = clocks.now_for(customer), form.cleaned_data
    # The name stands in the organisation's own row, and limits are locked before that.
    limits.lock_rows([customer])
    reselling.rename(
        actor=actor,
        customer=customer,
        name=given["name"],
        external_ref=given["external_ref"],
        at=at,
    )
    reselling.set_limits(
        actor=actor,
        customer=customer,
        mailboxes=given["mailboxes"],
        domains=given["domains"],
        stored_bytes=form.stored_bytes,
        at=at,
    )
    if form.currency and "spend_cap" in form.changed_data:
        capping.set_above(
            actor=actor,
            organisation=customer,
            cap_minor=form.cap_minor,
            currency=form.currency,
            at=at,
        )


def _must_manage(actor: Actor, customer: Organisation) -> None:
    if not reselling.may_manage(actor, customer):
        raise Forbidden


def _say(form: forms.Form, refusal: reselling.Refused) -> None:
    """Beside the field it is about, if the form has that one."""
    form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
