"""What the mail server reports: use, last sign-ins, and how far its log was read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailstore.addresses import ADDRESS_OCTETS


class Usage(models.Model):
    """Bytes and messages a person can see, written by Dovecot at every change.

    Keyed by address, because that is the only name Dovecot knows. A trigger sets
    `is_changed` at every report; the quota watch clears it.
    """

    username = models.CharField(max_length=ADDRESS_OCTETS, primary_key=True)
    bytes = models.BigIntegerField(_("bytes"), default=0, db_default=0)
    messages = models.BigIntegerField(_("messages"), default=0, db_default=0)
    is_changed = models.BooleanField(default=True, db_default=True)

    class Meta:
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        indexes = (
            models.Index(
                fields=("username",),
                condition=Q(is_changed=True),
                name="mailstore_usage_changed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.username}: {self.bytes}"


class LastLogin(models.Model):
    """The last sign-in of one device from one address, as Unix time, written by Dovecot.

    `device` is the app password's uuid without hyphens, or `-` for the mailbox password.
    """

    username = models.CharField(max_length=ADDRESS_OCTETS)
    proto = models.CharField(_("protocol"), max_length=10)
    device = models.CharField(_("device"), max_length=36)
    address = models.CharField(_("from"), max_length=45)
    last_login = models.BigIntegerField(_("at"), default=0, db_default=0)

    class Meta:
        verbose_name = _("last sign-in")
        verbose_name_plural = _("last sign-ins")
        constraints = (
            models.UniqueConstraint(
                fields=("username", "proto", "device", "address"),
                name="mailstore_lastlogin_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.username} {self.proto}"


class LogPosition(models.Model):
    """How far the mail server's log has been read."""

    path = models.CharField(max_length=500, unique=True)
    inode = models.BigIntegerField()
    offset = models.BigIntegerField()

    class Meta:
        verbose_name = _("log position")
        verbose_name_plural = _("log positions")

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}"
