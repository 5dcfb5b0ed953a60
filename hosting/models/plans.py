"""What is sold, and which mailbox is on which plan."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from mailstore.models import Mailbox, RetentionPolicy

GIGABYTE = 10**9


class PlanQuerySet(models.QuerySet["Plan"]):
    """Plans by whether they can be ordered."""

    def on_sale(self) -> Self:
        """Plans that can be ordered now, in the order of the shop window."""
        return self.filter(is_on_sale=True).order_by("position", "pk")


class Plan(models.Model):
    """A product: a protocol, and what the mailbox gets. What it costs is on price lists."""

    slug = models.SlugField(_("short name"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    protocol = models.CharField(_("protocol"), max_length=4, choices=Mailbox.Protocol)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    is_on_sale = models.BooleanField(_("on sale"), default=True)
    quota_bytes = models.BigIntegerField(_("limit in bytes at the start"))
    ceiling_bytes = models.BigIntegerField(_("highest limit in bytes"))
    window_days = models.PositiveIntegerField(_("days that removed mail can be brought back"))

    # Null stands for the policy that is named like the protocol.
    retention_policy = models.ForeignKey(
        RetentionPolicy,
        verbose_name=_("retention policy"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="plans",
    )

    objects = PlanQuerySet.as_manager()

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        constraints = (
            models.CheckConstraint(
                condition=Q(quota_bytes__gt=0) & Q(ceiling_bytes__gte=F("quota_bytes")),
                name="hosting_plan_limits_in_order",
                violation_error_message=_("The highest limit cannot be below the first one."),
            ),
        )

    def __str__(self) -> str:
        return self.name

    def nearest_limit(self, quota_bytes: int) -> int:
        """A limit as it was, or the nearest one that the plan begins or ends with."""
        return min(max(quota_bytes, self.quota_bytes), self.ceiling_bytes)


class Contract(models.Model):
    """A mailbox on a plan, from one moment until another or for as long as it lasts.

    Its marks are what the day of that moment had brought until then, in byte-seconds, so that
    no use is charged twice and none is missed (`hosting.metering`).
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="contracts")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="contracts")
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    start_mark = models.BigIntegerField(default=0, editable=False)
    end_mark = models.BigIntegerField(default=0, editable=False)
    # When its end was written down; later than a bill, it is put right by the next one.
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("contract")
        verbose_name_plural = _("contracts")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox",),
                condition=Q(ends_at__isnull=True),
                name="hosting_contract_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="hosting_contract_ends_after_start",
            ),
        )
        # Each bill asks which ends were written down late; hardly any is.
        indexes = (
            models.Index(
                fields=("ended_at",),
                condition=Q(ended_at__isnull=False),
                name="hosting_contract_ended",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} · {self.plan}"


class PlanChange(models.Model):
    """A mailbox went from one plan to another; until `undo_until` it can go back as if it had not.

    The old values are what it goes back to.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="plan_changes")
    old_plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    new_plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    old_quota_bytes = models.BigIntegerField(_("limit before"))
    old_window_days = models.PositiveIntegerField(_("window before"))
    at = models.DateTimeField(_("at"))
    by = models.CharField(_("by"), max_length=254)
    # Null for what cannot be undone, such as an undoing itself.
    undo_until = models.DateTimeField(_("can be taken back until"), null=True)
    undone_at = models.DateTimeField(_("taken back"), null=True)

    class Meta:
        verbose_name = _("change of plan")
        verbose_name_plural = _("changes of plan")
        indexes = (models.Index(fields=("mailbox", "id"), name="hosting_planchange_last"),)

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.old_plan} → {self.new_plan}"
