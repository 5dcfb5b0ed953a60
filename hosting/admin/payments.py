"""Payments as staff see them: whatever is done to one goes through the ledger's verbs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation
from accounts.staff import Chooser
from hosting import ledger, money
from hosting.admin.ledger import REFUSALS, AmountForm, entries_of, minor_of
from hosting.banking import matching
from hosting.forms.payments import amount_field
from hosting.models import Invoice, Payment
from hosting.paying import refunding
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer
from mailstore.admin.tables import Row, Table, url_of

_MOST_SUGGESTED = 20


def _customer_field(**more: Any) -> forms.ModelChoiceField[Organisation]:
    """One of many, found by typing a part of its name."""
    return forms.ModelChoiceField(
        label=_("Customer"),
        queryset=Organisation.objects.select_related("parent__parent"),
        widget=Chooser(cast("Any", Payment.customer).field, admin.site),
        **more,
    )


class NewPaymentForm(forms.Form):
    """Money that staff know of."""

    customer = _customer_field(required=False, help_text=_("Empty while it is not known."))
    seller = forms.ModelChoiceField(
        label=_("Paid to"),
        queryset=Organisation.objects.filter(kind=Organisation.Kind.RESELLER),
        required=False,
        empty_label=_("the house"),
    )
    amount = amount_field()
    currency = forms.ChoiceField(label=_("Currency"), choices=money.CURRENCIES)
    received_on = forms.DateField(
        label=_("Received on"), widget=forms.DateInput(attrs={"type": "date"})
    )
    payer = forms.CharField(label=_("Payer"), max_length=200, required=False)
    reference = forms.CharField(label=_("Reference"), max_length=500, required=False)
    external_id = forms.CharField(
        label=_("Receipt number"),
        max_length=200,
        required=False,
        help_text=_("The same number is not recorded twice."),
    )


class MatchForm(forms.Form):
    """The bills that a payment is for."""

    numbers = forms.CharField(
        label=_("Bills"),
        max_length=500,
        required=False,
        help_text=_("Numbers with commas between them; empty for what is certain."),
    )
    amount = amount_field(required=False, help_text=_("Empty for as much as there is."))


class CustomerForm(forms.Form):
    """Whose money it is."""

    customer = _customer_field()


class FreeFilter(admin.SimpleListFilter):
    """What still wants to be looked at."""

    title = _("use")
    parameter_name = "use"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("nobody", _("Nobody's yet")),
            ("free", _("Something is left")),
            ("used", _("Used")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen: dict[str, dict[str, object]] = {
            "nobody": {"customer": None, "free_minor__gt": 0},
            "free": {"free_minor__gt": 0},
            "used": {"free_minor": 0},
        }
        return queryset.filter(**chosen.get(self.value() or "", {}))


@admin.register(Payment)
class PaymentAdmin(ActingAdmin):
    """Money that came in, what it settled, and what it could settle."""

    list_display = (
        "received_on",
        "amount",
        "free",
        "customer",
        "seller",
        "source",
        "payer",
        "reference",
    )
    list_display_links = ("received_on", "amount")
    list_select_related = ("customer__parent", "seller__parent")
    list_filter = (FreeFilter, "source", "currency")
    search_fields = ("payer", "reference", "external_id", "customer__name")
    fields = (
        "received_on",
        "amount",
        "free",
        "customer",
        "seller",
        "source",
        "external_id",
        "payer",
        "reference",
        "recorded_at",
        "uuid",
    )
    csv_columns = (
        "uuid",
        "received_on",
        "amount_minor",
        "free_minor",
        "currency",
        "customer__name",
        "seller__name",
        "source",
        "external_id",
        "payer",
        "reference",
    )
    actions = ("match", "assign", "pay_back", "take_back")

    @admin.display(description=_("amount"))
    def amount(self, payment: Payment) -> str:
        return payment.amount_text

    @admin.display(description=_("free"))
    def free(self, payment: Payment) -> str:
        return payment.free_text

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hosting.add_payment")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Record money that staff know of."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewPaymentForm(request.POST or None, initial={"received_on": timezone.now().date()})
        if request.method == "POST" and form.is_valid():
            payment = _recorded(form, self.actor(request))
            if payment is not None:
                self.message_user(request, gettext("The payment is recorded."), messages.SUCCESS)
                return HttpResponseRedirect(url_of(payment))
        context = {"title": gettext("Record a payment"), "form": form}
        return self.render(request, "record", context)

    def is_offered(self, action: str, row: Payment) -> bool:
        is_whole = row.free_minor == row.amount_minor
        return {"assign": is_whole, "take_back": is_whole}.get(action, row.free_minor > 0)

    def tables(self, row: Any) -> list[Table]:
        return [_suggestions(row), entries_of(row.entries)]

    @admin.action(description=_("Match to bills …"), permissions=["act"])
    def match(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        chosen = list(queryset)
        named = {"numbers": ", ".join(_numbers(chosen[0]))} if len(chosen) == 1 else {}
        form = MatchForm(answer(request), initial=named)

        def match(payment: Payment) -> None:
            asked = form.cleaned_data
            _matched(payment, asked["numbers"], asked["amount"], actor=self.actor(request))

        return self.ask_and_do(
            request,
            queryset,
            match,
            action="match",
            form=form,
            refusals=REFUSALS,
            explanation=gettext("What the bills do not take stays as the customer's credit."),
            done_text=gettext("Payments matched: %(count)s."),
        )

    @admin.action(description=_("Say whose it is …"), permissions=["act"])
    def assign(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        form = CustomerForm(answer(request))

        def assign(payment: Payment) -> None:
            customer = form.cleaned_data["customer"]
            ledger.assign(actor=self.actor(request), payment=payment, customer=customer)

        return self.ask_and_do(
            request,
            queryset,
            assign,
            action="assign",
            form=form,
            refusals=REFUSALS,
            explanation=gettext("It settles what the customer owes within minutes, oldest first."),
            done_text=gettext("Payments whose customer is known now: %(count)s."),
        )

    @admin.action(description=_("Pay back …"), permissions=["act"])
    def pay_back(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        form = AmountForm(answer(request))

        def pay_back(payment: Payment) -> None:
            _paid_back(
                payment,
                amount_minor=minor_of(form, payment.currency) or payment.free_minor,
                reason=form.cleaned_data["reason"],
                actor=self.actor(request),
            )

        return self.ask_and_do(
            request,
            queryset,
            pay_back,
            action="pay_back",
            form=form,
            refusals=REFUSALS,
            explanation=gettext(
                "What came by Stripe goes back by Stripe. All else you pay back yourself; this "
                "only records it.",
            ),
            done_text=gettext("Payments paid back: %(count)s."),
        )

    @admin.action(description=_("Take back the record …"), permissions=["act"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        form = ReasonForm(answer(request))

        def take_back(payment: Payment) -> None:
            ledger.take_back(
                actor=self.actor(request),
                payment=payment,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )

        return self.ask_and_do(
            request,
            queryset,
            take_back,
            action="take_back",
            form=form,
            refusals=REFUSALS,
            explanation=gettext("For money that never came, such as a payment typed in twice."),
            done_text=gettext("Records taken back: %(count)s."),
        )


def _recorded(form: NewPaymentForm, actor: Actor) -> Payment | None:
    asked = dict(form.cleaned_data)
    try:
        amount_minor = money.exact_minor(asked.pop("amount"), currency=asked["currency"])
        return ledger.receive(
            actor=actor,
            source=Payment.Source.STAFF,
            amount_minor=amount_minor,
            at=timezone.now(),
            **asked,
        )
    except REFUSALS as refusal:
        form.add_error(None, str(refusal))
        return None


def _paid_back(payment: Payment, *, amount_minor: int, reason: str, actor: Actor) -> None:
    pay_back: Callable[..., object] = ledger.pay_back
    if payment.source == Payment.Source.STRIPE:
        pay_back = refunding.ask
    pay_back(
        actor=actor, payment=payment, amount_minor=amount_minor, reason=reason, at=timezone.now()
    )


def _matched(payment: Payment, numbers: str, amount: Decimal | None, *, actor: Actor) -> None:
    """Match to the bills that are named, in their order, or to what is certain."""
    named = [number for number in re.split(r"[\s,;]+", numbers) if number]
    invoices = _invoices(named) if named else _certain(payment)
    most = None if amount is None else money.exact_minor(amount, currency=payment.currency)
    for invoice in invoices:
        entry = ledger.match(
            actor=actor, payment=payment, invoice=invoice, amount_minor=most, at=timezone.now()
        )
        payment.free_minor -= entry.amount_minor
        if not payment.free_minor:
            return


def _invoices(numbers: Sequence[str]) -> list[Invoice]:
    found = Invoice.objects.select_related("customer__parent").in_bulk(numbers, field_name="number")
    for number in numbers:
        if number not in found:
            message = gettext("There is no bill %(number)s.") % {"number": number}
            raise ledger.NotMatched(message)
    return [found[number] for number in numbers]


def _certain(payment: Payment) -> list[Invoice]:
    suggestion = _suggestion(payment)
    if not suggestion.is_certain:
        message = gettext("It is not certain for which bill this is. Name it.")
        raise ledger.NotMatched(message)
    return [item.invoice for item in suggestion.items]


def _suggestion(payment: Payment) -> matching.Suggestion:
    clue = matching.Clue(
        amount_minor=payment.free_minor,
        currency=payment.currency,
        payer=payment.payer,
        reference=payment.reference,
    )
    [suggestion] = matching.suggest([clue], seller=payment.seller)
    return suggestion


def _numbers(payment: Payment) -> list[str]:
    items = _suggestion(payment).items[:_MOST_SUGGESTED] if payment.free_minor else ()
    return [item.invoice.number for item in items]


def _suggestions(payment: Payment) -> Table:
    suggestion = _suggestion(payment) if payment.free_minor else matching.Suggestion()
    rows = [
        Row(
            cells=(item.invoice, item.invoice.customer, item.due_on, item.open_text),
            url=url_of(item),
        )
        for item in suggestion.items[:_MOST_SUGGESTED]
    ]
    title = gettext("What it could settle")
    return Table(
        title=f"{title}: {suggestion.reason}" if rows else title,
        columns=(gettext("Bill"), gettext("Customer"), gettext("Due"), gettext("Open")),
        rows=rows,
        empty=suggestion.reason or gettext("Nothing is left of it."),
    )
