"""Where the chain of events stands, what was sealed of it, and what looking through it found."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.organisations import Organisation

# What comes before the first link.
BEGINNING = "0" * 64


class ChainHead(models.Model):
    """The one row that says up to which place the chain goes, sealed with the house's key."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.BigIntegerField(default=0)
    link = models.CharField(max_length=64, default=BEGINNING)
    seal = models.CharField(max_length=64, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(id=1), name="accounts_chainhead_one_row"),
        )

    def __str__(self) -> str:
        return f"{self.position} {self.link}"


class OwnChain(models.Model):
    """Up to where the chain of one organisation goes."""

    organisation = models.OneToOneField(
        Organisation, on_delete=models.PROTECT, primary_key=True, related_name="own_chain"
    )
    place = models.BigIntegerField(_("place"))
    link = models.CharField(_("link"), max_length=64)

    def __str__(self) -> str:
        return f"{self.place} {self.link}"


class Checkpoint(models.Model):
    """Where the chain stood one day. Never changed and never removed."""

    at = models.DateTimeField(_("at"))
    position = models.BigIntegerField(_("place in the feed"), unique=True)
    link = models.CharField(_("link"), max_length=64)
    # Over all of it and over the seal before, so that none can be left out either.
    seal = models.CharField(_("seal"), max_length=64)

    class Meta:
        verbose_name = _("checkpoint of events")
        verbose_name_plural = _("checkpoints of events")

    def __str__(self) -> str:
        return f"{self.position} {self.link}"


class EventCheck(models.Model):
    """One look through all events, which goes on from `position` whoever takes it up."""

    is_running = models.BooleanField(_("goes on"), default=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    position = models.BigIntegerField(_("looked up to"), default=0)
    fault_count = models.BigIntegerField(_("faults"), default=0)
    # The first of them: place and sentence.
    faults = models.JSONField(_("first faults"), default=list)

    class Meta:
        verbose_name = _("check of events")
        verbose_name_plural = _("checks of events")
        constraints = (
            models.UniqueConstraint(
                fields=("is_running",),
                condition=Q(is_running=True),
                name="accounts_eventcheck_one_runs",
            ),
            models.CheckConstraint(
                condition=Q(is_running=True, finished_at__isnull=True)
                | Q(is_running=False, finished_at__isnull=False),
                name="accounts_eventcheck_ends",
            ),
        )

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"
