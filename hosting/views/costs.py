"""What one mailbox costs: by folder, over time, and as the other kind of mailbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import Actor, Capability
from hosting import charting, clocks, forecasting, itemising, metering, money
from hosting.billing import Buyer
from hosting.forecasting import Alternative, Forecast
from hosting.metering import DAY_SECONDS
from hosting.periods import Period
from hosting.views import actor_of, load_for_bill
from hosting.views.billing import buyer_of, usage_file
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox
from mailstore.quotas import byte_text

# The picture shows so many days, today included.
_SHOWN_DAYS = 60


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything about one mailbox's cost."""
    mailbox = _load(actor_of(request), uuid)
    at = clocks.now_for(mailbox.organisation)
    buyer = buyer_of(mailbox.organisation)
    found = forecasting.forecast(buyer, at=at, only=mailbox.pk)
    # The mail server knows the real days only.
    days, today = _days(mailbox, at=timezone.now())
    by_folder = _folders(mailbox, buyer, found, at=at)
    context = {
        "mailbox": mailbox,
        "organisation": mailbox.organisation,
        "month": found.period.first_day,
        "entries": itemising.entries(found.of_mailbox(mailbox.pk)),
        "is_shared": buyer.pools_storage,
        **by_folder,
        "offer": _offer(mailbox, by_folder["folders"]),
        "alternatives": [
            _shown(each, buyer) for each in forecasting.alternatives(mailbox, found, at=at)
        ],
        "previous_month": found.period.previous.first_day,
        "chart": _chart(mailbox, days, today=today),
        "gaps": _gaps(mailbox, found.period),
        "days_until_full": _days_until_full(mailbox, days, today=today),
        "quota_text": byte_text(mailbox.quota_bytes),
        "months": [
            month
            for month in (found.period, found.period.previous)
            if month.ends_at > mailbox.created_at
        ],
    }
    return render(request, "hosting/mailbox_costs.html", context)


@login_required
@require_safe
def usage(request: HttpRequest, uuid: UUID, month: Period) -> StreamingHttpResponse:
    """The use of one mailbox in a month as CSV."""
    mailbox = _load(actor_of(request), uuid)
    return usage_file(mailbox.organisation, month=month, only=mailbox)


def _load(actor: Actor, uuid: UUID) -> Mailbox:
    mailbox = load_for_bill(actor, uuid)
    actor.must(Capability.SEE_BILLS, lineage=mailbox.organisation.lineage)
    return mailbox


def _folders(mailbox: Mailbox, buyer: Buyer, found: Forecast, *, at: datetime) -> dict[str, Any]:
    """The classes of folders; none while the mail server cannot be asked."""
    try:
        usage = engine().folder_usage(user=mailbox.address)
    except EngineError:
        return {"folders": [], "is_unavailable": True}
    only = None if buyer.pools_storage else mailbox.pk
    (standing,) = forecasting.standings([buyer], at=at, only=only)
    folders = itemising.folders(usage, mailbox_id=mailbox.pk, found=found, standing=standing)
    return {"folders": folders, "is_unavailable": False}


def _offer(mailbox: Mailbox, folders: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The folder that nobody misses and whose mail costs most, with the way to a rule for it."""
    offered = [each for each in folders if each["is_offered"]]
    if not offered:
        return None
    best = max(offered, key=lambda each: each["bytes"])
    text = _("Clear %(folder)s now and save %(now)s this month, %(monthly)s in a full one.") % {
        "folder": best["name"],
        "now": best["now_text"],
        "monthly": best["monthly_text"],
    }
    rule = reverse("mailboxes:retention", args=[mailbox.uuid])
    return {"text": text, "url": f"{rule}?{urlencode({'folder': best['folder']})}#rule"}


def _days(mailbox: Mailbox, *, at: datetime) -> tuple[dict[int, int], int]:
    """Byte-seconds of each day since the mailbox is there, and the number of today."""
    today = metering.seconds(at) // DAY_SECONDS
    born = metering.seconds(mailbox.created_at) // DAY_SECONDS
    first = max(today - _SHOWN_DAYS + 1, born)
    return metering.by_day(mailbox.address, first, today + 1), today


def _chart(mailbox: Mailbox, days: dict[int, int], *, today: int) -> dict[str, Any]:
    born = metering.seconds(mailbox.created_at) // DAY_SECONDS
    first = min(today, max(today - _SHOWN_DAYS + 1, born))
    chart = charting.use_chart(days, first=first, last=today, day_seconds=DAY_SECONDS)
    most = max(chart.sizes, key=lambda day: chart.sizes[day])
    return {
        "points": chart.points,
        "area": chart.area,
        "width": charting.WIDTH,
        "height": charting.HEIGHT,
        "rules": [{"y": rule.y, "text": byte_text(rule.bytes)} for rule in chart.rules[::-1]],
        "first": chart.first,
        "last": chart.last,
        "first_text": byte_text(chart.sizes[chart.first]),
        "last_text": byte_text(chart.sizes[chart.last]),
        "most": most,
        "most_text": byte_text(chart.sizes[most]),
        "days": [(day, byte_text(size)) for day, size in sorted(chart.sizes.items(), reverse=True)],
    }


def _days_until_full(mailbox: Mailbox, days: dict[int, int], *, today: int) -> int | None:
    used = metering.sizes([mailbox.address]).get(mailbox.address, 0)
    return forecasting.days_until_full(
        days, today=today, used_bytes=used, quota_bytes=mailbox.quota_bytes
    )


def _gaps(mailbox: Mailbox, month: Period) -> list[dict[str, Any]]:
    """When reports of the mail server were lost in this month or the one before."""
    if mailbox.organisation.is_test:
        return []
    first, end = month.previous.start, month.end
    return [
        {
            "since": metering.moment(max(gap.since, first)),
            "until": metering.moment(min(gap.until, end)),
            "size_text": byte_text(gap.excess_bytes),
        }
        for gap in metering.gaps_of([mailbox.address]).get(mailbox.address, ())
        if gap.since < end and gap.until > first
    ]


def _shown(each: Alternative, buyer: Buyer) -> dict[str, Any]:
    currency = buyer.currency
    last = each.last_month_minor
    return {
        "protocol": each.price.plan.protocol,
        "is_now": each.is_now,
        "this_month_text": money.minor_text(each.this_month_minor, currency=currency),
        "last_month_text": "" if last is None else money.minor_text(last, currency=currency),
        "too_much_text": byte_text(each.too_much_bytes) if each.too_much_bytes else "",
        "limit_text": byte_text(each.price.plan.ceiling_bytes),
    }
