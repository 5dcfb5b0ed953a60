"""Working deliveries off: who is due, what is sent, and what becomes of it.

An endpoint is leased as a whole, and its deliveries go out one after another in the order of the
feed. One that failed waits for its next try, and those behind it go on: so first tries arrive in
order, later ones may be overtaken, and `seq` says where each belongs. A worker that dies between
sending and writing that down leaves a delivery that is sent again, with the same id.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts import sealing, spans
from hosting import feed, storing
from hosting.feed import Names
from hosting.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookSecret
from hosting.webhooks import endpoints, feeding, posting, signing
from hosting.webhooks.posting import Courier, Outcome, Parcel

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]

WAITS: Sequence[timedelta] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Without any success for so long, an endpoint is disabled.
PATIENCE = timedelta(days=5)
# So long one delivery is tried; nobody waits longer where nothing else arrived meanwhile either.
_ALL_TRIES = sum(WAITS, timedelta())
# Far longer than a turn can take.
_LEASE = timedelta(minutes=2)
_BATCH = 100
# No turn begins later than this after the run began: the next run takes over.
_RUN = timedelta(seconds=45)
_FIRST_REST, _LONGEST_REST = timedelta(seconds=5), timedelta(minutes=5)
_GONE = 410


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Some deliveries of one leased endpoint."""

    endpoint: WebhookEndpoint
    deliveries: Sequence[WebhookDelivery]
    parcels: Sequence[Parcel]


def run(*, now: Clock) -> int:
    """Make deliveries of what is new, and send what is due; returns how many arrived."""
    feeding.feed_all(at=now())
    ends_at, arrived = now() + _RUN, 0
    under_way: dict[Future[list[Outcome]], Turn] = {}
    with Courier(allows_private=settings.ALLOW_PRIVATE_WEBHOOKS) as courier:
        while True:
            if now() < ends_at:
                for turn in claim(limit=posting.MOST_AT_ONCE - len(under_way), at=now()):
                    under_way[courier.send(turn.endpoint.url, turn.parcels)] = turn
            if not under_way:
                return arrived
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                arrived += settle(under_way.pop(future), future.result(), at=now())


def claim(*, limit: int, at: datetime) -> list[Turn]:
    """Lease endpoints that are due, those that waited longest first."""
    due = WebhookDelivery.objects.due(at=at).filter(endpoint=OuterRef("pk"))
    free = WebhookEndpoint.objects.enabled().filter(_is_free(at), Exists(due))
    waited = F("lease_until").asc(nulls_first=True)
    found = list(free.order_by(waited, "pk")[:limit]) if limit else []
    mine = [endpoint for endpoint in found if _lease(endpoint, at=at)]
    if not mine:
        return []
    named = feed.names()
    return [_turn(endpoint, named, at=at) for endpoint in mine]


def _is_free(at: datetime) -> Q:
    """Nobody is at it, nor does it rest."""
    rests = spans.lasts("rest_until", at=at, longest=_LONGEST_REST)
    return ~spans.lasts("lease_until", at=at, longest=_LEASE) & ~rests


def _lease(endpoint: WebhookEndpoint, *, at: datetime) -> bool:
    seen = WebhookEndpoint.objects.enabled().filter(pk=endpoint.pk, fence=endpoint.fence)
    if not seen.update(fence=F("fence") + 1, lease_until=at + _LEASE):
        return False
    endpoint.fence += 1
    return True


def _turn(endpoint: WebhookEndpoint, named: Names, *, at: datetime) -> Turn:
    due = WebhookDelivery.objects.due(at=at).filter(endpoint=endpoint).order_by("position")
    deliveries = list(due.select_related("event__organisation")[:_BATCH])
    keys = _keys(endpoint, at=at)
    parcels = [_parcel(delivery, named, keys) for delivery in deliveries]
    return Turn(endpoint=endpoint, deliveries=deliveries, parcels=parcels)


def _keys(endpoint: WebhookEndpoint, *, at: datetime) -> list[bytes]:
    """What opens of its secrets; signed with none, a receiver refuses what it gets."""
    keys = []
    for secret in WebhookSecret.objects.filter(endpoint=endpoint).signing(at=at):
        try:
            keys.append(sealing.open_sealed(secret.sealed))
        except sealing.CannotOpen as reason:
            logger.error("A secret of webhook %s is lost: %s", endpoint.uuid, reason)  # noqa: TRY400
    return keys


def _parcel(delivery: WebhookDelivery, named: Names, keys: Sequence[bytes]) -> Parcel:
    body = body_of(delivery, named=named)
    event_id = named.encode(delivery.event_id)

    def stamp(timestamp: int) -> Mapping[str, str]:
        signed = signing.headers(event_id=event_id, timestamp=timestamp, body=body, keys=keys)
        return {"content-type": "application/json", "user-agent": _user_agent(), **signed}

    return Parcel(key=delivery.pk, body=body, stamp=stamp)


