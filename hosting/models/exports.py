"""What programs ask to take away as a file; the row's state is the queue."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind
from accounts.models import ApiKey, Organisation, below


class ExportQuerySet(models.QuerySet["Export"]):
    """Exports by who may know of them, and by what is to be done with them."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of organisations in the actor's tree that its own organisation asked for.

        A file holds what whoever asked for it may see, which is more or less than what a seller
        or a customer of the same may. Staff see all.
        """
        mine = self.filter(below(actor.in_any_mode(), "organisation__"))
        if actor.is_staff:
            return mine
        if actor.kind is not ActorKind.API_KEY:
            return mine.filter(created_by_key__organisation__in=actor.organisation_ids)
        own = ApiKey.objects.filter(uuid=actor.id).values("organisation")
        return mine.filter(
            created_by_key__organisation__in=own, created_by_key__is_test=bool(actor.is_test)
        )

    def running(self) -> Self:
        """Those that are to be written."""
        return self.filter(state=Export.State.RUNNING)

    def standing(self) -> Self:
        """Those that are to be written, or can be fetched."""
        return self.filter(state__in=(Export.State.RUNNING, Export.State.READY))

    def over(self, *, at: datetime) -> Self:
        """Those whose file has been kept long enough."""
        return self.filter(state=Export.State.READY, expires_at__lte=at)


class Export(models.Model):
    """One file: asked for by a key, written by a worker, kept for a while, then forgotten."""

    class Kind(models.TextChoices):
        USAGE = "usage", _("Use of a month")
        INVOICE_LINES = "invoice_lines", _("Lines of the invoices of a month")
        CUSTOMERS = "customers", _("Customers")
        ACTIVITY = "activity", _("Activity")
        ACTIVITY_PROOF = "activity_proof", _("Activity, to be proved")

    class State(models.TextChoices):
        RUNNING = "running", _("Being written")
        READY = "ready", _("Can be fetched")
        FAILED = "failed", _("Could not be written")
        CANCELLED = "cancelled", _("Nobody wanted it any more")
        FORGOTTEN = "forgotten", _("Its file was removed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=14, choices=Kind)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="exports",
    )
    # What of it, as `hosting.exports.wanting.Wanted` writes it.
    wanted = models.JSONField(default=dict)
    created_by_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("asked for"))
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.RUNNING)
    leased_until = models.DateTimeField(null=True, editable=False)
    # How often a worker began; one that fails each time is given up.
    try_count = models.PositiveSmallIntegerField(default=0, editable=False)
    line_count = models.PositiveBigIntegerField(_("lines"), default=0)
    size_bytes = models.PositiveBigIntegerField(_("bytes"), null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    # Its name in the folder of exports; each attempt has one of its own.
    stored_as = models.CharField(max_length=80, blank=True, editable=False)
    problem = models.CharField(_("why not"), max_length=300, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    expires_at = models.DateTimeField(_("kept until"), null=True)

    objects = ExportQuerySet.as_manager()

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        constraints = (
            models.CheckConstraint(
                condition=(
                    Q(state="ready", expires_at__isnull=False, size_bytes__isnull=False)
                    & ~Q(stored_as="")
                )
                | (~Q(state="ready") & Q(stored_as="")),
                name="hosting_export_ready_has_a_file",
            ),
        )
        indexes = (
            models.Index(
                fields=("id",), condition=Q(state="running"), name="hosting_export_running"
            ),
            models.Index(
                fields=("expires_at",), condition=Q(state="ready"), name="hosting_export_ready"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.organisation}"
