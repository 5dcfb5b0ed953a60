"""What the mail server reports: use, last sign-ins, and how far its log was read."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Func, Q
from django.utils.translation import gettext_lazy as _

from mailstore.addresses import ADDRESS_OCTETS


class UnixNow(Func):
    """The database's clock in whole seconds of Unix time."""

    template = "mailstore_unix_now()"
    arity = 0
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite's word for it."""
        return super().as_sql(compiler, connection, template="unixepoch()", **context)


class Usage(models.Model):
    """Bytes and messages a person can see, written by Dovecot at every change.

    Keyed by address, because that is the only name Dovecot knows. A trigger meters every
    report: it has stood at `bytes` since `since` (Unix time, whole seconds), and the day of
    that moment (UTC) had brought `day_byte_seconds` until then. It also sets `is_changed`,
    which the quota watch clears.
    """

    username = models.CharField(max_length=ADDRESS_OCTETS, primary_key=True)
    bytes = models.BigIntegerField(_("bytes"), default=0, db_default=0)
    messages = models.BigIntegerField(_("messages"), default=0, db_default=0)
    is_changed = models.BooleanField(default=True, db_default=True)
    since = models.BigIntegerField(db_default=UnixNow(), editable=False)
    day_byte_seconds = models.BigIntegerField(default=0, db_default=0, editable=False)

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


class UsageDay(models.Model):
    """What one address used on a day that is over, or on each of several like days.

    `day` counts from 1 January 1970 (UTC). A row is written when the next report comes in;
    days without a row had nothing, or are still covered by `Usage.since`.
    """

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(max_length=ADDRESS_OCTETS)
    day = models.IntegerField(_("first day"))
    days = models.IntegerField(_("days"), default=1)
    byte_seconds = models.BigIntegerField(_("byte-seconds a day"))

    class Meta:
        verbose_name = _("use by day")
        verbose_name_plural = _("use by day")
        constraints = (
            models.UniqueConstraint(fields=("username", "day"), name="mailstore_usageday_once"),
        )

    def __str__(self) -> str:
        return f"{self.username} {self.day}: {self.byte_seconds}"


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
    # A digest of the file's first line, by which it is found again when it was compressed.
    head = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name = _("log position")
        verbose_name_plural = _("log positions")

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}"
