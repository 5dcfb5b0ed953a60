"""Whom programs outside want to be told of events, and how telling them went.

The row's state is the queue: an endpoint is leased as a whole, so that what it is told arrives
in order, and its deliveries say which of them are due.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Event, Organisation, below

# As much of an address as an event takes.
_LONGEST_SUBJECT = 320


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    """Which endpoints an actor may know of, and which are told of events."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of the organisations in the actor's tree; a key knows those of its own mode."""
        mine = self.filter(below(actor.in_any_mode(), "organisation__"))
        return mine if actor.is_test is None else mine.filter(is_test=actor.is_test)

    def enabled(self) -> Self:
        """Those that are told."""
        return self.filter(state=WebhookEndpoint.State.ENABLED)

    def given_up(self) -> Self:
        """Those that were switched off because they do not work."""
        causes = (WebhookEndpoint.Cause.GONE, WebhookEndpoint.Cause.FAILED)
        return self.filter(state=WebhookEndpoint.State.DISABLED, cause__in=causes)


class WebhookEndpoint(models.Model):
    """An address outside that is told of what happens in an organisation and below it."""

    class State(models.TextChoices):
        ENABLED = "enabled", _("Enabled")
        DISABLED = "disabled", _("Disabled")

    class Cause(models.TextChoices):
        ASKED = "asked", _("Somebody switched it off")
        GONE = "gone", _("It answered that it is gone")
        FAILED = "failed", _("It failed for too long")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="webhook_endpoints",
    )
    url = models.URLField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True)
    # An empty list stands for every type there is, and those to come.
    event_types = models.JSONField(_("event types"), default=list)
    is_test = models.BooleanField(_("for testing"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.ENABLED)
    # Why it is disabled; empty while it is not.
    cause = models.CharField(_("cause"), max_length=6, choices=Cause, blank=True)
    state_since = models.DateTimeField(_("in this state since"))
    # Up to where in the feed its deliveries have been made.
    position = models.BigIntegerField(default=0, editable=False)
    # Since when nothing it was told has arrived; null while things do.
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    last_success_at = models.DateTimeField(_("last success"), null=True, editable=False)
    # While it cannot be reached at all, it is left alone until then, for ever longer.
    rests = models.PositiveIntegerField(default=0, editable=False)
    rest_until = models.DateTimeField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    fence = models.PositiveIntegerField(default=0, editable=False)
    created_by = models.CharField(_("made by"), max_length=254, editable=False)
    created_at = models.DateTimeField(_("made"), editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        constraints = (
            models.CheckConstraint(
                name="hosting_webhookendpoint_cause",
                condition=Q(state="enabled", cause="") | Q(state="disabled") & ~Q(cause=""),
            ),
        )
        indexes = (
            models.Index(
                fields=("position",),
                condition=Q(state="enabled"),
                name="hosting_webhookendpoint_told",
            ),
            models.Index(
                fields=("state_since",),
                condition=Q(state="disabled", cause__in=["gone", "failed"]),
                name="hosting_webhook_given_up",
            ),
            models.Index(
                fields=("failing_since",),
                condition=Q(state="enabled", failing_since__isnull=False),
                name="hosting_webhook_failing",
            ),
        )

    def __str__(self) -> str:
        return self.url

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this endpoint."""
        return ("webhook_endpoint", str(self.uuid), self.url[:_LONGEST_SUBJECT])

    @property
    def is_enabled(self) -> bool:
        """Whether it is told of events."""
        return self.state == self.State.ENABLED


class WebhookSecretQuerySet(models.QuerySet["WebhookSecret"]):
    """Which secrets still sign."""

    def signing(self, *, at: datetime) -> Self:
        """The newest first, then those that it replaced a short time ago."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at)).order_by("-pk")


class WebhookSecret(models.Model):
    """What an endpoint's deliveries are signed with, sealed (`accounts.sealing`)."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="secrets")
    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(_("made"))
    # Null for the present one; one that was replaced signs as well until then.
    expires_at = models.DateTimeField(_("expires"), null=True)

    objects = WebhookSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook secret")
        verbose_name_plural = _("webhook secrets")
        constraints = (
            models.UniqueConstraint(
                fields=("endpoint",),
                condition=Q(expires_at=None),
                name="hosting_webhooksecret_one_present",
            ),
        )

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.created_at:%Y-%m-%d}"


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    """Which deliveries an actor may know of, and which are due."""

    def visible_to(self, actor: Actor) -> Self:
        """Those to endpoints that the actor may know of."""
        return self.filter(endpoint__in=WebhookEndpoint.objects.visible_to(actor))

    def due(self, *, at: datetime) -> Self:
        """Those that wait for a try whose time has come."""
        return self.filter(state=WebhookDelivery.State.WAITING, next_try_at__lte=at)


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint, until it has arrived or is given up."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")
        SKIPPED = "skipped", _("Left out")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        verbose_name=_("endpoint"),
        on_delete=models.CASCADE,
        related_name="deliveries",
        # The constraint below brings the index.
        db_index=False,
    )
    # Facts are never deleted, so nobody looks for the deliveries of one.
    event = models.ForeignKey(
        Event,
        verbose_name=_("event"),
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    # The event's own place in the feed, by which deliveries follow each other.
    position = models.BigIntegerField(_("place in the feed"))
    event_type = models.CharField(_("type"), max_length=60)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    # Since it was made, or since somebody had it sent again.
    tries = models.PositiveIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("next try"))
    created_at = models.DateTimeField(_("made"))
    done_at = models.DateTimeField(_("done"), null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = (
            models.UniqueConstraint(
                fields=("endpoint", "event"), name="hosting_webhookdelivery_once"
            ),
        )
        indexes = (
            models.Index(
                fields=("endpoint", "position"),
                condition=Q(state="waiting"),
                name="hosting_webhookdelivery_due",
            ),
            models.Index(
                fields=("done_at",),
                condition=Q(done_at__isnull=False),
                name="hosting_webhookdelivery_done",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.position}"

    @property
    def may_be_sent_again(self) -> bool:
        """Whether it has come to an end, whatever end."""
        return self.state != self.State.WAITING


class WebhookAttempt(models.Model):
    """One try: what was sent, what came back, and how long that took."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(_("at"))
    duration_ms = models.PositiveIntegerField(_("milliseconds"))
    # Null where no answer came.
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    # Signatures stand in them, and no secret.
    request_headers = models.JSONField(_("request"), default=dict)
    body_digest = models.CharField(_("SHA-256 of the body"), max_length=64)
    answer = models.TextField(_("answer"), blank=True)

    class Meta:
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.status or self.problem}"
