"""News for people: one row a recipient, sent by a worker, kept until the relay took it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from accounts import mailer, membership, outbox
from accounts.models import Notice, Organisation

logger = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(hours=6)


def announce(
    *,
    organisations: Iterable[Organisation],
    name: str,
    context: dict[str, Any],
    at: datetime,
    but: frozenset[str] = frozenset(),
    about: str = "",
    with_billing: bool = False,
) -> int:
    """Tell all owners of these organisations, except at the addresses in `but`.

    `context` is JSON values, without a secret; by `about` the rows are found again. Returns
    how many people are told.
    """
    people = {
        email
        for organisation in organisations
        for email in _addresses(organisation, with_billing=with_billing)
    }
    Notice.objects.bulk_create(
        Notice(to=email, name=name, context=context, about=about, created_at=at)
        for email in sorted(people - but)
    )
    outbox.nudge("accounts.send_notices")
    return len(people - but)


def _addresses(organisation: Organisation, *, with_billing: bool) -> list[str]:
    if with_billing:
        return membership.payers_of(organisation)
    return [owner.email for owner in membership.owners_of(organisation)]


def send_waiting(*, at: datetime, limit: int = 200) -> int:
    """Send what is due, oldest first; returns how many the relay took.

    A recipient whom the relay refuses waits ever longer, and holds up nobody else. Nothing is
    given up. A relay that is away leaves everything for the next time.
    """
    sent = 0
    for notice in _due(at).order_by("id")[:limit]:
        # Whoever moves the row on sends it, so that two workers do not both. If that worker
        # dies, the letter goes out later: it counts as sent only once the relay has it.
        mine = Notice.objects.filter(pk=notice.pk, sent_at__isnull=True, tries=notice.tries)
        if not mine.update(tries=notice.tries + 1, next_try_at=at + _wait_after(notice.tries)):
            continue
        try:
            context = {**notice.context, "panel_url": settings.PANEL_URL}
            mailer.send(name=notice.name, to=notice.to, context=context)
        except mailer.Refused as refusal:
            logger.warning("Notice %s is refused: %s", notice.pk, refusal)
            Notice.objects.filter(pk=notice.pk).update(failure=str(refusal)[:300])
            continue
        except mailer.MailNotSent as reason:
            logger.warning("The relay takes no mail: %s", reason)
            Notice.objects.filter(pk=notice.pk).update(tries=notice.tries, next_try_at=None)
            break
        Notice.objects.filter(pk=notice.pk).update(sent_at=at, failure="")
        sent += 1
    return sent


def refused() -> QuerySet[Notice]:
    """What the relay did not take for its recipient, and is tried again, oldest first."""
    return Notice.objects.filter(sent_at__isnull=True).exclude(failure="").order_by("id")


def waiting_since(latest: datetime) -> datetime | None:
    """When the oldest was written of those that wait since before `latest`, not being refused."""
    waiting = Notice.objects.filter(sent_at__isnull=True, failure="", created_at__lt=latest)
    oldest = waiting.order_by("created_at").first()
    return oldest.created_at if oldest else None


def _due(at: datetime) -> QuerySet[Notice]:
    """Nobody is at it and its wait is over; a wait from a clock set back is none."""
    waits = Q(next_try_at__gt=at, next_try_at__lte=at + _LONGEST_WAIT)
    return Notice.objects.filter(sent_at__isnull=True).exclude(waits)


def _wait_after(tries: int) -> timedelta:
    # Beyond so many tries the power has long passed the longest wait.
    return min(_FIRST_WAIT * (1 << min(tries, 10)), _LONGEST_WAIT)
