"""Where programs want to be told of events, and how telling them went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from rest_framework import serializers

from hosting import feed, public_ids
from hosting.api import targets
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, ClearableText, Text, Whole
from hosting.api.filters import by_choice
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.problems import not_found
from hosting.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from hosting.webhooks import endpoints

_DAY_SECONDS = 86_400
# These change by themselves, so they are no part of the version.
VOLATILE = ("failing_since", "last_success_at")


class EndpointDocument(TypedDict):
    """One address that is told. An empty list of types stands for all."""

    object: Literal["webhook_endpoint"]
    id: str
    organisation_id: str
    url: str
    description: str
    event_types: list[str]
    mode: Literal["live", "test"]
    state: Literal["enabled", "disabled"]
    disabled_because: Literal["asked", "gone", "failed"] | None
    created_at: Moment
    failing_since: Moment | None
    last_success_at: Moment | None


class NewEndpointDocument(EndpointDocument):
    """The same with the secret that signs, which is shown this once."""

    secret: str


class AttemptDocument(TypedDict):
    """One try. `answer` holds its first four kibibytes."""

    at: Moment
    duration_milliseconds: int
    status: int | None
    problem: str
    request_headers: dict[str, str]
    body_sha256: str
    answer: str


class DeliveryDocument(TypedDict):
    """One event on its way to one endpoint, with each try."""

    object: Literal["webhook_delivery"]
    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    seq: int
    state: Literal["waiting", "delivered", "failed", "skipped"]
    attempt_count: int
    next_try_at: Moment | None
    created_at: Moment
    done_at: Moment | None
    attempts: list[AttemptDocument]


class EndpointBody(Body):
    """Where an endpoint lies and what it is told."""

    url = Text(max_length=500)
    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=list(feed.TYPES)),
        required=False,
        max_length=len(feed.TYPES),
    )
    description = ClearableText(max_length=endpoints.DESCRIPTION_LENGTH, required=False)


class RotateSecretBody(Body):
    """How long the old secret goes on signing beside the new one."""

    overlap_seconds = Whole(
        min_value=0,
        max_value=endpoints.LONGEST_OVERLAP.days * _DAY_SECONDS,
        required=False,
        help_text=(
            f"At most {endpoints.MOST_SECRETS} secrets sign at a time; a further rotation retires "
            "the oldest before its time."
        ),
    )


def endpoint_documents(found: Sequence[WebhookEndpoint]) -> list[EndpointDocument]:
    """Endpoints that were loaded with their organisation."""
    return [_document(each) for each in found]


def _document(endpoint: WebhookEndpoint) -> EndpointDocument:
    return {
        "object": "webhook_endpoint",
        "id": public_ids.encode("whe", endpoint.uuid),
        "organisation_id": public_ids.encode("org", endpoint.organisation.uuid),
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "mode": "test" if endpoint.is_test else "live",
        "state": "enabled" if endpoint.is_enabled else "disabled",
        "disabled_because": cast("Any", endpoint.cause or None),
        "created_at": Moment(endpoint.created_at),
        "failing_since": optional(endpoint.failing_since),
        "last_success_at": optional(endpoint.last_success_at),
    }


def delivery_documents(found: Sequence[WebhookDelivery]) -> list[DeliveryDocument]:
    """Deliveries that `_deliveries` gave."""
    names = feed.names()
    return [_delivery(each, names) for each in found]


def _delivery(delivery: WebhookDelivery, names: feed.Names) -> DeliveryDocument:
    is_waiting = delivery.state == WebhookDelivery.State.WAITING
    return {
        "object": "webhook_delivery",
        "id": public_ids.encode("whd", delivery.uuid),
        "endpoint_id": public_ids.encode("whe", delivery.endpoint.uuid),
        "event_id": names.encode(delivery.event_id),
        "event_type": delivery.event_type,
        "seq": delivery.position,
        "state": cast("Any", delivery.state),
        "attempt_count": delivery.tries,
        "next_try_at": Moment(delivery.next_try_at) if is_waiting else None,
        "created_at": Moment(delivery.created_at),
        "done_at": optional(delivery.done_at),
        "attempts": [_attempt(each) for each in delivery.attempts.all()],
    }


def _attempt(attempt: WebhookAttempt) -> AttemptDocument:
    return {
        "at": Moment(attempt.at),
        "duration_milliseconds": attempt.duration_ms,
        "status": attempt.status,
        "problem": attempt.problem,
        "request_headers": attempt.request_headers,
        "body_sha256": attempt.body_digest,
        "answer": attempt.answer,
    }


def rows(call: Call) -> QuerySet[WebhookEndpoint]:
    """The endpoints of the key's organisations, in its mode."""
    visible = WebhookEndpoint.objects.visible_to(call.actor)
    return visible.select_related("organisation__parent__parent")


