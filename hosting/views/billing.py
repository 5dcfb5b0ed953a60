"""What an organisation pays: this month so far, its forecast, its cap, and its use as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from accounts.stepping_up import needs_fresh_proof
from hosting import (
    billing,
    capping,
    clocks,
    exporting,
    forecasting,
    itemising,
    margins,
    money,
    pricing,
)
from hosting.billing import Buyer
from hosting.forms.ordering import CapForm
from hosting.models import Contract, Limits, Spending
from hosting.periods import Period
from hosting.spending import THRESHOLDS
from hosting.views import actor_of
from hosting.views.invoices import margin_url
from mailstore.models import Mailbox

PAGE_LENGTH = 50
_MOST_MONTHS = 13


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """To the one bill that concerns a person, or the choice where there are more."""
    actor = actor_of(request)
    seeing = actor.only_with(Capability.SEE_BILLS)
    own = list(billing.buyers().filter(pk__in=seeing.organisation_ids)[:2])
    if len(own) == 1:
        return redirect("billing:detail", uuid=own[0].uuid)
    # PostgreSQL takes no text with a null character.
    search = request.GET.get("q", "").replace("\0", "").strip()[:120]
    after = request.GET.get("after", "")
    found = billing.buyers().visible_to(seeing).filter(name__icontains=search)
    if after.isdecimal() and len(after) < 19:  # noqa: PLR2004  # no key is longer
        found = found.filter(pk__gt=int(after))
    page = list(found[: PAGE_LENGTH + 1])
    context = {
        "organisations": page[:PAGE_LENGTH],
        "search": search,
        "next_after": page[PAGE_LENGTH - 1].pk if len(page) > PAGE_LENGTH else "",
        "sees_any": seeing.is_staff or bool(seeing.roles),
    }
    return render(request, "hosting/billing_home.html", context)


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """This month of one organisation, line by line."""
    actor = actor_of(request)
    organisation = load_buyer(actor, uuid)
    return _page(request, actor=actor, organisation=organisation, form=None)


@login_required
@require_POST
@needs_fresh_proof
def set_own_cap(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What the organisation allows itself a month."""
    actor = actor_of(request)
    organisation = load_buyer(actor, uuid)
    actor.must(Capability.MANAGE_BILLS, lineage=(organisation.pk,))
    return _set_cap(request, capping.set_own, actor=actor, organisation=organisation)


