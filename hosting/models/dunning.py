"""Reminding those who do not pay: one row a customer and run."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below


class DunningQuerySet(models.QuerySet["Dunning"]):
    """Runs by whether they are over."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of organisations in the actor's tree."""
        return self.filter(below(actor, "customer__"))

    def open(self) -> Self:
        """Those that are not over."""
        return self.filter(ended_at__isnull=True)

    def live(self) -> Self:
        """Those of customers who live by the real clock."""
        return self.filter(customer__is_test=False)


class Dunning(models.Model):
    """One run, from the first bill that was due until nothing is overdue any more.

    The row is the queue: `day` is the step that was taken last, `next_day` the one that was
    announced for `next_on`. Each change counts `version` up, so that of two who look at the
    same moment one takes the step.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(
        Organisation,
        verbose_name=_("customer"),
        on_delete=models.PROTECT,
        related_name="dunnings",
    )
    began_at = models.DateTimeField(_("began"))
    version = models.PositiveIntegerField(default=0, editable=False)
    # The day from which the steps are counted.
    due_on = models.DateField(_("due"))
    day = models.PositiveSmallIntegerField(_("step taken"), null=True, blank=True)
    next_day = models.PositiveSmallIntegerField(_("next step"), null=True, blank=True)
    next_on = models.DateField(_("next step on"), null=True, blank=True)
    # How many letters were written; the last one announced the next step.
    letters = models.PositiveIntegerField(_("letters"), default=0)
    written_on = models.DateField(_("last letter on"), null=True, blank=True)
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    pause_reason = models.CharField(_("reason of the pause"), max_length=500, blank=True)
    # The debt counts as due on this day instead, if it is later.
    extended_until = models.DateField(_("more time until"), null=True, blank=True)
    extension_reason = models.CharField(_("reason for more time"), max_length=500, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = DunningQuerySet.as_manager()

    class Meta:
        verbose_name = _("customer past due")
        verbose_name_plural = _("customers past due")
        constraints = (
            models.UniqueConstraint(
                fields=("customer",),
                condition=Q(ended_at__isnull=True),
                name="hosting_dunning_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(next_day__isnull=True, next_on__isnull=True)
                | Q(next_day__isnull=False, next_on__isnull=False),
                name="hosting_dunning_next_whole",
            ),
        )
        indexes = (
            models.Index(
                fields=("began_at",),
                condition=Q(ended_at__isnull=True),
                name="hosting_dunning_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customer} · {self.due_on}"

    @property
    def about(self) -> str:
        """How its last letter is named among the notices."""
        return f"dunning:{self.pk}:{self.letters}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this run."""
        return ("dunning", str(self.uuid), str(self.customer))


class DunningStep(models.Model):
    """What was done in a run, for good. Each letter and each step once."""

    class Kind(models.TextChoices):
        ANNOUNCE = "announce", _("Announced")
        TAKE = "take", _("Taken")
        BACK = "back", _("Taken back")
        END = "end", _("Ended")

    dunning = models.ForeignKey(Dunning, on_delete=models.PROTECT, related_name="steps")
    # The version that it made of the run.
    version = models.PositiveIntegerField()
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    at = models.DateTimeField(_("at"))
    day = models.PositiveSmallIntegerField(_("step"), null=True)
    next_day = models.PositiveSmallIntegerField(_("next step"), null=True)
    next_on = models.DateField(_("next step on"), null=True)

    class Meta:
        verbose_name = _("step of dunning")
        verbose_name_plural = _("steps of dunning")
        constraints = (
            models.UniqueConstraint(fields=("dunning", "version"), name="hosting_dunningstep_once"),
        )

    def __str__(self) -> str:
        return f"{self.dunning} · {self.get_kind_display()}"