def _deliveries(endpoint: WebhookEndpoint) -> QuerySet[WebhookDelivery]:
    tries = Prefetch("attempts", WebhookAttempt.objects.order_by("pk"))
    found = WebhookDelivery.objects.filter(endpoint=endpoint).select_related(
        "endpoint__organisation__parent__parent"
    )
    return found.prefetch_related(tries)


# Receivers and their secrets live by the real time, whosever they are.
ENDPOINT: Things[WebhookEndpoint] = Things(
    rows=rows,
    lives_in=lambda _endpoint: None,
    locks=WebhookEndpoint.objects.select_for_update(no_key=True),
    document=lambda _call, endpoint: _document(endpoint),
    volatile=VOLATILE,
)
ENDPOINTS: Listing[WebhookEndpoint] = Listing(shown=endpoint_documents, document=EndpointDocument)
DELIVERIES: Listing[WebhookDelivery] = Listing(
    shown=delivery_documents,
    document=DeliveryDocument,
    sorts={"seq": ("position", "pk")},
    filters={
        "state": by_choice("state", WebhookDelivery.State.values, "By state."),
        "event_type": by_choice("event_type", feed.TYPES, "Of events of one type."),
    },
)


def _look_up(call: Call) -> endpoints.Judged | None:
    """Where the address leads, if one was sent: name servers may take long to answer."""
    return endpoints.judge(call.asked["url"]) if "url" in call.asked else None


class WebhookEndpoints(Endpoint):
    """All endpoints."""

    @operation(name="list_webhook_endpoints", scope="webhooks:write", lists=ENDPOINTS)
    def get(self, call: Call) -> Answer:
        """List webhook endpoints."""
        return ENDPOINTS.page(call, rows(call))

    @operation(
        name="create_webhook_endpoint",
        scope="webhooks:write",
        also=("events:read",),
        takes=EndpointBody,
        before=_look_up,
        gives=NewEndpointDocument,
        status=201,
        problems=("limit-reached",),
    )
    def post(self, call: Call) -> Answer:
        """Make an endpoint for all that happens from now on. Its secret is shown once."""
        made = endpoints.make(
            actor=call.actor,
            organisation=targets.own_organisation(call),
            url=call.beforehand,
            event_types=call.asked.get("event_types", []),
            description=call.asked.get("description", ""),
            is_test=call.api_key.is_test,
            at=call.at,
        )
        return ENDPOINT.created(
            call, made.endpoint, below="webhook-endpoints", more={"secret": made.secret}
        )


class OneWebhookEndpoint(Endpoint):
    """One endpoint."""

    @operation(name="get_webhook_endpoint", scope="webhooks:write", gives=EndpointDocument)
    def get(self, call: Call, *, endpoint: UUID) -> Answer:
        """Show a webhook endpoint."""
        return ENDPOINT.answer(call, ENDPOINT.load(call, endpoint))

    @operation(
        name="update_webhook_endpoint",
        scope="webhooks:write",
        also=("events:read",),
        takes=EndpointBody,
        before=_look_up,
        gives=EndpointDocument,
    )
    def patch(self, call: Call, *, endpoint: UUID) -> Answer:
        """Change where an endpoint lies and what it is told."""
        found = ENDPOINT.locked(call, endpoint)
        endpoints.edit(
            actor=call.actor,
            endpoint=found,
            url=call.beforehand or found.url,
            event_types=call.asked.get("event_types", found.event_types),
            description=call.asked.get("description", found.description),
            at=call.at,
        )
        return ENDPOINT.answer(call, found)

    @operation(name="delete_webhook_endpoint", scope="webhooks:write", status=204)
    def delete(self, call: Call, *, endpoint: UUID) -> Answer:
        """Remove an endpoint with its secrets and deliveries."""
        endpoints.remove(actor=call.actor, endpoint=ENDPOINT.locked(call, endpoint), at=call.at)
        return Answer(document=None)


