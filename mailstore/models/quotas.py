"""Warnings about space; a row that has not been sent is the queue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailstore.models.mailboxes import Mailbox


class QuotaWarning(models.Model):
    """A threshold that was crossed, and whom the news has reached."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="quota_warnings")
    percent = models.PositiveSmallIntegerField(_("threshold"))
    used_bytes = models.BigIntegerField(_("bytes used"))
    quota_bytes = models.BigIntegerField(_("limit in bytes"))
    at = models.DateTimeField(_("at"))
    stored_at = models.DateTimeField(_("put into the mailbox"), null=True)
    mailed_at = models.DateTimeField(_("sent to the owner"), null=True)

    class Meta:
        verbose_name = _("quota warning")
        verbose_name_plural = _("quota warnings")
        indexes = (
            models.Index(
                fields=("id",),
                condition=Q(stored_at__isnull=True) | Q(mailed_at__isnull=True),
                name="mailstore_warning_unsent",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.percent} %"
