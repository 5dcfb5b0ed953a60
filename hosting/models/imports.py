"""Lists that staff upload; the row's state is the queue."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting import money


class UploadedList(models.Model):
    """A list that is checked first, then applied in pieces, each exactly once."""

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
        abstract = True

    def __str__(self) -> str:
        return self.file_name


class MailboxImport(UploadedList):
    """Mailboxes to be opened."""

    opened_count = models.PositiveIntegerField(_("mailboxes opened"), default=0)

    class Meta:
        verbose_name = _("mailbox import")
        verbose_name_plural = _("mailbox imports")


class BankImport(UploadedList):
    """A bank statement, whose lines become payments."""

    # Null stands for the house itself.
    seller = models.ForeignKey(
        Organisation,
        verbose_name=_("account of"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="bank_imports",
        limit_choices_to={"kind": Organisation.Kind.RESELLER},
        help_text=_("Empty for the house itself."),
    )
    # Lines of two accounts may have the same id.
    account = models.CharField(_("account"), max_length=60)
    # For lines that name none.
    currency = models.CharField(_("currency"), max_length=3, choices=money.CURRENCIES)
    # A `hosting.banking.statements.Form`: how it is written.
    form = models.JSONField(default=dict)
    taken_count = models.PositiveIntegerField(_("payments taken"), default=0)
    settled_count = models.PositiveIntegerField(_("of them matched"), default=0)
    known_count = models.PositiveIntegerField(_("known before"), default=0)

    class Meta:
        verbose_name = _("bank statement")
        verbose_name_plural = _("bank statements")
