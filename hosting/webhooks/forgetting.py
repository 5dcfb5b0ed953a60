"""Deliveries that came to an end long ago are removed; the events they told of stay."""

from __future__ import annotations

from datetime import datetime, timedelta

from hosting.models import WebhookAttempt, WebhookDelivery

# As long as the feed promises its events.
KEPT = timedelta(days=90)
_PIECE = 1_000


def forget_old(*, at: datetime, limit: int = 100_000) -> int:
    """Remove what ended before then, in pieces, oldest first; returns how many."""
    forgotten = 0
    while forgotten < limit:
        old = WebhookDelivery.objects.filter(done_at__lt=at - KEPT).order_by("done_at")
        keys = list(old.values_list("pk", flat=True)[:_PIECE])
        if not keys:
            break
        WebhookAttempt.objects.filter(delivery__in=keys).delete()
        forgotten += WebhookDelivery.objects.filter(pk__in=keys).delete()[0]
    return forgotten
