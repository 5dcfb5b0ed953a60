"""When mail goes: rules by layer, and when a program was seen to have fetched a message."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below
from mailstore.models.domains import Domain
from mailstore.models.mailboxes import Mailbox, RetentionPolicy
from mailstore.policy import CountedFrom, Rule

_OWNERS = ("policy", "organisation", "domain", "mailbox")


def _exactly_one_owner() -> Q:
    one_of = Q()
    for owner in _OWNERS:
        one_of |= Q(**{f"{other}__isnull": other != owner for other in _OWNERS})
    return one_of


class RetentionRuleQuerySet(models.QuerySet["RetentionRule"]):
    """Which rules an actor may know of by themselves."""

    def visible_to(self, actor: Actor) -> Self:
        """Those that were set on something in the actor's tree; a plan's are part of the plan."""
        return self.filter(
            below(actor, "organisation__")
            | below(actor, "domain__organisation__")
            | below(actor, "mailbox__organisation__"),
            policy=None,
        )


class RetentionRule(models.Model):
    """One layer's word on one folder. `days` is null where mail is kept for ever."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    policy = models.ForeignKey(
        RetentionPolicy, on_delete=models.CASCADE, null=True, blank=True, related_name="rules"
    )
    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="retention_rules",
    )
    domain = models.ForeignKey(
        Domain, on_delete=models.CASCADE, null=True, blank=True, related_name="retention_rules"
    )
    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, null=True, blank=True, related_name="retention_rules"
    )
    folder = models.CharField(_("folder"), max_length=255)
    counted_from = models.CharField(
        _("counted from"),
        max_length=8,
        choices=[(c.value, c.value) for c in CountedFrom],
        default=CountedFrom.ARRIVAL.value,
    )
    days = models.PositiveIntegerField(_("days"), null=True, blank=True)
    floor_days = models.PositiveIntegerField(_("least days below"), null=True, blank=True)
    ceiling_days = models.PositiveIntegerField(_("most days below"), null=True, blank=True)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now, editable=False)

    objects = RetentionRuleQuerySet.as_manager()

    class Meta:
        verbose_name = _("retention rule")
        verbose_name_plural = _("retention rules")
        constraints = (
            models.CheckConstraint(
                condition=_exactly_one_owner(), name="mailstore_retentionrule_one_owner"
            ),
            *(
                models.UniqueConstraint(
                    fields=(owner, "folder"),
                    condition=Q(**{f"{owner}__isnull": False}),
                    name=f"mailstore_retentionrule_{owner}_once",
                )
                for owner in _OWNERS
            ),
            models.CheckConstraint(
                condition=(Q(days__isnull=True) | Q(days__gte=1))
                & (Q(floor_days__isnull=True) | Q(floor_days__gte=1))
                & (Q(ceiling_days__isnull=True) | Q(ceiling_days__gte=1)),
                name="mailstore_retentionrule_days_positive",
            ),
            models.CheckConstraint(
                condition=Q(floor_days__isnull=True)
                | Q(days__isnull=True)
                | Q(days__gte=F("floor_days")),
                name="mailstore_retentionrule_own_floor",
            ),
            models.CheckConstraint(
                condition=Q(ceiling_days__isnull=True)
                | Q(days__isnull=False, days__lte=F("ceiling_days")),
                name="mailstore_retentionrule_own_ceiling",
            ),
        )

    def __str__(self) -> str:
        return f"{self.folder}: {self.days or '∞'}"

    @property
    def as_rule(self) -> Rule:
        """The row as a plain value."""
        return Rule(
            folder=self.folder,
            counted_from=CountedFrom(self.counted_from),
            days=self.days,
            floor_days=self.floor_days,
            ceiling_days=self.ceiling_days,
        )


class Retrieval(models.Model):
    """Messages of an inbox that were seen to have been fetched, and when that was noticed.

    Noticed is never earlier than fetched, so nothing goes too early by it.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="retrievals")
    uidvalidity = models.BigIntegerField()
    uids = models.TextField(_("uids"))
    at = models.DateTimeField(_("noticed"))

    class Meta:
        verbose_name = _("retrieval")
        verbose_name_plural = _("retrievals")
        indexes = (models.Index(fields=("mailbox", "at")),)

    def __str__(self) -> str:
        return f"{self.mailbox} {self.uids}"


class FetchDoubt(models.Model):
    """POP sessions broke off that had begun to fetch: what they marked may not have arrived.

    They ended between the two moments. Once their marks are dealt with, the row is gone.
    """

    mailbox = models.OneToOneField(
        Mailbox, on_delete=models.CASCADE, primary_key=True, related_name="fetch_doubt"
    )
    since = models.DateTimeField(_("first ended"))
    until = models.DateTimeField(_("last ended"))

    class Meta:
        verbose_name = _("fetch in doubt")
        verbose_name_plural = _("fetches in doubt")

    def __str__(self) -> str:
        return f"{self.mailbox} {self.since:%Y-%m-%d %H:%M}"


class FullSweep(models.Model):
    """One look at every mailbox, which proves that the due moments missed nothing."""

    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    # The last mailbox that was looked at, so that a killed sweep goes on from there.
    last_id = models.BigIntegerField(default=0)
    looked_at = models.PositiveBigIntegerField(_("mailboxes"), default=0)
    missed = models.PositiveBigIntegerField(_("missed"), default=0)

    class Meta:
        verbose_name = _("full sweep")
        verbose_name_plural = _("full sweeps")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d}"