class WebhookSecretRotation(Endpoint):
    """A new secret."""

    @operation(
        name="rotate_webhook_secret",
        scope="webhooks:write",
        takes=RotateSecretBody,
        gives=NewEndpointDocument,
    )
    def post(self, call: Call, *, endpoint: UUID) -> Answer:
        """Replace the secret; both sign until the overlap is over.

        Only so many secrets sign at a time. Whoever rotates more often than that within an
        overlap retires the oldest of them at once.
        """
        overlap = timedelta(
            seconds=call.asked.get("overlap_seconds", endpoints.OVERLAP.total_seconds())
        )
        found = ENDPOINT.locked(call, endpoint)
        made = endpoints.rotate(actor=call.actor, endpoint=found, overlap=overlap, at=call.at)
        answer = ENDPOINT.answer(call, made.endpoint)
        return replace(answer, document={**answer.document, "secret": made.secret})


class WebhookDisabling(Endpoint):
    """Telling an endpoint nothing more."""

    @operation(
        name="disable_webhook_endpoint",
        scope="webhooks:write",
        gives=EndpointDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, endpoint: UUID) -> Answer:
        """Stop telling an endpoint. What waits stays."""
        found = ENDPOINT.locked(call, endpoint)
        endpoints.disable(actor=call.actor, endpoint=found, at=call.at)
        return ENDPOINT.answer(call, found)


class WebhookEnabling(Endpoint):
    """Telling an endpoint again."""

    @operation(
        name="enable_webhook_endpoint",
        scope="webhooks:write",
        gives=EndpointDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, endpoint: UUID) -> Answer:
        """Tell an endpoint again, also of what happened meanwhile."""
        found = ENDPOINT.locked(call, endpoint)
        endpoints.enable(actor=call.actor, endpoint=found, at=call.at)
        return ENDPOINT.answer(call, found)


class WebhookPing(Endpoint):
    """A word that says nothing but that it is heard."""

    @operation(
        name="ping_webhook_endpoint",
        scope="webhooks:write",
        gives=EndpointDocument,
        status=202,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, endpoint: UUID) -> Answer:
        """Send a ping; how it went stands among the deliveries."""
        found = ENDPOINT.locked(call, endpoint)
        endpoints.ping(actor=call.actor, endpoint=found, at=call.at)
        return ENDPOINT.answer(call, found)


class WebhookDeliveries(Endpoint):
    """What an endpoint was told."""

    @operation(name="list_webhook_deliveries", scope="webhooks:write", lists=DELIVERIES)
    def get(self, call: Call, *, endpoint: UUID) -> Answer:
        """List deliveries with each try."""
        return DELIVERIES.page(call, _deliveries(ENDPOINT.load(call, endpoint)))


class WebhookRedelivery(Endpoint):
    """A delivery once more."""

    @operation(
        name="send_webhook_delivery_again",
        scope="webhooks:write",
        gives=DeliveryDocument,
        status=202,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, endpoint: UUID, delivery: UUID) -> Answer:
        """Send a delivery again, with the same id and body."""
        of_endpoint = _deliveries(ENDPOINT.locked(call, endpoint))
        found = of_endpoint.filter(uuid=delivery).first()
        if found is None:
            raise not_found()
        endpoints.send_again(actor=call.actor, delivery=found, at=call.at)
        return Answer(document=_delivery(found, feed.names()))
