"""What the mail server reports: use, last sign-ins, and how far its log was read."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Func, Q
from django.utils.translation import gettext_lazy as _

from mailstore.addresses import ADDRESS_OCTETS

DAY_SECONDS = 86_400


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

    def mark(self, at: int) -> int:
        """What the day of `at` has brought until then. `at` is now, or later.

        Whoever waited for a lock over midnight finds that day closed; then all of it counts.
        """
        day = at // DAY_SECONDS
        if day < self.since // DAY_SECONDS:
            closed = UsageDay.objects.filter(username=self.username, day__lte=day)
            row = closed.filter(day__gt=day - F("days")).first()
            return row.byte_seconds if row else 0
        return mark_of(
            size=self.bytes, since=self.since, day_byte_seconds=self.day_byte_seconds, at=at
        )


def mark_of(*, size: int, since: int, day_byte_seconds: int, at: int) -> int:
    """The same of a report's values."""
    if at // DAY_SECONDS > since // DAY_SECONDS:
        return size * (at % DAY_SECONDS)
    return day_byte_seconds + size * max(0, at - since)


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


class Drift(models.Model):
    """A report was lost: from `since` until `until` an address had another size than noted.

    Unix time, whole seconds; `until` is not included, and is when it was put right. Where too
    much was noted, the difference is not charged; too little is charged as it was noted.
    """

    id = models.BigAutoField(primary_key=True)
    username = models.CharField(_("address"), max_length=ADDRESS_OCTETS)
    since = models.BigIntegerField(_("since"))
    until = models.BigIntegerField(_("put right"))
    noted_bytes = models.BigIntegerField(_("noted bytes"))
    true_bytes = models.BigIntegerField(_("true bytes"))

    class Meta:
        verbose_name = _("drift of a meter")
        verbose_name_plural = _("drifts of meters")
        constraints = (
            models.CheckConstraint(
                condition=Q(since__lte=F("until")), name="mailstore_drift_ends_after_start"
            ),
        )
        indexes = (
            models.Index(fields=("username", "until"), name="mailstore_drift_username"),
            models.Index(fields=("until",), name="mailstore_drift_until"),
        )

    def __str__(self) -> str:
        return f"{self.username}: {self.noted_bytes} → {self.true_bytes}"

    @property
    def waived_bytes(self) -> int:
        """By how much too much was noted: a gap is charged at its lower end."""
        return max(0, self.noted_bytes - self.true_bytes)


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
    # When it had been written to last, by which older files are told from newer ones.
    written_ns = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name = _("log position")
        verbose_name_plural = _("log positions")

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}"


class Recount(models.Model):
    """One comparison of every mailbox's report with what the mail server counts itself."""

    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    # The last mailbox that was looked at, so that a killed recount goes on from there.
    last_id = models.BigIntegerField(default=0)
    looked_at = models.PositiveBigIntegerField(_("mailboxes"), default=0)
    # Of which the mail server gave no figure.
    unanswered = models.PositiveBigIntegerField(_("without an answer"), default=0)

    class Meta:
        verbose_name = _("recount")
        verbose_name_plural = _("recounts")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d}"


class Suspicion(models.Model):
    """A report that differed from the mail server's figure, and may only have been on its way.

    Drift it is once both still stand after a while. `is_reported` is false where there was no
    report at all; `since` is the last moment at which the report was right for all we know.
    """

    username = models.CharField(_("address"), max_length=ADDRESS_OCTETS, unique=True)
    since = models.BigIntegerField()
    is_reported = models.BooleanField()
    noted_bytes = models.BigIntegerField()
    noted_messages = models.BigIntegerField()
    noted_since = models.BigIntegerField()
    true_bytes = models.BigIntegerField()
    true_messages = models.BigIntegerField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = _("suspicion of drift")
        verbose_name_plural = _("suspicions of drift")
        indexes = (models.Index(fields=("seen_at",), name="mailstore_suspicion_seen"),)

    def __str__(self) -> str:
        return self.username
