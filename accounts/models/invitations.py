"""Who was asked to join an organisation, and has not answered yet."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.memberships import Membership
from accounts.models.organisations import Organisation
from accounts.models.people import User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations by what may still become of them."""

    def open(self) -> Self:
        """Neither accepted nor withdrawn; some of them may be too old, and can be sent again."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def good(self, *, at: datetime) -> Self:
        """Those whose link lets somebody in."""
        return self.open().filter(expires_at__gt=at)


class Invitation(models.Model):
    """One address that may join an organisation in one role, by a link in a letter.

    The link is made of `uuid` and `serial` and signed when the letter leaves; it is stored
    nowhere. Each letter has a new serial, so that only the last one lets anybody in.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.CASCADE,
        related_name="invitations",
    )
    email = models.EmailField(_("e-mail address"), max_length=254)
    role = models.CharField(_("role"), max_length=13, choices=Membership.Role)
    # Null stands for a program or the house itself; the name says which.
    invited_by = models.ForeignKey(
        User,
        verbose_name=_("invited by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    inviter = models.CharField(_("invited by"), max_length=254)
    invited_at = models.DateTimeField(_("invited"))
    expires_at = models.DateTimeField(_("good until"))
    serial = models.PositiveIntegerField(_("letters"), default=1)
    accepted_at = models.DateTimeField(_("accepted"), null=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "email"),
                condition=Q(accepted_at=None, withdrawn_at=None),
                name="accounts_invitation_one_open",
            ),
        )
        indexes = (
            models.Index(
                fields=("email",),
                condition=Q(accepted_at=None, withdrawn_at=None),
                name="accounts_invitation_waiting",
            ),
        )

    def __str__(self) -> str:
        return f"{self.email} · {self.organisation} · {self.get_role_display()}"

    @property
    def about(self) -> str:
        """How its letters are found again."""
        return f"invitation:{self.uuid}"
