"""Lists of mailboxes that staff upload; the row's state is the queue."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class MailboxImport(models.Model):
    """An uploaded list: checked first, then applied in pieces, each exactly once."""

    class State(models.TextChoices):
        CHECKED = "checked", _("Checked, waiting for your word")
        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        CANCELLED = "cancelled", _("Cancelled")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    file_name = models.CharField(_("file"), max_length=255)
    content = models.TextField(editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.CHECKED)
    row_count = models.PositiveIntegerField(_("rows"), default=0)
    done_count = models.PositiveIntegerField(_("rows done"), default=0)
    opened_count = models.PositiveIntegerField(_("mailboxes opened"), default=0)
    # A list of {"line": 3, "column": "address", "message": "…"}.
    problems = models.JSONField(_("problems"), default=list)
    leased_until = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
    )
    created_at = models.DateTimeField(_("uploaded"), default=timezone.now)

    class Meta:
        verbose_name = _("mailbox import")
        verbose_name_plural = _("mailbox imports")

    def __str__(self) -> str:
        return self.file_name
