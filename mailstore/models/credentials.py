"""App passwords: one random secret for one device, stored as a digest only."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailstore.models.mailboxes import Mailbox


class AppPassword(models.Model):
    """A secret for one device, usable for mail only.

    `digest` is the SHA-256 of the secret in lower-case hexadecimal. A slow hash would add
    nothing: the secret has 140 random bits, so it cannot be guessed however fast one tries.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    mailbox = models.ForeignKey(
        Mailbox,
        verbose_name=_("mailbox"),
        on_delete=models.CASCADE,
        related_name="app_passwords",
    )
    label = models.CharField(_("device"), max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    allows_pop = models.BooleanField(_("POP"), default=True)
    allows_imap = models.BooleanField(_("IMAP"), default=True)
    # From where it may be used, as Dovecot reads it: networks with commas between them; empty
    # stands for everywhere.
    allow_nets = models.TextField(
        _("only from"), blank=True, default="", db_default="", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("app password")
        verbose_name_plural = _("app passwords")
        constraints = (
            models.CheckConstraint(
                condition=Q(allows_pop=True) | Q(allows_imap=True),
                name="mailstore_apppassword_some_protocol",
                violation_error_message=_("Choose at least one protocol."),
            ),
        )

    def __str__(self) -> str:
        return self.label

    @property
    def networks(self) -> list[str]:
        """The networks from which alone it may be used; none stands for everywhere."""
        return self.allow_nets.split(",") if self.allow_nets else []

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this app password."""
        return ("app_password", str(self.uuid), self.label)
