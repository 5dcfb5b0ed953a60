"""The ledger as staff see it: open bills, postings, and what the payment provider told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.models import Organisation
from accounts.staff import ReadOnlyAdmin
from hosting import ledger, money
from hosting.forms.payments import amount_field
from hosting.models import LedgerEntry, OpenItem, ProviderEvent, Refund
from hosting.paying import facts
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer
from mailstore.admin.tables import Row, Table, first, url_of

# What the verbs refuse with a sentence.
REFUSALS = (ledger.LedgerRefused, money.TooFine, Forbidden)


class AmountForm(ReasonForm):
    """How much, and why."""

    field_order = ("amount", "reason")
    amount = amount_field(required=False, help_text=_("Empty for all that is left."))


class DueFilter(admin.SimpleListFilter):
    """How a bill stands."""

    title = _("standing")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open")), ("overdue", _("Overdue")), ("settled", _("Settled"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        today = timezone.now().date()
        chosen: dict[str, dict[str, object]] = {
            "open": {"open_minor__gt": 0},
            "overdue": {"open_minor__gt": 0, "due_on__lt": today},
            "settled": {"open_minor": 0},
        }
        return queryset.filter(**chosen.get(self.value() or "", {}))


@admin.register(OpenItem)
class OpenItemAdmin(ActingAdmin):
    """What is to be paid, and what settled it."""

    list_display = ("invoice", "customer", "seller", "due_on", "billed", "open")
    list_select_related = ("invoice__customer__parent", "invoice__seller__parent")
    list_filter = (DueFilter, "invoice__customer__is_test")
    search_fields = ("invoice__number", "invoice__customer__name")
    fields = ("invoice", "customer", "seller", "due_on", "billed", "open")
    csv_columns = (
        "invoice__number",
        "invoice__customer__name",
        "invoice__seller__name",
        "invoice__currency",
        "due_on",
        "billed_minor",
        "open_minor",
    )
    actions = ("write_off",)

    @admin.display(description=_("customer"))
    def customer(self, item: OpenItem) -> Organisation:
        return item.invoice.customer

    @admin.display(description=_("seller"))
    def seller(self, item: OpenItem) -> Organisation | None:
        return item.invoice.seller

    @admin.display(description=_("billed"))
    def billed(self, item: OpenItem) -> str:
        return money.minor_text(item.billed_minor, currency=item.invoice.currency)

    @admin.display(description=_("open"))
    def open(self, item: OpenItem) -> str:
        return item.open_text

    def is_offered(self, action: str, row: OpenItem) -> bool:
        return not row.is_settled

    def tables(self, row: Any) -> list[Table]:
        return [entries_of(row.invoice.entries)]

    @admin.action(description=_("Write off …"), permissions=["act"])
    def write_off(self, request: HttpRequest, queryset: QuerySet[OpenItem]) -> HttpResponse | None:
        form = AmountForm(answer(request))

        def write_off(item: OpenItem) -> None:
            ledger.write_off(
                actor=self.actor(request),
                invoice=item.invoice,
                amount_minor=minor_of(form, item.invoice.currency),
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )

        return self.ask_and_do(
            request,
            queryset,
            write_off,
            action="write_off",
            form=form,
            refusals=REFUSALS,
            explanation=gettext("Nobody will be asked for it any more."),
            done_text=gettext("Bills written off: %(count)s."),
        )


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ActingAdmin):
    """Every posting, and what took it back."""

    list_display = ("at", "kind", "amount", "payment", "invoice", "reason", "actor_name")
    list_select_related = ("payment__customer", "payment__seller", "invoice__customer")
    list_filter = ("kind", ("reverses", admin.EmptyFieldListFilter))
    search_fields = ("invoice__number", "payment__reference", "reason")
    fields = (*list_display, "reverses")
    csv_columns = (
        "at",
        "kind",
        "amount_minor",
        "currency",
        "payment__uuid",
        "invoice__number",
        "reason",
        "actor_name",
    )
    actions = ("release",)

    @admin.display(description=_("amount"))
    def amount(self, entry: LedgerEntry) -> str:
        return entry.amount_text

    def is_offered(self, action: str, row: LedgerEntry) -> bool:
        is_match = row.kind == LedgerEntry.Kind.MATCHED and row.reverses_id is None
        return is_match and not LedgerEntry.objects.filter(reverses=row).exists()

    @admin.action(description=_("Release the match …"), permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[LedgerEntry]) -> HttpResponse | None:
        form = ReasonForm(answer(request))

        def release(entry: LedgerEntry) -> None:
            reason = form.cleaned_data["reason"]
            ledger.release(actor=self.actor(request), entry=entry, reason=reason, at=timezone.now())

        return self.ask_and_do(
            request,
            queryset,
            release,
            action="release",
            form=form,
            refusals=REFUSALS,
            explanation=gettext("The bill is open again, and the money is the customer's credit."),
            done_text=gettext("Matches released: %(count)s."),
        )


@admin.register(ProviderEvent)
class ProviderEventAdmin(ActingAdmin):
    """What the payment provider told, and what came of it."""

    list_display = ("received_at", "name", "state", "problem", "event_id")
    list_filter = ("state",)
    search_fields = ("event_id", "name", "problem")
    fields = (*list_display, "data", "retry_at", "applied_at")
    actions = ("try_again",)

    def is_offered(self, action: str, row: ProviderEvent) -> bool:
        return row.state == ProviderEvent.State.FAILED

    @admin.action(description=_("Try again"), permissions=["act"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[ProviderEvent]) -> None:
        self.for_each(
            request,
            queryset,
            lambda event: facts.try_again(event=event, at=timezone.now()),
            refusals=REFUSALS,
            done_text=gettext("Messages that are tried again: %(count)s."),
        )


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Money on its way back."""

    list_display = ("asked_at", "amount", "payment", "state", "problem", "provider_id")
    list_select_related = ("payment",)
    list_filter = ("state",)
    search_fields = ("provider_id", "payment__reference")
    fields = (*list_display, "tries", "retry_at", "uuid")

    @admin.display(description=_("amount"))
    def amount(self, refund: Refund) -> str:
        return refund.amount_text


def minor_of(form: forms.Form, currency: str) -> int | None:
    """What the form's amount is in minor units; raises `money.TooFine`."""
    amount: Decimal | None = form.cleaned_data["amount"]
    return None if amount is None else money.exact_minor(amount, currency=currency)


def entries_of(entries: Any) -> Table:
    """The postings about one row, newest first."""
    related = entries.select_related("payment", "invoice").order_by("-pk")
    rows, has_more = first(cast("QuerySet[LedgerEntry]", related))
    return Table(
        title=gettext("Ledger"),
        columns=(
            gettext("What"),
            gettext("Amount"),
            gettext("When"),
            gettext("Payment"),
            gettext("Bill"),
            gettext("Reason"),
            gettext("By"),
        ),
        rows=[
            Row(
                cells=(
                    entry.get_kind_display(),
                    entry.amount_text,
                    entry.at,
                    entry.payment or "",
                    entry.invoice or "",
                    entry.reason,
                    entry.actor_name,
                ),
                url=url_of(entry),
            )
            for entry in rows
        ],
        empty=gettext("Nothing was posted."),
        has_more=has_more,
    )
