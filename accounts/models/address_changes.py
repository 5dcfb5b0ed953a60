"""Another e-mail address for a person: asked for, confirmed from there, taken back from here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User


class AddressChangeQuerySet(models.QuerySet["AddressChange"]):
    """Which changes still wait, or can still be undone."""

    def waiting(self) -> Self:
        """Those that nobody has confirmed yet."""
        return self.filter(state=AddressChange.State.ASKED)

    def call_off(self, *, at: datetime) -> int:
        """End those that wait; their links are dead from now on. Returns how many there were."""
        return self.waiting().update(state=AddressChange.State.CALLED_OFF, ended_at=at)

    def undoable(self, *, at: datetime) -> Self:
        """Those that were made so short a time ago that the former address takes them back."""
        made = self.filter(state=AddressChange.State.MADE)
        return made.filter(made_at__gt=at - AddressChange.CAN_BE_TAKEN_BACK_FOR)


class AddressChange(models.Model):
    """One wish for another address to sign in with."""

    # So long a letter to the former address may lie unread.
    CAN_BE_TAKEN_BACK_FOR = timedelta(days=7)

    class State(models.TextChoices):
        """Where a change stands."""

        ASKED = "asked", _("waits for the new address")
        MADE = "made", _("made")
        CALLED_OFF = "called_off", _("called off")
        TAKEN_BACK = "taken_back", _("taken back")

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="address_changes")
    old_email = models.EmailField(_("former address"), max_length=254)
    # An address that was never confirmed may be a stranger's, who has nothing to take back.
    old_was_verified = models.BooleanField(_("former address was confirmed"))
    new_email = models.EmailField(_("new address"), max_length=254)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField(_("asked"))
    made_at = models.DateTimeField(_("made"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = AddressChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of address")
        verbose_name_plural = _("changes of address")
        constraints = (
            models.UniqueConstraint(
                fields=("user",),
                condition=Q(state="asked"),
                name="accounts_addresschange_waits",
            ),
        )
        indexes = (
            models.Index(
                fields=("old_email",),
                condition=Q(state="made"),
                name="accounts_addresschange_former",
            ),
        )

    def __str__(self) -> str:
        return f"{self.old_email} → {self.new_email}"
