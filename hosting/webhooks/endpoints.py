"""What people and keys do about webhooks: make, change, rotate, switch off and on, send again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts import notices, numbering, outbox, sealing
from accounts.access import Actor, Capability, system
from accounts.models import Event, Organisation
from hosting import feed, public_ids
from hosting.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookSecret
from hosting.webhooks import signing, targets

OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)
MOST_ENDPOINTS = 20
# Each makes the header with the signatures longer, and receivers take only so much.
MOST_SECRETS = 3
DESCRIPTION_LENGTH = 200
_EDITED = ("url", "event_types", "description")
_SENDER = system("webhooks")


class BadEndpoint(Exception):
    """What was asked for makes no endpoint. `field` names what is wrong."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class TooManyEndpoints(Exception):
    """The organisation has as many endpoints as it may have."""

    limit = MOST_ENDPOINTS
    requested = 1

    def __init__(self, message: str, *, current: int) -> None:
        super().__init__(message)
        self.current = current


class WrongState(Exception):
    """The endpoint or the delivery is not in a state from which this can be done."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """An endpoint with a new secret, which the caller shows once."""

    endpoint: WebhookEndpoint
    secret: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An address that was looked up a moment ago, and leads to nowhere that it may not."""

    url: str


def judge(url: str) -> Judged:
    """Look an address up, which takes its time, so do it before anything is locked.

    Raises `BadEndpoint`.
    """
    try:
        targets.check(url, allows_private=settings.ALLOW_PRIVATE_WEBHOOKS)
    except targets.TargetRefused as refusal:
        raise BadEndpoint(str(refusal), field="url") from refusal
    return Judged(url=url)


def make(
    *,
    actor: Actor,
    organisation: Organisation,
    url: str | Judged,
    event_types: Iterable[str] = (),
    description: str = "",
    is_test: bool = False,
    at: datetime,
) -> Made:
    """A new endpoint, told of all that happens from now on.

    Whoever has a transaction open already gives an address that was judged before it. Raises
    `BadEndpoint`, `TooManyEndpoints` or `Forbidden`.
    """
    actor.must(Capability.MANAGE_KEYS, lineage=organisation.lineage)
    endpoint = WebhookEndpoint(
        organisation=organisation,
        # Looking the name up takes its time, so no lock is held yet.
        url=_url(url),
        event_types=_types(event_types),
        description=_description(description),
        is_test=_mode(organisation, is_test=is_test),
        state_since=at,
        created_by=actor.name,
        created_at=at,
    )
    return _store(endpoint, actor=actor, at=at)


@transaction.atomic
def _store(endpoint: WebhookEndpoint, *, actor: Actor, at: datetime) -> Made:
    organisation = endpoint.organisation
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    own = WebhookEndpoint.objects.filter(organisation=organisation, is_test=endpoint.is_test)
    if (current := own.count()) >= MOST_ENDPOINTS:
        message = f"There can be {MOST_ENDPOINTS} endpoints at most. Remove one first."
        raise TooManyEndpoints(message, current=current)
    endpoint.position = numbering.number_all()
    endpoint.save(force_insert=True)
    secret = _new_secret(endpoint, at=at)
    _record("webhook_endpoint.created", endpoint, actor=actor, at=at)
    return Made(endpoint=endpoint, secret=secret)


def edit(
    *,
    actor: Actor,
    endpoint: WebhookEndpoint,
    url: str | Judged,
    event_types: Iterable[str],
    description: str,
    at: datetime,
) -> None:
    """Change where it lies and what it is told; what waits goes to the new address.

    The address is as for `make`; the one that it has already is not looked up again.
    """
    _must(actor, endpoint)
    old = {name: getattr(endpoint, name) for name in _EDITED}
    if url != endpoint.url:
        endpoint.url = _url(url)
    endpoint.event_types = _types(event_types)
    endpoint.description = _description(description)
    # Whoever mends an address does not wait for the rest of the old one.
    endpoint.rests, endpoint.rest_until = 0, None
    with transaction.atomic():
        endpoint.save(update_fields=["url", "event_types", "description", "rests", "rest_until"])
        changed = {
            name: {"old": old[name], "new": getattr(endpoint, name)}
            for name in _EDITED
            if old[name] != getattr(endpoint, name)
        }
        _record("webhook_endpoint.updated", endpoint, actor=actor, at=at, **changed)


