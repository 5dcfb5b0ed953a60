"""Making deliveries of events: each endpoint remembers up to where in the feed it has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import Min

from accounts import numbering
from accounts.models import Event
from hosting import feed, storing
from hosting.feed.catalogue import RECORDED_KINDS, type_of
from hosting.models import WebhookDelivery, WebhookEndpoint

BATCH = 1_000


def feed_all(*, at: datetime) -> int:
    """Make every delivery that is missing; returns how many were made."""
    end = numbering.number_all()
    made = 0
    while (step := _feed(end=end, at=at)) is not None:
        made += step
    return made


@transaction.atomic
def _feed(*, end: int, at: datetime) -> int | None:
    """One piece of the feed for all who have not had it; None if nobody is behind.

    Whoever waited here for another worker finds that nothing, or less, is left to do.

    Deliveries and the places up to which they were made are written together, so a worker that
    is killed has made all of them or none.
    """
    behind = WebhookEndpoint.objects.enabled().filter(position__lt=end)
    start = behind.aggregate(start=Min("position"))["start"]
    if start is None:
        return None
    upto = min(end, start + BATCH)
    locked = behind.filter(position__lt=upto).select_for_update(no_key=True)
    endpoints = list(locked.order_by("pk"))
    facts = Event.objects.after(start).filter(position__lte=upto, kind__in=RECORDED_KINDS)
    rows = list(_deliveries(facts.select_related("organisation__parent"), endpoints, at=at))
    storing.store(rows)
    WebhookEndpoint.objects.filter(pk__in=[each.pk for each in endpoints]).update(position=upto)
    return len(rows)


def _deliveries(
    facts: Iterable[Event], endpoints: list[WebhookEndpoint], *, at: datetime
) -> Iterator[WebhookDelivery]:
    by_owner: defaultdict[int, list[WebhookEndpoint]] = defaultdict(list)
    for endpoint in endpoints:
        by_owner[endpoint.organisation_id].append(endpoint)
    for fact in facts:
        name = type_of(fact.kind, fact.data) or ""
        told = [each for owner in fact.organisation.lineage for each in by_owner.get(owner, ())]
        for endpoint in told:
            if name and _is_for(endpoint, fact, name):
                yield WebhookDelivery(
                    endpoint=endpoint,
                    event=fact,
                    position=fact.position or 0,
                    event_type=name,
                    next_try_at=at,
                    created_at=at,
                )


def _is_for(endpoint: WebhookEndpoint, fact: Event, name: str) -> bool:
    if (fact.position or 0) <= endpoint.position:
        return False
    if name == feed.PING:
        return fact.subject_id == str(endpoint.uuid)
    is_test = bool(fact.organisation.is_test or fact.data.get("is_test"))
    return is_test == endpoint.is_test and (
        not endpoint.event_types or name in endpoint.event_types
    )
