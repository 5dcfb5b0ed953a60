"""What was charged: final when it is written, and never changed."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import money
from hosting.models.fields import WholeNumberField
from hosting.models.parties import Logo
from hosting.models.prices import Price, PriceList
from mailstore.models import Mailbox


class Immutable(Exception):
    """A bill is corrected by a credit note or next month, never edited."""

    def __init__(self) -> None:
        super().__init__("What was charged is never edited. Write a credit note.")


class Final(models.Model):
    """A row that is written once; the database refuses to change it, and this says so sooner."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Immutable


class InvoiceCounter(models.Model):
    """The next number of a seller; its row is locked while numbers are given.

    Bills of test organisations have a sequence of their own, so that the other has no gaps.
    """

    # Null stands for the house itself.
    seller = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, related_name="invoice_counters"
    )
    is_test = models.BooleanField(_("for testing"), default=False, db_default=False)
    prefix = models.CharField(_("prefix"), max_length=24, unique=True)
    next_number = models.PositiveBigIntegerField(_("next number"), default=1)

    class Meta:
        verbose_name = _("invoice counter")
        verbose_name_plural = _("invoice counters")
        constraints = (
            models.UniqueConstraint(
                Coalesce("seller_id", 0, output_field=models.BigIntegerField()),
                "is_test",
                name="hosting_counter_one_each_per_seller",
            ),
            models.CheckConstraint(
                condition=Q(is_test=True, prefix__startswith="TEST-")
                | Q(Q(is_test=False) & ~Q(prefix__startswith="TEST-")),
                name="hosting_counter_tests_are_marked",
            ),
        )

    def __str__(self) -> str:
        return f"{self.prefix}{self.next_number:06}"


class MonthClose(models.Model):
    """How the close of one month stands: it is complete once nobody's bill is missing.

    Test organisations have no part in it; their advances say what could not be done.
    """

    # The first day of the month.
    period = models.DateField(_("month"), unique=True)
    looked_at = models.DateTimeField(_("looked at"))
    failing_since = models.DateTimeField(_("bills missing since"), null=True)
    problem_count = models.PositiveIntegerField(_("problems"), default=0)
    # The first of them, in words.
    problems = models.JSONField(_("what is in the way"), default=list)

    class Meta:
        verbose_name = _("close of a month")
        verbose_name_plural = _("closes of months")
        indexes = (
            models.Index(
                fields=("failing_since",),
                condition=Q(failing_since__isnull=False),
                name="hosting_monthclose_failing",
            ),
        )

    def __str__(self) -> str:
        return f"{self.period:%Y-%m}"


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    """Which bills an actor may read."""

    def visible_to(self, actor: Actor) -> Self:
        """Those that an organisation issued or got in which the actor's role shows bills.

        What a reseller sells is its own affair, and what it buys is none of its customers'.
        """
        if actor.can_everywhere(Capability.SEE_BILLS):
            return self.all()
        own = actor.only_with(Capability.SEE_BILLS).organisation_ids
        mode = Q() if actor.is_test is None else Q(customer__is_test=actor.is_test)
        return self.filter(mode, Q(customer__in=own) | Q(seller__in=own))

    def standing(self) -> Self:
        """The bills that no credit note takes back."""
        return self.filter(kind=Invoice.Kind.INVOICE, credit_notes=None)