@transaction.atomic
def rotate(
    *, actor: Actor, endpoint: WebhookEndpoint, overlap: timedelta = OVERLAP, at: datetime
) -> Made:
    """A new secret. Until `overlap` is over, deliveries are signed with the former one too.

    Of all that would sign, the newest `MOST_SECRETS` go on. To refuse instead would keep a secret
    in use that has leaked.
    """
    _must(actor, endpoint)
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        message = f"The old secret can go on for {LONGEST_OVERLAP.days} days at most."
        raise BadEndpoint(message, field="overlap")
    _lock(endpoint)
    # A secret that was replaced twice does not come back by a long overlap.
    WebhookSecret.objects.filter(endpoint=endpoint, expires_at__lte=at).delete()
    WebhookSecret.objects.filter(endpoint=endpoint, expires_at=None).update(expires_at=at + overlap)
    secret = _new_secret(endpoint, at=at)
    _retire_oldest(endpoint, at=at)
    _record("webhook_endpoint.secret_rotated", endpoint, actor=actor, at=at)
    return Made(endpoint=endpoint, secret=secret)


@transaction.atomic
def disable(*, actor: Actor, endpoint: WebhookEndpoint, at: datetime) -> None:
    """Tell it nothing more. What waits for it stays, for the day when it is enabled again."""
    _must(actor, endpoint)
    if not _disable(endpoint, cause=WebhookEndpoint.Cause.ASKED, actor=actor, at=at):
        message = "This endpoint is disabled already."
        raise WrongState(message)


@transaction.atomic
def give_up(endpoint: WebhookEndpoint, *, cause: WebhookEndpoint.Cause, at: datetime) -> None:
    """Disable an endpoint that does not work, and tell the owners."""
    if not _disable(endpoint, cause=cause, actor=_SENDER, at=at):
        return
    notices.announce(
        organisations=[endpoint.organisation],
        name="webhook_disabled",
        context={
            "organisation": endpoint.organisation.name,
            "url": endpoint.url,
            "cause": str(cause.label),
            "is_gone": cause == WebhookEndpoint.Cause.GONE,
            "path": f"/webhooks/{endpoint.uuid}/",
        },
        at=at,
    )


def _disable(
    endpoint: WebhookEndpoint, *, cause: WebhookEndpoint.Cause, actor: Actor, at: datetime
) -> bool:
    disabled = WebhookEndpoint.State.DISABLED
    enabled = WebhookEndpoint.objects.enabled().filter(pk=endpoint.pk)
    if not enabled.update(state=disabled, cause=cause, state_since=at):
        return False
    endpoint.refresh_from_db(fields=["state", "cause", "state_since"])
    _record("webhook_endpoint.disabled", endpoint, actor=actor, at=at, cause=str(cause.value))
    return True


@transaction.atomic
def enable(
    *, actor: Actor, endpoint: WebhookEndpoint, sends_missed: bool = True, at: datetime
) -> None:
    """Tell it again. What happened meanwhile is sent as well, or left out for good."""
    _must(actor, endpoint)
    _lock(endpoint)
    disabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, state=WebhookEndpoint.State.DISABLED)
    if not disabled.update(
        state=WebhookEndpoint.State.ENABLED,
        cause="",
        state_since=at,
        failing_since=None,
        rests=0,
        rest_until=None,
    ):
        message = "This endpoint is enabled already."
        raise WrongState(message)
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=WebhookDelivery.State.WAITING)
    if sends_missed:
        waiting.update(tries=0, next_try_at=at)
    else:
        waiting.update(state=WebhookDelivery.State.SKIPPED, done_at=at)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(position=numbering.number_all())
    endpoint.refresh_from_db()
    _record("webhook_endpoint.enabled", endpoint, actor=actor, at=at)