@login_required
@require_POST
@needs_fresh_proof
def set_cap_above(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How far those may go who stand below."""
    actor = actor_of(request)
    organisation = load_buyer(actor, uuid)
    actor.must(Capability.MANAGE_BILLS, lineage=organisation.lineage[1:])
    return _set_cap(request, capping.set_above, actor=actor, organisation=organisation)


def _set_cap(
    request: HttpRequest, verb: capping.Verb, *, actor: Actor, organisation: Organisation
) -> HttpResponse:
    form = CapForm(request.POST, currency=buyer_of(organisation).currency)
    if form.is_valid():
        try:
            verb(
                actor=actor,
                organisation=organisation,
                cap_minor=form.cap_minor,
                currency=form.currency,
                at=clocks.now_for(organisation),
            )
        except capping.CapRefused as refusal:
            form.add_error("amount", str(refusal))
        else:
            messages.success(request, _("The spend cap was changed."))
            return redirect("billing:detail", uuid=organisation.uuid)
    return _page(request, actor=actor, organisation=organisation, form=form)


@login_required
@require_safe
def usage(request: HttpRequest, uuid: UUID, month: Period) -> StreamingHttpResponse:
    """The use of a month as CSV, from which its bill can be computed."""
    organisation = load_buyer(actor_of(request), uuid)
    return usage_file(organisation, month=month)


@login_required
@require_safe
def customers(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What a reseller pays, what its customers pay it, and what is left."""
    organisation = load_buyer(actor_of(request), uuid)
    if organisation.kind != Organisation.Kind.RESELLER:
        raise Http404
    at = timezone.now()
    found = margins.margins(organisation, at=at)
    after = request.GET.get("after", "")
    page, last = _rows_after(found, after)
    context = {
        "organisation": organisation,
        "margin_url": margin_url(organisation),
        "month": Period.of(at).first_day,
        "totals": _margin_totals(found),
        "rows": page,
        "next_after": last,
        "is_first_page": not after,
    }
    return render(request, "hosting/billing_customers.html", context)


@login_required
@require_safe
def summary(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Both sums of the month, as a fragment of the overview."""
    organisation = load_buyer(actor_of(request), uuid)
    return render(request, "hosting/_costs.html", {"costs": summary_of(organisation)})


def summary_of(organisation: Organisation) -> dict[str, str]:
    """This month so far and its forecast; nothing where there are no prices."""
    try:
        buyer = billing.buyer(organisation)
    except pricing.NoPrice:
        return {}
    found = forecasting.forecast(buyer, at=clocks.now_for(organisation))
    url = reverse("billing:detail", args=[organisation.uuid])
    return {**itemising.totals(found, None), "url": url}


def load_buyer(actor: Actor, uuid: UUID) -> Organisation:
    """Who pays, if the actor may see its bills; a stranger's answers like an absent one."""
    organisation = get_object_or_404(billing.buyers().visible_to(actor), uuid=uuid)
    actor.must(Capability.SEE_BILLS, lineage=organisation.lineage)
    return organisation


def buyer_of(organisation: Organisation) -> Buyer:
    """Its terms; without a price list there is no page."""
    try:
        return billing.buyer(organisation)
    except pricing.NoPrice as missing:
        raise Http404(str(missing)) from missing


def usage_file(
    organisation: Organisation, *, month: Period, only: Mailbox | None = None
) -> StreamingHttpResponse:
    """A file that is made while it is sent."""
    at = clocks.now_for(organisation)
    if month > Period.of(at):
        raise Http404
    buyer_of(organisation)
    chosen = exporting.month(organisation, period=month)
    lines = exporting.lines(chosen, at=at, only=only.pk if only else None)
    name = exporting.file_name(chosen, only=only)
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _page(
    request: HttpRequest, *, actor: Actor, organisation: Organisation, form: CapForm | None
) -> HttpResponse:
    at = clocks.now_for(organisation)
    buyer = buyer_of(organisation)
    found = forecasting.forecast(buyer, at=at)
    after = request.GET.get("after", "")
    own, shared, last = _entries_after(found, after)
    tax = forecasting.tax_of(buyer, period=found.period)
    is_reseller = organisation.kind == Organisation.Kind.RESELLER
    context = {
        "organisation": organisation,
        "seller": pricing.seller_of(organisation) or settings.HOUSE_NAME,
        "month": found.period.first_day,
        "ends_at": found.period.ends_at,
        "totals": itemising.totals(found, tax),
        "entries": _with_links(own),
        "shared": shared,
        "corrections": itemising.corrections(found),
        "next_after": last,
        "is_first_page": not after,
        "months": _months(organisation, at=at),
        "cap": _cap(organisation, found=found, actor=actor, form=form),
        "sells": is_reseller,
        "margin_url": margin_url(organisation) if is_reseller else "",
    }
    status = 422 if form is not None else 200
    return render(request, "hosting/billing.html", context, status=status)


def _entries_after(
    found: forecasting.Forecast, after: str
) -> tuple[list[itemising.Entry], list[itemising.Entry], str]:
    """A page of mailboxes by address, what all share, and the address to go on from."""
    following = [
        line for line in found.lines if line.either.mailbox_id and line.either.address > after
    ]
    addresses = sorted({line.either.address for line in following})
    last = addresses[PAGE_LENGTH - 1] if len(addresses) > PAGE_LENGTH else ""
    own = [line for line in following if not last or line.either.address <= last]
    shared = [line for line in found.lines if line.either.mailbox_id is None]
    return itemising.entries(own), itemising.entries(shared), last


def _with_links(entries: Sequence[itemising.Entry]) -> list[itemising.Entry]:
    """Entries that lead to their mailboxes, as long as those are there."""
    keys = [each.mailbox_id for each in entries if each.mailbox_id is not None]
    uuids = dict(Mailbox.objects.standing().filter(pk__in=keys).values_list("pk", "uuid"))
    return [
        replace(each, url=reverse("billing:mailbox", args=[uuids[each.mailbox_id]]))
        if each.mailbox_id in uuids
        else each
        for each in entries
    ]


def _months(organisation: Organisation, *, at: datetime) -> list[Period]:
    """The months with something to count, newest first."""
    owners = billing.owners_of([organisation])
    contracts = Contract.objects.filter(mailbox__organisation__in=list(owners))
    first = contracts.order_by("starts_at").values_list("starts_at", flat=True).first()
    months = list(Period.of(first).until(Period.of(at))) if first else []
    return months[: -_MOST_MONTHS - 1 : -1]


def _cap(
    organisation: Organisation,
    *,
    found: forecasting.Forecast,
    actor: Actor,
    form: CapForm | None,
) -> dict[str, Any]:
    """How far the spend cap is used, who set it, and the form for whoever may set it."""
    limits = Limits.objects.filter(organisation=organisation).first() or Limits()
    told = Spending.objects.filter(organisation=organisation, period=found.period.first_day)
    told_percent = next(iter(told.values_list("told_percent", flat=True)), 0)
    currency = found.buyer.currency
    cap = limits.cap_minor
    is_above = capping.may_set_above(actor, organisation)
    present = limits.spend_cap_minor if is_above else limits.own_cap_minor
    percent = found.so_far_minor * 100 // cap if cap else 100
    return {
        "is_set": cap is not None,
        "text": "" if cap is None else money.minor_text(cap, currency=currency),
        "is_from_above": cap is not None and cap == limits.spend_cap_minor,
        "percent": percent,
        "level": "full" if percent >= THRESHOLDS[-1] else "near" if percent >= 80 else "fine",  # noqa: PLR2004
        "will_reach": cap is not None and found.whole_minor >= cap > found.so_far_minor,
        "alerts": [
            {"percent": each, "state": "told" if each <= told_percent else "waiting"}
            for each in THRESHOLDS
        ],
        "may_set_own": not is_above and capping.may_set_own(actor, organisation),
        "may_set_above": is_above,
        "form": form or CapForm(currency=currency, present_minor=present),
    }


def _margin_totals(found: margins.Margins) -> dict[str, str]:
    left = found.all_left_minor
    return {
        "wholesale_text": money.minor_text(found.wholesale_minor, currency=found.currency),
        "own_text": money.minor_text(found.own_minor, currency=found.currency),
        "retail_text": itemising.savings_text(found.retail_minor)
        or money.minor_text(0, currency=found.currency),
        "left_text": "" if left is None else money.minor_text(left, currency=found.currency),
    }


def _rows_after(found: margins.Margins, after: str) -> tuple[list[dict[str, Any]], str]:
    """A page of customers by name and key, and the key to go on from."""
    keys = [str(each.customer.uuid) for each in found.customers]
    start = keys.index(after) + 1 if after in keys else 0
    page: Sequence[margins.Margin] = found.customers[start : start + PAGE_LENGTH]
    rows = [_margin_row(found, each) for each in page]
    is_more = len(found.customers) > start + PAGE_LENGTH
    return rows, str(page[-1].customer.uuid) if is_more else ""


def _margin_row(found: margins.Margins, each: margins.Margin) -> dict[str, Any]:
    left = found.left_minor(each)
    return {
        "name": each.customer.name,
        "url": reverse("billing:detail", args=[each.customer.uuid]),
        "mailboxes": each.mailboxes,
        "wholesale_text": money.minor_text(each.wholesale_minor, currency=found.currency),
        "retail_text": money.minor_text(each.retail_minor, currency=each.currency),
        "left_text": "" if left is None else money.minor_text(left, currency=found.currency),
        "is_loss": left is not None and left < 0,
    }
