"""News for people: one row a recipient, sent by a worker, kept until the relay took it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts import mailer, membership, outbox
from accounts.models import Notice, Organisation


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
    """Send what waits, oldest first; what the relay does not take stays for the next time."""
    sent = 0
    for notice in Notice.objects.filter(sent_at__isnull=True).order_by("id")[:limit]:
        # Whoever marks the row sends it, so that two workers do not both.
        if not Notice.objects.filter(pk=notice.pk, sent_at__isnull=True).update(sent_at=at):
            continue
        try:
            context = {**notice.context, "panel_url": settings.PANEL_URL}
            mailer.send(name=notice.name, to=notice.to, context=context)
        except mailer.MailNotSent:
            Notice.objects.filter(pk=notice.pk).update(sent_at=None)
            break
        sent += 1
    return sent
