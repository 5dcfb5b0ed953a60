"""Time in test organisations: it stands still until somebody advances it."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below
from mailstore.addresses import ADDRESS_OCTETS


class TestClock(models.Model):
    """The moment at which one test organisation is; without a row, the one of its making."""

    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        primary_key=True,
        related_name="test_clock",
    )
    now = models.DateTimeField(_("moment"))

    class Meta:
        verbose_name = _("test clock")
        verbose_name_plural = _("test clocks")

    def __str__(self) -> str:
        return f"{self.organisation_id} · {self.now:%Y-%m-%d %H:%M:%S}"


class ClockAdvanceQuerySet(models.QuerySet["ClockAdvance"]):
    """Advances by who may know of them, and by whether they are under way."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of organisations in the actor's tree."""
        return self.filter(below(actor, "organisation__"))

    def under_way(self) -> Self:
        """Those whose clock has not come to its target."""
        return self.filter(state=ClockAdvance.State.RUNNING)


class ClockAdvance(models.Model):
    """One advance of a test clock: on its way to `target`, and what it has come to.

    The row is the queue. Whoever turns the lease works; each turn raises the fence, and a
    worker whose fence is no longer the row's stops before its next step.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("On its way")
        DONE = "done", _("Done")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="clock_advances",
    )
    state = models.CharField(_("state"), max_length=7, choices=State, default=State.RUNNING)
    started_from = models.DateTimeField(_("from"))
    target = models.DateTimeField(_("to"))
    # Days of the test clock, begun ones counted whole.
    done_count = models.PositiveIntegerField(_("days done"), default=0)
    total_count = models.PositiveIntegerField(_("days"))
    # What could not be done on the way, such as a bill without a seller's address.
    problems = models.JSONField(_("problems"), default=list, blank=True)
    # By the real clock, like the lease.
    asked_at = models.DateTimeField(_("asked"))
    asked_by = models.CharField(_("asked by"), max_length=254)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    fence = models.PositiveIntegerField(default=0, editable=False)

    objects = ClockAdvanceQuerySet.as_manager()

    class Meta:
        verbose_name = _("advance of a test clock")
        verbose_name_plural = _("advances of test clocks")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation",),
                condition=Q(state="running"),
                name="hosting_clockadvance_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(target__gt=F("started_from")),
                name="hosting_clockadvance_goes_forward",
            ),
            models.CheckConstraint(
                condition=Q(done_count__lte=F("total_count")),
                name="hosting_clockadvance_within_total",
            ),
        )

    def __str__(self) -> str:
        return f"{self.organisation} → {self.target:%Y-%m-%d %H:%M:%S}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this advance."""
        return ("clock_advance", str(self.uuid), str(self))


class MeterStep(models.Model):
    """From `since` on, by the test clock, one address of a test organisation had this size.

    Unix time, whole seconds. Written when the clock moves on from there: so long as it stands
    still no time goes by in which anything is used.
    """

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(_("address"), max_length=ADDRESS_OCTETS)
    since = models.BigIntegerField(_("since"))
    bytes = models.BigIntegerField(_("bytes"))

    class Meta:
        verbose_name = _("step of a test meter")
        verbose_name_plural = _("steps of test meters")
        constraints = (
            models.UniqueConstraint(fields=("username", "since"), name="hosting_meterstep_once"),
            models.CheckConstraint(
                condition=Q(bytes__gte=0), name="hosting_meterstep_not_below_zero"
            ),
        )

    def __str__(self) -> str:
        return f"{self.username}: {self.bytes}"