@transaction.atomic
def remove(*, actor: Actor, endpoint: WebhookEndpoint, at: datetime) -> None:
    """Forget an endpoint with its secrets and its deliveries."""
    _must(actor, endpoint)
    _record("webhook_endpoint.removed", endpoint, actor=actor, at=at)
    WebhookAttempt.objects.filter(delivery__endpoint=endpoint).delete()
    endpoint.delete()


@transaction.atomic
def ping(*, actor: Actor, endpoint: WebhookEndpoint, at: datetime) -> Event:
    """Send it a word that says nothing but that it is heard."""
    _must(actor, endpoint)
    if not endpoint.is_enabled:
        message = "This endpoint is disabled. Enable it first."
        raise WrongState(message)
    return _record(feed.PING, endpoint, actor=actor, at=at)


@transaction.atomic
def send_again(*, actor: Actor, delivery: WebhookDelivery, at: datetime) -> None:
    """Let a delivery that has come to an end start anew, with the same id and body."""
    endpoint = delivery.endpoint
    _must(actor, endpoint)
    if not endpoint.is_enabled:
        message = "This endpoint is disabled. Enable it first."
        raise WrongState(message)
    ended = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(
        state=WebhookDelivery.State.WAITING
    )
    waiting = WebhookDelivery.State.WAITING
    if not ended.update(state=waiting, tries=0, next_try_at=at, done_at=None):
        message = "This is on its way already."
        raise WrongState(message)
    delivery.refresh_from_db()
    _record(
        *("webhook_delivery.sent_again", endpoint),
        actor=actor,
        at=at,
        delivery=public_ids.encode("whd", delivery.uuid),
    )


def _new_secret(endpoint: WebhookEndpoint, *, at: datetime) -> str:
    secret = signing.new_secret()
    WebhookSecret.objects.create(endpoint=endpoint, sealed=sealing.seal(secret), created_at=at)
    return signing.shown(secret)


def _retire_oldest(endpoint: WebhookEndpoint, *, at: datetime) -> None:
    own = WebhookSecret.objects.filter(endpoint=endpoint)
    beyond = own.signing(at=at).values_list("pk", flat=True)[MOST_SECRETS:]
    own.filter(pk__in=list(beyond)).delete()


def _lock(endpoint: WebhookEndpoint) -> None:
    WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)


def _must(actor: Actor, endpoint: WebhookEndpoint) -> None:
    actor.must(Capability.MANAGE_KEYS, lineage=endpoint.organisation.lineage)


def _url(url: str | Judged) -> str:
    return (url if isinstance(url, Judged) else judge(url)).url


def _types(names: Iterable[str]) -> list[str]:
    chosen = set(names)
    for name in sorted(chosen.difference(feed.TYPES)):
        message = f"There is no event type {name[:60]!r}."
        raise BadEndpoint(message, field="event_types")
    return [name for name in feed.TYPES if name in chosen]


def _description(text: str) -> str:
    description = " ".join(text.split())
    if len(description) > DESCRIPTION_LENGTH or "\0" in description:
        message = f"Describe it in at most {DESCRIPTION_LENGTH} characters."
        raise BadEndpoint(message, field="description")
    return description


def _mode(organisation: Organisation, *, is_test: bool) -> bool:
    if organisation.is_test and not is_test:
        message = "An organisation for testing has endpoints for testing only."
        raise BadEndpoint(message, field="is_test")
    return is_test


def _record(
    kind: str, endpoint: WebhookEndpoint, *, actor: Actor, at: datetime, **data: object
) -> Event:
    fact = outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=endpoint.organisation,
        subject=endpoint.subject,
        data={"is_test": endpoint.is_test, **data},
    )
    outbox.nudge(outbox.FOLLOWERS)
    return fact