def body_of(delivery: WebhookDelivery, *, named: Names) -> bytes:
    """What is sent, the same at every try; load `event__organisation` with the row."""
    return feed.body(feed.document(delivery.event, names=named) or {})


def _user_agent() -> str:
    name = "".join(
        letter for letter in settings.HOUSE_NAME if letter.isascii() and letter.isalnum()
    )
    return f"{name or 'Restante'}-Webhooks/1"


# What becomes of it -----------------------------------------------------------------------


@transaction.atomic
def settle(turn: Turn, outcomes: Sequence[Outcome], *, at: datetime) -> int:
    """Write down how a turn went, and let go of the endpoint; returns how many arrived.

    A worker whose lease was taken over changes nothing: whoever took it sends the same again.
    """
    endpoint = _still_ours(turn.endpoint)
    if endpoint is None:
        return 0
    by_key = {delivery.pk: delivery for delivery in turn.deliveries}
    bodies = {parcel.key: parcel.body for parcel in turn.parcels}
    storing.store([_attempt(outcome, bodies[outcome.key]) for outcome in outcomes])
    good = [outcome.key for outcome in outcomes if outcome.is_success]
    bad = [by_key[outcome.key] for outcome in outcomes if not outcome.is_success]
    _waiting(good).update(state=WebhookDelivery.State.DELIVERED, tries=F("tries") + 1, done_at=at)
    exhausted = _put_off(bad, at=at)
    _note(endpoint, outcomes, is_exhausted=exhausted, at=at)
    return len(good)


def _still_ours(endpoint: WebhookEndpoint) -> WebhookEndpoint | None:
    rows = WebhookEndpoint.objects.select_for_update(of=("self",), no_key=True)
    found = rows.select_related("organisation__parent")
    return found.filter(pk=endpoint.pk, fence=endpoint.fence).first()


def _attempt(outcome: Outcome, body: bytes) -> WebhookAttempt:
    return WebhookAttempt(
        delivery_id=outcome.key,
        at=datetime.fromtimestamp(outcome.began, tz=UTC),
        duration_ms=round(outcome.seconds * 1000),
        status=outcome.status,
        problem=outcome.problem.replace("\0", ""),
        request_headers=dict(outcome.headers),
        body_digest=sha256(body).hexdigest(),
        answer=outcome.answer.decode("utf-8", "replace").replace("\0", "\ufffd"),
    )


def _waiting(keys: Iterable[int]) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(pk__in=keys, state=WebhookDelivery.State.WAITING)


def _put_off(deliveries: Iterable[WebhookDelivery], *, at: datetime) -> bool:
    """Let each wait for its next try; returns whether one has no further try."""
    by_tries: defaultdict[int, list[int]] = defaultdict(list)
    for delivery in deliveries:
        by_tries[delivery.tries].append(delivery.pk)
    for tries, keys in by_tries.items():
        if tries < len(WAITS):
            _waiting(keys).update(tries=tries + 1, next_try_at=at + WAITS[tries])
        else:
            given_up = WebhookDelivery.State.FAILED
            _waiting(keys).update(tries=tries + 1, state=given_up, done_at=at)
    return any(tries >= len(WAITS) for tries in by_tries)


def _note(
    endpoint: WebhookEndpoint, outcomes: Sequence[Outcome], *, is_exhausted: bool, at: datetime
) -> None:
    """How the endpoint itself does: since when it fails, and whether it has to rest."""
    succeeded = any(outcome.is_success for outcome in outcomes)
    # It is over from now on, and says who has waited longest.
    endpoint.lease_until = at
    if succeeded:
        endpoint.failing_since, endpoint.last_success_at = None, at
    elif outcomes and endpoint.failing_since is None:
        endpoint.failing_since = at
    is_away = bool(outcomes) and outcomes[-1].is_unreachable
    endpoint.rests = endpoint.rests + 1 if is_away else 0
    endpoint.rest_until = at + _rest(endpoint.rests) if is_away else None
    endpoint.save(
        update_fields=["lease_until", "failing_since", "last_success_at", "rests", "rest_until"]
    )
    if any(outcome.status == _GONE for outcome in outcomes):
        endpoints.give_up(endpoint, cause=WebhookEndpoint.Cause.GONE, at=at)
    elif endpoint.failing_since and at - endpoint.failing_since >= (
        _ALL_TRIES if is_exhausted else PATIENCE
    ):
        endpoints.give_up(endpoint, cause=WebhookEndpoint.Cause.FAILED, at=at)


def _rest(rests: int) -> timedelta:
    # Beyond so many the power has long passed the longest rest.
    return min(_FIRST_REST * (1 << min(rests - 1, 10)), _LONGEST_REST)
