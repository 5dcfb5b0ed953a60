"""What was paid: a ledger beside the bills, which are final themselves.

An entry is never changed, only taken back by its mirror. The database posts each entry to the
payment's free amount and to the bill's open amount in the same statement, and refuses what
would bring either below zero (`hosting/migrations/0010_ledger_posts_itself.py`).
"""

from __future__ import annotations

import uuid
from datetime import date
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind, Capability
from accounts.models import Organisation
from hosting import money
from hosting.models.invoices import Final, Invoice


class OpenItemQuerySet(models.QuerySet["OpenItem"]):
    """Which bills still wait for money."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of the bills that the actor may see."""
        return self.filter(invoice__in=Invoice.objects.visible_to(actor))

    def open(self) -> Self:
        """With something left to pay, the one due first at the top; with bill and parties."""
        joined = self.filter(open_minor__gt=0).select_related(
            "invoice__customer__parent", "invoice__seller"
        )
        return joined.order_by("due_on", "invoice_id")

    def of(self, customer: Organisation) -> Self:
        """Those of one customer."""
        return self.filter(invoice__customer=customer)

    def due_by(self, day: date) -> Self:
        """Those whose due date is this day or lies before it."""
        return self.filter(due_on__lte=day)


class OpenItem(models.Model):
    """What stands open of one bill, and until when it is to be paid.

    Each bill has one from the transaction in which it is written; credit notes have none.
    """

    invoice = models.OneToOneField(
        Invoice, on_delete=models.PROTECT, primary_key=True, related_name="open_item"
    )
    due_on = models.DateField(_("due"))
    # What the bill asked for; a bill below zero asks for nothing.
    billed_minor = models.BigIntegerField(_("billed"))
    open_minor = models.BigIntegerField(_("open"))
    # Since when the outside knows that it was not paid in time.
    overdue_told_at = models.DateTimeField(null=True, default=None, editable=False)

    objects = OpenItemQuerySet.as_manager()

    class Meta:
        verbose_name = _("open item")
        verbose_name_plural = _("open items")
        constraints = (
            models.CheckConstraint(
                condition=Q(open_minor__gte=0) & Q(open_minor__lte=F("billed_minor")),
                name="hosting_openitem_within_bill",
                violation_error_message=_("More than is open cannot be paid."),
            ),
        )
        indexes = (
            models.Index(
                fields=("due_on",), condition=Q(open_minor__gt=0), name="hosting_openitem_due"
            ),
        )

    def __str__(self) -> str:
        return f"{self.invoice} · {self.open_text}"

    @property
    def open_text(self) -> str:
        """What is left to pay; load `invoice` with the row."""
        return money.minor_text(self.open_minor, currency=self.invoice.currency)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to pay."""
        return self.open_minor == 0

    def is_overdue(self, today: date) -> bool:
        """Whether something is left after the last day on which it was to be paid."""
        return not self.is_settled and self.due_on < today


class PaymentQuerySet(models.QuerySet["Payment"]):
    """Which payments an actor may see."""

    def visible_to(self, actor: Actor) -> Self:
        """Those that an organisation paid or was paid in which the actor's role shows bills."""
        if actor.can_everywhere(Capability.SEE_BILLS):
            return self.all()
        own = actor.only_with(Capability.SEE_BILLS).organisation_ids
        return self.filter(Q(customer__in=own) | Q(seller__in=own))

    def free(self) -> Self:
        """With something left that no bill has taken, oldest first."""
        return self.filter(free_minor__gt=0).order_by("received_on", "pk")


