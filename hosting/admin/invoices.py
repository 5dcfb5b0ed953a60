"""Bills as staff see them: read-only, printed, verified, and taken back by a credit note."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import Forbidden
from accounts.models import Organisation
from hosting import invoicing, money, papers
from hosting.models import Invoice, InvoiceLine
from hosting.papers import lines
from mailstore.admin.acting import ActingAdmin, answer
from mailstore.admin.tables import Row, Table, first, url_of

_REFUSALS = (invoicing.CreditRefused, invoicing.AgainRefused, Forbidden)
# A bill that is wrong in every line says so in the first of them.
_MOST_DIFFERENCES = 20


class AgainForm(forms.Form):
    """On which terms a month is billed again."""

    by_terms_of_now = forms.BooleanField(
        label=_("On the terms of now"),
        required=False,
        help_text=_(
            "Take the price list, and whether space is shared, from the customer's profile. "
            "Otherwise they stay as they were on the bill that was taken back."
        ),
    )


class CreditForm(forms.Form):
    """Why a bill is taken back."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        help_text=_("The credit note shows it to the customer."),
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
    )


@admin.register(Invoice)
class InvoiceAdmin(ActingAdmin):
    """What was charged is never edited; its lines stand below it."""

    list_display = (
        "number",
        "kind",
        "customer",
        "seller_name",
        "month",
        "net_text",
        "vat_text",
        "total_text",
        "issued_at",
    )
    list_select_related = ("customer", "seller", "corrects", "replaces")
    list_filter = ("kind", "customer__is_test")
    search_fields = ("number", "customer__name")
    search_help_text = _("Number or customer")
    fields = (
        "number",
        "kind",
        "customer",
        "seller_name",
        "month",
        "issued_at",
        "net_text",
        "vat_percent",
        "vat_text",
        "vat_note",
        "total_text",
        "corrects",
        "replaces",
        "reason",
        "price_list",
        "paper",
        "uuid",
    )
    csv_columns = (
        "number",
        "kind",
        "corrects__number",
        "customer__name",
        "period",
        "issued_at",
        "currency",
        "net_minor",
        "vat_percent",
        "vat_minor",
        "total_minor",
        "vat_note",
    )
    actions = ("verify", "take_back", "bill_again")
    change_form_template = "admin/mailstore/change_form.html"

    # What the list and the page show ----------------------------------------------------

    @admin.display(description=_("seller"))
    def seller_name(self, invoice: Invoice) -> str:
        return invoice.seller.name if invoice.seller else gettext("The house")

    @admin.display(description=_("month"))
    def month(self, invoice: Invoice) -> str:
        return f"{invoice.period:%Y-%m}"

    @admin.display(description=_("net"))
    def net_text(self, invoice: Invoice) -> str:
        return invoice.net_text

    @admin.display(description=_("VAT"))
    def vat_text(self, invoice: Invoice) -> str:
        return invoice.vat_text

    @admin.display(description=_("total"))
    def total_text(self, invoice: Invoice) -> str:
        return invoice.total_text

    @admin.display(description=_("paper"))
    def paper(self, invoice: Invoice) -> str:
        url = reverse("admin:hosting_invoice_pdf", args=(invoice.pk,))
        return format_html('<a href="{}">{}</a>', url, gettext("PDF"))

    def tables(self, row: Invoice) -> list[Table]:
        return [_taxes(row), _lines(row)]

    def is_offered(self, action: str, row: Invoice) -> bool:
        if action == "verify":
            return True
        is_standing = Invoice.objects.standing().filter(pk=row.pk).exists()
        if action == "bill_again":
            return not (is_standing or row.corrects_id or row.replaced_by.exists())
        return is_standing

    # The PDF ----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.pdf_view))
        return [path("<int:pk>/pdf/", view, name="hosting_invoice_pdf"), *super().get_urls()]

    def pdf_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The paper that the customer gets."""
        self.must_view(request)
        found = Invoice.objects.select_related("customer", "corrects", "replaces", "logo")
        invoice = get_object_or_404(found, pk=pk)
        headers = {"Content-Disposition": f'inline; filename="{invoice.number}.pdf"'}
        made = papers.pdf(invoice, papers.paper(invoice))
        return HttpResponse(made, content_type="application/pdf", headers=headers)

    # Actions ----------------------------------------------------------------------------

    @admin.action(description=_("Verify"), permissions=["view"])
    def verify(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        related = ("customer__parent", "price_list__seller", "corrects")
        for invoice in queryset.select_related(*related):
            differences = invoicing.verify(invoice)
            for difference in differences[:_MOST_DIFFERENCES]:
                self.message_user(request, f"{invoice}: {difference}", messages.ERROR)
            if not differences:
                text = gettext("%(number)s is equal to what the rows come to: %(total)s.")
                said = {"number": invoice.number, "total": invoice.total_text}
                self.message_user(request, text % said, messages.SUCCESS)

    @admin.action(description=_("Take back by a credit note …"), permissions=["act"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        form = CreditForm(answer(request))
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset.select_related("customer", "seller__parent"),
            lambda invoice: invoicing.credit(
                actor=actor, invoice=invoice, reason=form.cleaned_data["reason"], at=at
            ),
            action="take_back",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "A credit note takes back the whole bill, line by line, at the same prices and "
                "the same VAT. It has a number of its own and cannot be taken back itself. The "
                "month then costs nothing. To charge it with another name, address or VAT id, "
                "change the customer's billing profile, and then choose “Bill again” on the bill "
                "that was taken back."
            ),
            done_text=gettext("Bills that were taken back: %(count)s."),
        )

    @admin.action(description=_("Bill again …"), permissions=["act"])
    def bill_again(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        form = AgainForm(answer(request))
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset.select_related("customer__parent", "seller__parent", "price_list__seller"),
            lambda invoice: invoicing.bill_again(
                actor=actor,
                invoice=invoice,
                at=at,
                by_terms_of_now=form.cleaned_data["by_terms_of_now"],
            ),
            action="bill_again",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "A new bill of the same month, in the place of one that was taken back. It says "
                "what the customer's billing profile says now, is taxed by it, and counts what is "
                "known now of contracts and use. It falls due like every new bill. A credit note "
                "takes it back."
            ),
            done_text=gettext("Months that were billed again: %(count)s."),
        )

    def line(self, row: Invoice) -> str:
        return f"{row.number}, {row.customer}, {row.period:%Y-%m}, {row.total_text}"


def _taxes(invoice: Invoice) -> Table:
    currency = invoice.currency
    return Table(
        title=gettext("VAT"),
        columns=(gettext("Percent"), gettext("On"), gettext("VAT"), gettext("Note")),
        rows=[
            Row(
                cells=(
                    f"{tax.percent.normalize():f}",
                    money.minor_text(tax.net_minor, currency=currency),
                    money.minor_text(tax.vat_minor, currency=currency),
                    tax.note,
                )
            )
            for tax in invoice.taxes.order_by("number")
        ],
        empty=gettext("It has none."),
    )


def _lines(invoice: Invoice) -> Table:
    rows, has_more = first(lines.rows_of(invoice))
    late = lines.late(invoice)
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    return Table(
        title=gettext("Lines"),
        columns=(
            gettext("For"),
            gettext("What it is"),
            gettext("Customer"),
            gettext("Quantity"),
            gettext("Unit"),
            gettext("Unit price"),
            gettext("Net"),
        ),
        rows=[_row(row, late=late, is_credit=is_credit) for row in rows],
        empty=gettext("It has no lines."),
        has_more=has_more,
    )


def _row(row: InvoiceLine, *, late: lines.Late, is_credit: bool) -> Row:
    said = lines.in_words(lines.charge_of(row), late=late, is_credit=is_credit)
    owner: Organisation | None = row.mailbox.organisation if row.mailbox else None
    return Row(
        cells=(
            said.what,
            said.detail,
            owner.name if owner else "",
            said.quantity,
            said.unit,
            said.unit_price,
            said.net,
        ),
        url=url_of(row.mailbox) if row.mailbox else "",
    )
