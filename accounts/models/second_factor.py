"""The second factors of people, who must have one, and the way out for whoever lost theirs."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device

from accounts.models.organisations import Organisation
from accounts.models.people import User


class Authenticator(Device):  # type: ignore[misc]  # django-otp ships without types
    """An app that makes codes: SHA-1, six digits, a new one every 30 seconds (RFC 6238)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    confirmed = models.BooleanField(default=False)
    # By `accounts.sealing`: the secret must be read again for each code.
    sealed_secret = models.TextField(editable=False)
    # By how many steps of 30 seconds the clock of the phone is ahead of the house's.
    drift = models.SmallIntegerField(default=0)
    # The step of the last code that was taken; none of it or before it is taken again.
    last_step = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField(_("added"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), null=True)

    objects: ClassVar[models.Manager[Authenticator]] = models.Manager()

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")

    def __str__(self) -> str:
        return self.name


class RecoveryCodes(Device):  # type: ignore[misc]  # django-otp ships without types
    """One set of codes on paper. Another set is another row, so sessions of the old one end."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=64, default="recovery codes")
    confirmed = models.BooleanField(default=True)
    created_at = models.DateTimeField(_("made"), default=timezone.now)

    objects: ClassVar[models.Manager[RecoveryCodes]] = models.Manager()

    class Meta:
        verbose_name = _("set of recovery codes")
        verbose_name_plural = _("sets of recovery codes")

    def __str__(self) -> str:
        return self.name


class RecoveryCode(models.Model):
    """One code, which works once. Only its digest is kept."""

    codes = models.ForeignKey(RecoveryCodes, on_delete=models.CASCADE, related_name="each")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(_("used"), null=True)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = (
            models.UniqueConstraint(fields=("codes", "digest"), name="accounts_recoverycode_once"),
        )

    def __str__(self) -> str:
        return f"{self.codes_id}"


class FactorDemand(models.Model):
    """An organisation asks everybody in it, or in its customers, for a second factor."""

    class Reach(models.TextChoices):
        OWN = "own", _("Everybody here")
        BELOW = "below", _("Everybody in its customers")

    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.CASCADE,
        related_name="factor_demands",
    )
    reach = models.CharField(_("reach"), max_length=5, choices=Reach)
    made_at = models.DateTimeField(_("since"))
    # From then on nobody gets in without one.
    due_at = models.DateTimeField(_("holds from"))

    class Meta:
        verbose_name = _("demand for a second factor")
        verbose_name_plural = _("demands for a second factor")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "reach"), name="accounts_factordemand_once"
            ),
            models.CheckConstraint(
                condition=Q(due_at__gte=F("made_at")), name="accounts_factordemand_due_later"
            ),
        )

    def __str__(self) -> str:
        return f"{self.organisation} · {self.get_reach_display()}"


class FactorLoss(models.Model):
    """Somebody lost the second factor: after a wait that everybody hears of, it is removed."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        CALLED_OFF = "called_off", _("Called off")
        # Removed, and nothing was enrolled in its place yet.
        DONE = "done", _("Removed")
        REPLACED = "replaced", _("Another one is enrolled")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="factor_losses")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    # As they were called then.
    asked_by = models.CharField(_("asked by"), max_length=254)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    address = models.CharField(_("from the address"), max_length=45, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    due_at = models.DateTimeField(_("due"))
    told_at = models.DateTimeField(_("last told"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_by = models.CharField(_("ended by"), max_length=254, blank=True)

    class Meta:
        verbose_name = _("lost second factor")
        verbose_name_plural = _("lost second factors")
        constraints = (
            models.UniqueConstraint(
                fields=("user",), condition=Q(state="waiting"), name="accounts_factorloss_one"
            ),
            models.CheckConstraint(
                condition=Q(due_at__gt=F("asked_at")), name="accounts_factorloss_takes_time"
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",), condition=Q(state="waiting"), name="accounts_factorloss_due"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.get_state_display()}"
