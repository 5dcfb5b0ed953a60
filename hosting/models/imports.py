"""Lists that people upload and programs send; the row's state is the queue."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import ApiKey, Organisation, User, below
from hosting import money


def made_by(by: User | ApiKey) -> dict[str, Any]:
    """Who brings a list in, as the field of a row: a person or a program."""
    return {"created_by_key" if isinstance(by, ApiKey) else "created_by": by}


def _of_mode(actor: Actor) -> Q:
    """A key for testing knows what such keys brought in, and no other does."""
    if actor.is_test is None:
        return Q()
    by_test_key = Q(created_by_key__is_test=True)
    return by_test_key if actor.is_test else ~by_test_key


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
    # A list of {"line": 3, "column": "address", "code": "invalid", "message": "…"}.
    problems = models.JSONField(_("problems"), default=list)
    problem_count = models.PositiveIntegerField(_("problems"), default=0)
    leased_until = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
    )
    created_by_key = models.ForeignKey(
        ApiKey,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
    )
    created_at = models.DateTimeField(_("uploaded"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("started"), null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)

    # Whether the work ends where whoever uploaded it is staff no more.
    is_for_staff = True
    # What working it off is called outside.
    operation_kind = ""
    # Whether its text is kept once all is done.
    keeps_text = False

    class Meta:
        abstract = True
        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            models.CheckConstraint(
                condition=Q(created_by__isnull=True, created_by_key__isnull=False)
                | Q(created_by__isnull=False, created_by_key__isnull=True),
                name="hosting_%(class)s_one_maker",
            ),
        )
        indexes = (
            models.Index(
                fields=("id",), condition=Q(state="running"), name="hosting_%(class)s_running"
            ),
        )

    def __str__(self) -> str:
        return self.file_name

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this list."""
        return ("import", str(self.uuid), self.file_name)

    @property
    def maker(self) -> User | ApiKey | None:
        """Who brought it in; load `created_by` and `created_by_key` with the row."""
        return self.created_by or self.created_by_key


class MailboxImportQuerySet(models.QuerySet["MailboxImport"]):
    """Lists by who may know of them."""

    def visible_to(self, actor: Actor) -> Self:
        """Lists for organisations in the actor's tree; staff see all, also those for many."""
        return self.filter(below(actor.in_any_mode(), "organisation__"), _of_mode(actor))


class MailboxImport(UploadedList):
    """Mailboxes to be opened."""

    operation_kind = "open_mailboxes"

    # Into whose domains, and those of its customers. Null where staff open them for anybody.
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        null=True,
        related_name="mailbox_imports",
    )
    opened_count = models.PositiveIntegerField(_("mailboxes opened"), default=0)
    # What it would cost by currency, as `hosting.quoting.Total`, of when a program brought it in.
    totals = models.JSONField(null=True, editable=False)

    objects = MailboxImportQuerySet.as_manager()

    class Meta(UploadedList.Meta):
        verbose_name = _("mailbox import")
        verbose_name_plural = _("mailbox imports")
        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            *UploadedList.Meta.constraints,
            models.CheckConstraint(
                condition=Q(created_by_key__isnull=True) | Q(organisation__isnull=False),
                name="hosting_mailboximport_keys_stay_within",
            ),
        )


class CustomerImportQuerySet(models.QuerySet["CustomerImport"]):
    """Lists by who may know of them."""

    def visible_to(self, actor: Actor) -> Self:
        """Lists of sellers in the actor's tree."""
        return self.filter(below(actor.in_any_mode(), "seller__"), _of_mode(actor))


class CustomerImport(UploadedList):
    """Customers to be opened, which a seller brings in by itself."""

    is_for_staff = False
    operation_kind = "open_customers"

    seller = models.ForeignKey(
        Organisation,
        verbose_name=_("seller"),
        on_delete=models.PROTECT,
        related_name="customer_imports",
    )
    opened_count = models.PositiveIntegerField(_("customers opened"), default=0)

    objects = CustomerImportQuerySet.as_manager()

    class Meta(UploadedList.Meta):
        verbose_name = _("customer import")
        verbose_name_plural = _("customer imports")

    @property
    def opens_tests(self) -> bool:
        """Whether its customers are there for testing; load `created_by_key` with the row."""
        return self.created_by_key is not None and self.created_by_key.is_test


class BankImport(UploadedList):
    """A bank statement, whose lines become payments."""

    # It is a paper of the books.
    keeps_text = True

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

    class Meta(UploadedList.Meta):
        verbose_name = _("bank statement")
        verbose_name_plural = _("bank statements")