class Payment(models.Model):
    """Money that came in, and how much of it no bill has taken yet."""

    class Source(models.TextChoices):
        STAFF = "staff", _("Entered by staff")
        SELLER = "seller", _("Entered by the seller")
        BANK = "bank", _("Bank statement")
        STRIPE = "stripe", _("Stripe")
        BILL = "bill", _("Bill below zero")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # Null stands for the house itself.
    seller = models.ForeignKey(
        Organisation,
        verbose_name=_("paid to"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="received_payments",
    )
    # Null until somebody knows whose money it is.
    customer = models.ForeignKey(
        Organisation,
        verbose_name=_("customer"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="payments",
    )
    source = models.CharField(_("source"), max_length=6, choices=Source)
    # What the source calls it, so that it is taken once however often it is told of.
    external_id = models.CharField(_("id at the source"), max_length=200, blank=True)
    currency = models.CharField(_("currency"), max_length=3, choices=money.CURRENCIES)
    amount_minor = models.BigIntegerField(_("amount"))
    free_minor = models.BigIntegerField(_("free"), default=0)
    received_on = models.DateField(_("received"))
    payer = models.CharField(_("payer"), max_length=200, blank=True)
    reference = models.CharField(_("reference"), max_length=500, blank=True)
    recorded_at = models.DateTimeField(_("recorded"))

    objects = PaymentQuerySet.as_manager()

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = (
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0),
                name="hosting_payment_positive",
                violation_error_message=_("A payment is above zero."),
            ),
            models.CheckConstraint(
                condition=Q(free_minor__gte=0) & Q(free_minor__lte=F("amount_minor")),
                name="hosting_payment_within_amount",
                violation_error_message=_("More than was received cannot be used."),
            ),
            models.UniqueConstraint(
                Coalesce("seller_id", 0, output_field=models.BigIntegerField()),
                "source",
                "external_id",
                condition=~Q(external_id=""),
                name="hosting_payment_taken_once",
                violation_error_message=_("This payment was recorded already."),
            ),
        )
        indexes = (
            models.Index(
                fields=("customer",), condition=Q(free_minor__gt=0), name="hosting_payment_free"
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount_text} · {self.received_on}"

    @property
    def amount_text(self) -> str:
        """What came in."""
        return money.minor_text(self.amount_minor, currency=self.currency)

    @property
    def free_text(self) -> str:
        """What no bill has taken."""
        return money.minor_text(self.free_minor, currency=self.currency)


class LedgerEntry(Final):
    """One posting, for good; the database moves the amounts that it is about."""

    class Kind(models.TextChoices):
        RECEIVED = "received", _("Received")
        MATCHED = "matched", _("Matched to a bill")
        REFUNDED = "refunded", _("Paid back")
        WRITTEN_OFF = "written_off", _("Written off")
        CREDITED = "credited", _("Settled by a credit note")

    kind = models.CharField(_("kind"), max_length=11, choices=Kind)
    at = models.DateTimeField(_("at"))
    payment = models.ForeignKey(
        Payment,
        verbose_name=_("payment"),
        on_delete=models.PROTECT,
        null=True,
        related_name="entries",
    )
    invoice = models.ForeignKey(
        Invoice,
        verbose_name=_("bill"),
        on_delete=models.PROTECT,
        null=True,
        related_name="entries",
    )
    currency = models.CharField(_("currency"), max_length=3)
    # Below zero only where an entry takes another one back.
    amount_minor = models.BigIntegerField(_("amount"))
    reverses = models.OneToOneField(
        "self",
        verbose_name=_("takes back"),
        on_delete=models.PROTECT,
        null=True,
        related_name="reversed_by",
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    actor_kind = models.CharField(max_length=10, choices=[(k, k) for k in ActorKind])
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(_("by"), max_length=254)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = (
            models.CheckConstraint(
                condition=Q(reverses__isnull=True, amount_minor__gt=0)
                | Q(reverses__isnull=False, amount_minor__lt=0),
                name="hosting_ledgerentry_sign",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=("received", "refunded"),
                    payment__isnull=False,
                    invoice__isnull=True,
                )
                | Q(kind="matched", payment__isnull=False, invoice__isnull=False)
                | Q(
                    kind__in=("written_off", "credited"),
                    payment__isnull=True,
                    invoice__isnull=False,
                ),
                name="hosting_ledgerentry_shape",
            ),
            models.UniqueConstraint(
                fields=("payment",),
                condition=Q(kind="received", reverses__isnull=True),
                name="hosting_ledgerentry_received_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount_text}"

    @property
    def amount_text(self) -> str:
        """What it moves."""
        return money.minor_text(self.amount_minor, currency=self.currency)
