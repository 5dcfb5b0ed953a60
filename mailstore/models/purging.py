"""Removals: planned, worked off in batches, and written down for good."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import below
from mailstore.models.mailboxes import Mailbox

# Dovecot's own limit for a folder's name with those of the folders above it.
FOLDER_CHARACTERS = 4096


class WorkState(models.TextChoices):
    """Where a piece of work in batches stands."""

    PLANNED = "planned", _("Planned")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")


OPEN_STATES = (WorkState.PLANNED, WorkState.RUNNING, WorkState.PAUSED)


class Work(models.Model):
    """What a purge and a restore have in common: a state, a lease, a fence and a count.

    Who holds the lease works; each taking raises `fence`, and a worker that finds another
    number than its own has lost the lease and stops.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=WorkState, default=WorkState.PLANNED
    )
    planned_at = models.DateTimeField(_("planned"))
    planned_by = models.CharField(_("by"), max_length=254)
    finished_at = models.DateTimeField(_("finished"), null=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    failure = models.CharField(_("failure"), max_length=300, blank=True)
    # Null for what was planned before this was counted.
    planned_messages = models.PositiveBigIntegerField(_("planned messages"), null=True)
    planned_bytes = models.PositiveBigIntegerField(_("planned bytes"), null=True)
    messages = models.PositiveBigIntegerField(_("messages"), default=0)
    bytes = models.PositiveBigIntegerField(_("bytes"), default=0)

    class Meta:
        abstract = True


class PurgeRunQuerySet(models.QuerySet["PurgeRun"]):
    """Removals that an actor may know of, and those that are not over."""

    def visible_to(self, actor: Actor) -> Self:
        """Removals from mailboxes of the organisations in the actor's tree."""
        return self.filter(below(actor, "mailbox__organisation__"))

    def open(self) -> Self:
        """Planned, running or paused."""
        return self.filter(state__in=OPEN_STATES)


class PurgeRun(Work):
    """One planned removal from one mailbox. Done, it is the receipt, and never changes."""

    class Kind(models.TextChoices):
        RETENTION = "retention", _("Retention")
        STORE = "store", _("End of the recovery window")
        ASKED = "asked", _("Removed for good by its owner")
        CLOSING = "closing", _("Closing of the mailbox")

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="purge_runs")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    # What the rules said when the run was planned, and a digest of it.
    rules = models.JSONField(_("rules"), default=list)
    policy_version = models.CharField(_("policy version"), max_length=64, blank=True)

    objects = PurgeRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("purge run")
        verbose_name_plural = _("purge runs")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox", "kind"),
                condition=Q(state__in=["planned", "running", "paused"]),
                name="mailstore_purgerun_one_open",
            ),
        )
        indexes = (
            models.Index(
                fields=("id",),
                condition=Q(state__in=["planned", "running"]),
                name="mailstore_purgerun_open",
            ),
            models.Index(
                fields=("id",),
                condition=Q(state__in=["planned", "running", "paused"]) & ~Q(failure=""),
                name="mailstore_purgerun_failing",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.kind} {self.planned_at:%Y-%m-%d}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this run."""
        return ("purge_run", str(self.uuid), self.mailbox.address)


class Batch(models.Model):
    """A bounded part of some work: messages of one folder.

    `items` has a triple for each message: uid, bytes, and the first 16 hexadecimal digits
    of the SHA-256 of its Message-ID. While planned they are what is meant to go; once
    `doing` they are what was there, and a worker that died is followed up from them.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("Planned")
        DOING = "doing", _("Being worked off")
        DONE = "done", _("Done")

    position = models.PositiveIntegerField()
    folder = models.CharField(_("folder"), max_length=FOLDER_CHARACTERS)
    uidvalidity = models.BigIntegerField(default=0)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.PLANNED)
    items = models.JSONField(default=list)
    done_at = models.DateTimeField(_("done"), null=True)

    class Meta:
        abstract = True
        ordering = ("position",)


class PurgeBatch(Batch):
    """Messages of one folder that one purge run removes."""

    run = models.ForeignKey(PurgeRun, on_delete=models.PROTECT, related_name="batches")
    # Whether the messages lie in the recoverable store, so that they go for good.
    in_store = models.BooleanField(_("from the recoverable store"), default=False)

    class Meta(Batch.Meta):
        verbose_name = _("purge batch")
        verbose_name_plural = _("purge batches")
        constraints = (
            models.UniqueConstraint(fields=("run", "position"), name="mailstore_purgebatch_once"),
        )

    def __str__(self) -> str:
        return f"{self.run_id}/{self.position}"


class RestoreRunQuerySet(models.QuerySet["RestoreRun"]):
    """Restores that an actor may know of, and those that are not over."""

    def visible_to(self, actor: Actor) -> Self:
        """Restores of mailboxes of the organisations in the actor's tree."""
        return self.filter(below(actor, "mailbox__organisation__"))

    def open(self) -> Self:
        """Planned, running or paused."""
        return self.filter(state__in=OPEN_STATES)


class RestoreRun(Work):
    """Messages that come back: chosen ones, or all that was removed since a moment."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="restore_runs")
    # The moment to which the mailbox is rolled back; null for chosen messages.
    moment = models.DateTimeField(_("as of"), null=True)

    objects = RestoreRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("restore run")
        verbose_name_plural = _("restore runs")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox",),
                condition=Q(state__in=["planned", "running", "paused"]),
                name="mailstore_restorerun_one_open",
            ),
        )
        indexes = (
            models.Index(
                fields=("id",),
                condition=Q(state__in=["planned", "running"]),
                name="mailstore_restorerun_open",
            ),
            models.Index(
                fields=("id",),
                condition=Q(state__in=["planned", "running", "paused"]) & ~Q(failure=""),
                name="mailstore_restorerun_failing",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.planned_at:%Y-%m-%d}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this run."""
        return ("restore_run", str(self.uuid), self.mailbox.address)


class RestoreBatch(Batch):
    """Messages of one folder that one restore brings back."""

    run = models.ForeignKey(RestoreRun, on_delete=models.PROTECT, related_name="batches")

    class Meta(Batch.Meta):
        verbose_name = _("restore batch")
        verbose_name_plural = _("restore batches")
        constraints = (
            models.UniqueConstraint(fields=("run", "position"), name="mailstore_restorebatch_once"),
        )

    def __str__(self) -> str:
        return f"{self.run_id}/{self.position}"
