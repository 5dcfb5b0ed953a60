"""The overview: all mailboxes at a glance."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import billing, presenting
from hosting.views import actor_of
from hosting.views import billing as bills
from mailstore.models import Alarm, Domain, Mailbox
from mailstore.models.mailboxes import MailboxQuerySet
from mailstore.quotas import THRESHOLDS

PAGE_LENGTH = 50
_SORTS = (
    ("address", gettext_lazy("Address")),
    ("newest", gettext_lazy("Newest first")),
    # By the highest warning, which is kept beside the mailbox; the use itself may not be.
    ("fullest", gettext_lazy("Fullest first")),
)


@login_required
@require_safe
@vary_on_headers("HX-Request")
def overview(request: HttpRequest) -> HttpResponse:
    """Mailboxes with use and state, in the order that was asked for."""
    actor = actor_of(request)
    asked = request.GET.dict()
    search = asked.get("q", "").strip().lower()[:254]
    protocol = asked.get("protocol", "")
    sort = asked.get("sort", "") if asked.get("sort") in dict(_SORTS) else _SORTS[0][0]
    after = asked.pop("after", "")
    standing = Mailbox.objects.visible_to(actor).standing()
    found = _filtered(
        standing.select_related("organisation__parent"), search=search, protocol=protocol
    )
    page, last = _page(found, sort=sort, after=after)
    context = {
        "mailboxes": presenting.rows(page),
        "search": search,
        "protocol_filter": protocol,
        "sort": sort,
        "sorts": _SORTS,
        "next_url": "?" + urlencode({**asked, "after": last}) if last else "",
        "first_url": "?" + urlencode(asked),
        "is_first_page": not after,
        "query": request.GET.urlencode(),
    }
    if request.htmx and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
        return render(request, "hosting/_mailbox_rows.html", context)
    totals = _totals(actor)
    context |= {
        "totals": totals,
        "attention": _attention(actor),
        "has_domain": not totals["count"] and Domain.objects.visible_to(actor).confirmed().exists(),
    }
    return render(request, "hosting/overview.html", context)


def _filtered(found: MailboxQuerySet, *, search: str, protocol: str) -> MailboxQuerySet:
    if search:
        found = found.filter(address__contains=search) | found.filter(label__icontains=search)
    if protocol in Mailbox.Protocol.values:
        found = found.filter(protocol=protocol)
    return found


def _page(found: MailboxQuerySet, *, sort: str, after: str) -> tuple[list[Mailbox], str]:
    """One page after the mailbox of that address, and the address to go on from, if any.

    Pages go by key, so that the last of many costs no more than the first.
    """
    page = list(_following(found, sort=sort, after=after)[: PAGE_LENGTH + 1])
    if len(page) <= PAGE_LENGTH:
        return page, ""
    page.pop()
    return page, page[-1].address


def _following(found: MailboxQuerySet, *, sort: str, after: str) -> MailboxQuerySet:
    last = Mailbox.objects.standing().filter(address=after)
    if sort == "newest":
        ordered = found.order_by("-pk")
        return ordered.filter(pk__lt=Subquery(last.values("pk"))) if after else ordered
    if sort == "fullest":
        ordered = found.order_by("-warned_percent", "address")
        percent = Subquery(last.values("warned_percent"))
        same = Q(warned_percent=percent, address__gt=after)
        return ordered.filter(Q(warned_percent__lt=percent) | same) if after else ordered
    return found.filter(address__gt=after).order_by("address")


def _totals(actor: Actor) -> dict[str, object]:
    standing = Mailbox.objects.visible_to(actor).standing()
    counts = dict(standing.order_by().values_list("protocol").annotate(Count("pk")))
    protocols = [
        {"name": label, "count": counts[value]}
        for value, label in Mailbox.Protocol.choices
        if value in counts
    ]
    return {"count": sum(counts.values()), "protocols": protocols, **_costs(actor)}


def _costs(actor: Actor) -> dict[str, Any]:
    """This month so far and its forecast, for whoever sees one bill.

    A reseller may have thousands of mailboxes, so its figures follow the page.
    """
    seeing = actor.only_with(Capability.SEE_BILLS)
    payers = billing.buyers().filter(pk__in=seeing.organisation_ids)[:2]
    if len(payers) != 1:
        return {}
    (payer,) = payers
    if payer.kind == Organisation.Kind.RESELLER:
        return {"summary_url": reverse("billing:summary", args=[payer.uuid]), "payer": payer}
    return {"costs": bills.summary_of(payer)}


def _attention(actor: Actor) -> list[dict[str, str]]:
    """What cannot wait, then what soon cannot."""
    standing = Mailbox.objects.visible_to(actor).standing()
    alarms = Alarm.objects.visible_to(actor).open().select_related("mailbox").order_by("at")[:5]
    full = standing.filter(full_since__isnull=False).order_by("full_since")[:5]
    lines = [
        {
            "text": _("%(address)s is locked, because much mail was removed. Was it you?")
            % {"address": alarm.mailbox.address},
            "url": reverse("alarms:detail", args=[alarm.uuid]),
            "level": "full",
        }
        for alarm in alarms
    ]
    lines += [
        {
            "text": _("%(address)s is full: new mail is put off until there is room.")
            % {"address": mailbox.address},
            "url": reverse("mailboxes:detail", args=[mailbox.uuid]),
            "level": "full",
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
        fullest = reverse("dashboard:overview") + "?sort=fullest"
        lines.append({"text": text % {"count": near}, "url": fullest, "level": "near"})
    return lines
