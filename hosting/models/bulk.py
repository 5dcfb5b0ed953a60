"""What staff ask for many rows at once: looked at first, above a size by two, done by a worker."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class BulkRequestQuerySet(models.QuerySet["BulkRequest"]):
    """Requests by where they stand."""

    def asked(self, *, at: datetime) -> Self:
        """Those that wait for a second person, and still may."""
        return self.filter(state=BulkRequest.State.ASKED, expires_at__gt=at)

    def over(self, *, at: datetime) -> Self:
        """Those that nobody may confirm any more."""
        waiting = (BulkRequest.State.DRAFT, BulkRequest.State.ASKED)
        return self.filter(state__in=waiting, expires_at__lte=at)

    def running(self) -> Self:
        """Those that a worker has to do."""
        return self.filter(state=BulkRequest.State.RUNNING)


class BulkRequest(models.Model):
    """One deed for a list of rows that was frozen when they were chosen.

    A draft is only looked at. Once asked for, it runs at once if it is small; above a size it
    waits for a second person. The row's state is the queue.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Only looked at")
        ASKED = "asked", _("Waits for a second person")
        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        CALLED_OFF = "called_off", _("Called off")
        EXPIRED = "expired", _("Nobody confirmed it in time")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # A name in `hosting.bulk.DEEDS`.
    deed = models.CharField(_("what"), max_length=40)
    # What the deed is given beside the rows, as JSON values.
    what = models.JSONField(default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.DRAFT)
    needs_second = models.BooleanField(_("needs a second person"), default=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("asked by"),
        on_delete=models.PROTECT,
        related_name="+",
    )
    asked_at = models.DateTimeField(_("asked"))
    # A draft, or a request without its second person, is over then.
    expires_at = models.DateTimeField(_("to be confirmed until"))
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("confirmed by"),
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    row_count = models.PositiveIntegerField(_("rows"), default=0)
    done_count = models.PositiveIntegerField(_("done"), default=0)
    failed_count = models.PositiveIntegerField(_("failed"), default=0)
    leased_until = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_by = models.CharField(_("ended by"), max_length=254, blank=True)

    objects = BulkRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("bulk request")
        verbose_name_plural = _("bulk requests")
        constraints = (
            models.CheckConstraint(
                condition=Q(confirmed_by__isnull=True) | ~Q(confirmed_by=F("asked_by")),
                name="hosting_bulkrequest_two_people",
                violation_error_message=_("Somebody else has to confirm it."),
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["running", "finished"])
                | Q(needs_second=False)
                | Q(confirmed_by__isnull=False),
                name="hosting_bulkrequest_was_confirmed",
            ),
        )
        indexes = (
            models.Index(fields=("state", "expires_at"), name="hosting_bulkrequest_waiting"),
            models.Index(
                fields=("id",), condition=Q(state="running"), name="hosting_bulkrequest_running"
            ),
        )

    def __str__(self) -> str:
        return f"{self.deed}: {self.row_count}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this request."""
        return ("bulk_request", str(self.uuid), str(self))


class BulkItem(models.Model):
    """One row that a request is about, by its key, and what became of it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Not yet")
        DONE = "done", _("Done")
        FAILED = "failed", _("Not done")

    request = models.ForeignKey(
        BulkRequest, on_delete=models.CASCADE, related_name="items", db_index=False
    )
    row_id = models.BigIntegerField()
    # As it was called when it was chosen.
    name = models.CharField(_("name"), max_length=320)
    state = models.CharField(_("state"), max_length=7, choices=State, default=State.WAITING)
    problem = models.CharField(_("why not"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("row of a bulk request")
        verbose_name_plural = _("rows of bulk requests")
        constraints = (
            models.UniqueConstraint(fields=("request", "row_id"), name="hosting_bulkitem_once"),
        )
        indexes = (
            models.Index(fields=("request", "state", "id"), name="hosting_bulkitem_waiting"),
        )

    def __str__(self) -> str:
        return self.name
