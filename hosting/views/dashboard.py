"""The overview: all mailboxes at a glance."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import billing
from hosting.views import actor_of, mailbox_lists, person_of
from hosting.views import billing as bills
from mailstore.models import Alarm, Domain, Mailbox
from mailstore.quotas import THRESHOLDS

# So many mailboxes are added up in less time than their page takes.
_SUMMED_AT_ONCE = 30
# Of each kind of what cannot wait.
_MOST_LINES = 5


@login_required
@require_safe
@vary_on_headers("HX-Request")
def overview(request: HttpRequest) -> HttpResponse:
    """Mailboxes with use and state, in the order that was asked for."""
    showing = actor_of(request).only_with(Capability.SEE_MAIL)
    standing = Mailbox.objects.visible_to(showing).standing()
    context = mailbox_lists.context(request, standing, url=reverse("dashboard:overview"))
    if mailbox_lists.wants_rows(request):
        return render(request, "hosting/_mailbox_rows.html", context)
    counts = _counts(showing)
    totals = _totals(counts) | _costs(request, mailboxes=sum(each.mailboxes for each in counts))
    context |= {
        "totals": totals,
        "attention": _attention(showing, counts),
        "has_domain": not totals["count"]
        and Domain.objects.visible_to(showing).confirmed().exists(),
    }
    return render(request, "hosting/overview.html", context)


class _Count(NamedTuple):
    """How many mailboxes of one protocol there are, and how many of them need a look."""

    protocol: str
    mailboxes: int
    locked: int
    full: int
    near: int


def _counts(actor: Actor) -> list[_Count]:
    """All figures of the page, in one statement."""
    standing = Mailbox.objects.visible_to(actor).standing().order_by()
    near = Q(full_since=None, warned_percent__gte=min(THRESHOLDS))
    found = standing.values("protocol").annotate(
        mailboxes=Count("pk"),
        locked=Count("pk", filter=Q(frozen_at__isnull=False)),
        full=Count("pk", filter=Q(full_since__isnull=False)),
        near=Count("pk", filter=near),
    )
    return [_Count(*row) for row in found.values_list("protocol", *_Count._fields[1:])]


def _totals(counts: list[_Count]) -> dict[str, Any]:
    by_protocol = {each.protocol: each.mailboxes for each in counts}
    protocols = [
        {"name": label, "count": by_protocol[value]}
        for value, label in Mailbox.Protocol.choices
        if value in by_protocol
    ]
    return {"count": sum(by_protocol.values()), "protocols": protocols}


def _costs(request: HttpRequest, *, mailboxes: int) -> dict[str, Any]:
    """This month so far and its forecast, for whoever sees one bill.

    Those of many mailboxes take longer to add up than the page, so they follow it.
    """
    if request.visit is not None:  # type: ignore[attr-defined]
        # A guest belongs elsewhere, and sees the one bill of its host.
        return _costs_of_host(request, mailboxes=mailboxes)
    seeing = actor_of(request).only_with(Capability.SEE_BILLS).organisation_ids
    provider = Organisation.Kind.PROVIDER
    payers = [
        each
        for each in person_of(request).belongings
        if each.organisation_id in seeing and each.kind != provider
    ]
    if len(payers) != 1:
        return {}
    (payer,) = payers
    if payer.kind == Organisation.Kind.RESELLER or mailboxes > _SUMMED_AT_ONCE:
        return _following(payer.uuid)
    organisation = billing.buyers().get(pk=payer.organisation_id)
    return {"costs": bills.summary_of(organisation)}


def _costs_of_host(request: HttpRequest, *, mailboxes: int) -> dict[str, Any]:
    visit = request.visit  # type: ignore[attr-defined]
    if not actor_of(request).can(Capability.SEE_BILLS, lineage=(visit.organisation_id,)):
        return {}
    if mailboxes > _SUMMED_AT_ONCE:
        return _following(visit.organisation.uuid)
    return {"costs": bills.summary_of(visit.organisation)}


def _following(payer: UUID) -> dict[str, Any]:
    return {"summary_url": reverse("billing:summary", args=[payer]), "payer_uuid": payer}


def _attention(actor: Actor, counts: list[_Count]) -> list[dict[str, str]]:
    """What cannot wait, then what soon cannot."""
    urgent = _urgent(actor) if any(each.locked or each.full for each in counts) else []
    locked = [mailbox for mailbox in urgent if mailbox.alarm_uuid is not None]
    full = [mailbox for mailbox in urgent if mailbox.full_since is not None]
    lines = [
        {
            "text": _("%(address)s is locked, because much mail was removed. Was it you?")
            % {"address": mailbox.address},
            "url": reverse("alarms:detail", args=[mailbox.alarm_uuid]),
            "level": "full",
        }
        for mailbox in locked[:_MOST_LINES]
    ]
    lines += [
        {
            "text": _("%(address)s is full: new mail is put off until there is room.")
            % {"address": mailbox.address},
            "url": reverse("mailboxes:detail", args=[mailbox.uuid]),
            "level": "full",
        }
        for mailbox in full[:_MOST_LINES]
    ]
    near = sum(each.near for each in counts)
    if near:
        text = ngettext(
            "%(count)s mailbox is more than 80 %% full.",
            "%(count)s mailboxes are more than 80 %% full.",
            near,
        )
        fullest = reverse("dashboard:overview") + "?sort=fullest"
        lines.append({"text": text % {"count": near}, "url": fullest, "level": "near"})
    return lines


def _urgent(actor: Actor) -> list[Any]:
    """Mailboxes that are locked, each with its alarm, and those that are full."""
    opened = Alarm.objects.open().filter(mailbox=OuterRef("pk")).order_by("at")
    standing = Mailbox.objects.visible_to(actor).standing()
    needing = standing.filter(Q(frozen_at__isnull=False) | Q(full_since__isnull=False))
    found = needing.annotate(alarm_uuid=Subquery(opened.values("uuid")[:1]))
    first = F("frozen_at").asc(nulls_last=True)
    return list(found.order_by(first, "full_since")[: 2 * _MOST_LINES])