class Invoice(Final):
    """A bill of one month, or a credit note that takes one back."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        CREDIT_NOTE = "credit_note", _("Credit note")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=11, choices=Kind, default=Kind.INVOICE)
    number = models.CharField(_("number"), max_length=40, unique=True)
    customer = models.ForeignKey(
        Organisation, verbose_name=_("customer"), on_delete=models.PROTECT, related_name="invoices"
    )
    # Null stands for the house itself.
    seller = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, related_name="issued_invoices"
    )
    price_list = models.ForeignKey(PriceList, on_delete=models.PROTECT, related_name="invoices")
    pools_storage = models.BooleanField(default=False)
    # The key of the newest price that there was, on bills of test organisations: days that their
    # clock has passed are still to come for whoever sets prices.
    newest_price = models.BigIntegerField(null=True, editable=False)
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="credit_notes"
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    # The bill of the same month that was taken back before this one was written.
    replaces = models.ForeignKey(
        "self",
        verbose_name=_("replaces"),
        on_delete=models.PROTECT,
        null=True,
        related_name="replaced_by",
    )
    # The first day of the month.
    period = models.DateField(_("month"))
    issued_at = models.DateTimeField(_("issued"))
    currency = models.CharField(_("currency"), max_length=3)
    # Of the month itself. What a bill puts right of other months is taxed as they were
    # (`InvoiceTax`).
    vat_percent = models.DecimalField(_("VAT percent"), max_digits=5, decimal_places=2)
    vat_note = models.CharField(_("VAT note"), max_length=200, blank=True)
    net_minor = models.BigIntegerField(_("net"))
    vat_minor = models.BigIntegerField(_("VAT"))
    total_minor = models.BigIntegerField(_("total"))
    seller_text = models.JSONField()
    logo = models.ForeignKey(
        Logo, verbose_name=_("logo"), on_delete=models.PROTECT, null=True, related_name="invoices"
    )
    customer_text = models.JSONField()

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        constraints = (
            models.UniqueConstraint(
                fields=("customer", "period"),
                condition=Q(kind="invoice", replaces__isnull=True),
                name="hosting_invoice_once",
            ),
            # That what is replaced was taken back, a trigger says (migration 0030).
            models.UniqueConstraint(
                fields=("replaces",),
                condition=Q(replaces__isnull=False),
                name="hosting_invoice_replaced_once",
            ),
            models.UniqueConstraint(fields=("corrects",), name="hosting_invoice_one_credit_note"),
            models.CheckConstraint(
                condition=Q(total_minor=F("net_minor") + F("vat_minor")),
                name="hosting_invoice_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects__isnull=True)
                | Q(kind="credit_note", corrects__isnull=False),
                name="hosting_invoice_credit_note_names_its_invoice",
            ),
        )

    def __str__(self) -> str:
        return self.number

    @property
    def net_text(self) -> str:
        """Before tax."""
        return money.minor_text(self.net_minor, currency=self.currency)

    @property
    def vat_text(self) -> str:
        """The tax."""
        return money.minor_text(self.vat_minor, currency=self.currency)

    @property
    def total_text(self) -> str:
        """What is to be paid."""
        return money.minor_text(self.total_minor, currency=self.currency)


class InvoiceTax(Final):
    """What a bill taxes at one rate: the sum of those lines, and the tax, rounded once.

    The first one is at the rate of the bill's own month; the others are at those of the months
    that the bill puts right.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="taxes")
    number = models.PositiveSmallIntegerField()
    percent = models.DecimalField(_("VAT percent"), max_digits=5, decimal_places=2)
    note = models.CharField(_("VAT note"), max_length=200, blank=True)
    net_minor = models.BigIntegerField(_("net"))
    vat_minor = models.BigIntegerField(_("VAT"))

    class Meta:
        verbose_name = _("VAT of a bill")
        verbose_name_plural = _("VAT of bills")
        constraints = (
            models.UniqueConstraint(fields=("invoice", "number"), name="hosting_invoicetax_once"),
        )

    def __str__(self) -> str:
        return f"{self.invoice} · {self.percent} %"


class InvoiceLine(Final):
    """One line of a bill; all that its amount was computed from stands in it."""

    class Kind(models.TextChoices):
        MAILBOX = "mailbox", _("Mailbox")
        STORAGE = "storage", _("Storage")
        CORRECTION = "correction", _("Correction")

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    # Null stands for all mailboxes on this price, which share what is included.
    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.PROTECT, null=True, related_name="invoice_lines"
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="invoice_lines")
    # The month that the line is about: a correction is about the one before the invoice's.
    period = models.DateField(_("month"))
    seconds = models.PositiveBigIntegerField()
    used_byte_seconds = WholeNumberField()
    included_byte_seconds = WholeNumberField()
    net_minor = models.BigIntegerField(_("net"))
    # Which of the bill's taxes it falls under; null stands for the first one. Only what is put
    # right has a number, so that a million lines carry nothing that all of them share.
    tax_number = models.PositiveSmallIntegerField(null=True)

    class Meta:
        verbose_name = _("invoice line")
        verbose_name_plural = _("invoice lines")
        constraints = (
            models.UniqueConstraint(
                fields=("invoice", "position"), name="hosting_invoiceline_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.invoice} · {self.position}"

    @property
    def tax_key(self) -> tuple[int, int]:
        """Its bill, and which of that bill's taxes it falls under."""
        return self.invoice_id, self.tax_number or 1
