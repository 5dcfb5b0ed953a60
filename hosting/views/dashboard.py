"""The overview: all mailboxes at a glance."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts.access import Actor
from hosting import money, presenting
from hosting.models import Contract
from hosting.views import actor_of
from mailstore.models import Mailbox
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.quotas import THRESHOLDS

PAGE_LENGTH = 50


@login_required
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Mailboxes with use and state, by address."""
    actor = actor_of(request)
    search = request.GET.get("q", "").strip().lower()[:254]
    protocol = request.GET.get("protocol", "")
    found = Mailbox.objects.visible_to(actor).standing()
    found = _filtered(found, search=search, protocol=protocol)
    page, next_query = _page(found, after=request.GET.get("after", ""), kept=request.GET.dict())
    context = {
        "mailboxes": presenting.rows(page),
        "search": search,
        "protocol_filter": protocol,
        "next_url": next_query,
        "is_filtered": bool(search or protocol),
        "is_first_page": "after" not in request.GET,
        "query": request.GET.urlencode(),
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "hosting/_mailbox_rows.html", context)
    context |= {"totals": _totals(actor), "attention": _attention(actor)}
    return render(request, "hosting/overview.html", context)


def _filtered(found: MailboxQuerySet, *, search: str, protocol: str) -> MailboxQuerySet:
    if search:
        found = found.filter(address__contains=search) | found.filter(label__icontains=search)
    if protocol in Mailbox.Protocol.values:
        found = found.filter(protocol=protocol)
    return found


def _page(found: MailboxQuerySet, *, after: str, kept: dict[str, str]) -> tuple[list[Mailbox], str]:
    """One page after an address, and the query of the next one or nothing."""
    page = list(found.filter(address__gt=after).order_by("address")[: PAGE_LENGTH + 1])
    if len(page) <= PAGE_LENGTH:
        return page, ""
    page.pop()
    return page, "?" + urlencode({**kept, "after": page[-1].address})


def _totals(actor: Actor) -> dict[str, object]:
    count = Mailbox.objects.visible_to(actor).standing().count()
    running = Contract.objects.filter(
        ends_at=None,
        mailbox__in=Mailbox.objects.visible_to(actor).standing(),
    )
    costs = running.values("plan__currency").annotate(total=Sum("plan__monthly_price"))
    cost_text = " + ".join(
        money.text(cost["total"], currency=cost["plan__currency"])
        for cost in costs.order_by("plan__currency")
    )
    return {"count": count, "cost_text": cost_text}


def _attention(actor: Actor) -> list[dict[str, str]]:
    """What cannot wait, then what soon cannot."""
    standing = Mailbox.objects.visible_to(actor).standing()
    full = standing.filter(full_since__isnull=False).order_by("full_since")[:5]
    lines = [
        {
            "text": _("%(address)s is full: new mail is put off until there is room.")
            % {"address": mailbox.address},
            "url": reverse("mailboxes:detail", args=[mailbox.uuid]),
        }
        for mailbox in full
    ]
    near = standing.filter(full_since=None, warned_percent__gte=min(THRESHOLDS)).count()
    if near:
        text = ngettext(
            "%(count)s mailbox is more than 80 %% full.",
            "%(count)s mailboxes are more than 80 %% full.",
            near,
        )
        lines.append({"text": text % {"count": near}, "url": ""})
    return lines
