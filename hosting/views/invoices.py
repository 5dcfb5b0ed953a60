"""Invoices: those that came, those that a reseller issued, and each as page, PDF and CSV."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Q, Sum
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import clocks, papers
from hosting.models import Invoice, Logo
from hosting.models.invoices import InvoiceQuerySet
from hosting.papers import Paper
from hosting.papers.values import amount
from hosting.views import actor_of, must_see_bills, payments_in
from hosting.views.payments import pay_state

PAGE_LENGTH = 50
_FIRST_YEAR, _LAST_YEAR = 2000, 9999
# In the address of a list, for what is left to pay.
_OPEN = "open"


@login_required
@require_safe
def received(request: HttpRequest) -> HttpResponse:
    """Bills to the person's own organisations."""
    actor = must_see_bills(actor_of(request))
    found = Invoice.objects.visible_to(actor).filter(customer__in=actor.organisation_ids)
    return _list(request, found, actor=actor, section="received")


@login_required
@require_safe
def issued(request: HttpRequest) -> HttpResponse:
    """Bills that the person's organisations issued: a reseller's, or those of the house."""
    actor = must_see_bills(actor_of(request))
    by = Q(seller__in=actor.organisation_ids)
    if actor.can_everywhere(Capability.SEE_BILLS):
        by |= Q(seller=None)
    found = Invoice.objects.visible_to(actor).filter(by)
    return _list(request, found, actor=actor, section="issued")


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One bill."""
    actor = actor_of(request)
    invoice = _load(actor, uuid)
    return _page(request, invoice, papers.paper(invoice), actor=actor)


@login_required
@require_safe
def pdf(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The same on paper."""
    invoice = _load(actor_of(request), uuid)
    return _as_pdf(invoice, papers.paper(invoice), name=invoice.number)


@login_required
@require_safe
def lines(request: HttpRequest, uuid: UUID) -> StreamingHttpResponse:
    """All its lines, with the customer of each, as CSV."""
    invoice = _load(actor_of(request), uuid)
    return StreamingHttpResponse(
        papers.csv_of(invoice),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{invoice.number}.csv"'},
    )


@login_required
@require_safe
def statement(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A reseller's bill by customer."""
    actor = actor_of(request)
    invoice = _load_resellers(actor, uuid)
    return _page(request, invoice, papers.statement(invoice), actor=actor)


@login_required
@require_safe
def statement_pdf(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The same on paper."""
    invoice = _load_resellers(actor_of(request), uuid)
    return _as_pdf(invoice, papers.statement(invoice), name=f"{invoice.number}-statement")


@login_required
@require_safe
def logo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The picture at the head of a bill."""
    invoice = _load(actor_of(request), uuid)
    if invoice.logo is None:
        raise Http404
    return picture(invoice.logo)


def picture(logo: Logo) -> HttpResponse:
    """A logo as it was encoded here."""
    return HttpResponse(bytes(logo.picture), content_type=logo.media_type)


def _as_pdf(invoice: Invoice, paper: Paper, *, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'inline; filename="{name}.pdf"'}
    made = papers.pdf(invoice, paper)
    return HttpResponse(made, content_type="application/pdf", headers=headers)


def _load(actor: Actor, uuid: UUID) -> Invoice:
    """The bill if the actor's role shows it; a stranger's answers like an absent one."""
    found = Invoice.objects.visible_to(actor).select_related(
        "customer", "corrects", "replaces", "logo", "open_item"
    )
    return get_object_or_404(found, uuid=uuid)


def _load_resellers(actor: Actor, uuid: UUID) -> Invoice:
    invoice = _load(actor, uuid)
    if invoice.customer.kind != Organisation.Kind.RESELLER:
        raise Http404
    return invoice


def _page(request: HttpRequest, invoice: Invoice, paper: Paper, *, actor: Actor) -> HttpResponse:
    is_statement = request.resolver_match and request.resolver_match.url_name == "statement"
    is_issued = invoice.customer_id not in actor.organisation_ids
    keeps_books = not is_statement and payments_in.keeps_books(actor, invoice)
    context = {
        "paper": paper,
        "invoice": invoice,
        "is_statement": is_statement,
        "has_statement": invoice.customer.kind == Organisation.Kind.RESELLER,
        "is_issued": is_issued,
        "pay": None if is_issued else pay_state(invoice),
        "due": pay_state(invoice) if keeps_books else None,
        "settlements": payments_in.settlements(invoice) if keeps_books else [],
        "credit_note": Invoice.objects.filter(corrects=invoice).first(),
        "replaced_by": invoice.replaced_by.first(),
        "logo_url": reverse("billing:invoice_logo", args=[invoice.uuid]),
        "usage_url": papers.usage_path(invoice),
        "usage_text": _("as CSV"),
        "lines_url": papers.lines_path(invoice),
    }
    return render(request, "hosting/invoice.html", context)


def _list(
    request: HttpRequest, found: InvoiceQuerySet, *, actor: Actor, section: str
) -> HttpResponse:
    years = [day.year for day in found.dates("period", "year", order="DESC")]
    asked = {name: request.GET[name] for name in ("year", "q", "pay") if request.GET.get(name)}
    chosen = _matching(found, asked)
    page, last = _page_after(chosen, request.GET.get("after", ""))
    moments = clocks.moments(invoice.customer for invoice in page)
    today = timezone.now()
    context = {
        "section": section,
        "invoices": [
            _row(invoice, today=moments.get(invoice.customer_id, today).date()) for invoice in page
        ],
        "years": years,
        "year": asked.get("year", ""),
        "search": asked.get("q", ""),
        "only_open": asked.get("pay") == _OPEN,
        "totals": _totals(chosen),
        **selling(actor),
        "next_url": "?" + urlencode({**asked, "after": last}) if last else "",
        "first_url": "?" + urlencode(asked),
        "is_first_page": "after" not in request.GET,
    }
    return render(request, "hosting/invoices.html", context)


def _matching(found: InvoiceQuerySet, asked: dict[str, str]) -> InvoiceQuerySet:
    year, search = asked.get("year", ""), asked.get("q", "").strip()[:120]
    is_number = year.isascii() and year.isdigit() and len(year) <= len(str(_LAST_YEAR))
    if is_number and _FIRST_YEAR <= int(year) <= _LAST_YEAR:
        found = found.filter(period__year=int(year))
    if asked.get("pay") == _OPEN:
        found = found.filter(open_item__open_minor__gt=0)
    if search:
        found = found.filter(Q(number__icontains=search) | Q(customer__name__icontains=search))
    return found


def _page_after(found: InvoiceQuerySet, after: str) -> tuple[list[Invoice], str]:
    """One page, newest first, after the bill of that number; and the number to go on from."""
    ordered = found.select_related("customer", "corrects", "open_item").order_by("-pk")
    if after:
        before = Invoice.objects.filter(number=after[:40]).values("pk")
        ordered = ordered.filter(pk__lt=before)
    page = list(ordered[: PAGE_LENGTH + 1])
    if len(page) <= PAGE_LENGTH:
        return page, ""
    page.pop()
    return page, page[-1].number


def _row(invoice: Invoice, *, today: date) -> dict[str, Any]:
    is_bill = invoice.kind == Invoice.Kind.INVOICE
    return {
        "number": invoice.number,
        "uuid": invoice.uuid,
        "kind": invoice.kind,
        "corrects": invoice.corrects.number if invoice.corrects else "",
        "customer": invoice.customer_text["name"],
        "seller": invoice.seller_text["name"],
        "period": invoice.period,
        "issued_at": invoice.issued_at,
        "total_text": _amount_text(invoice.total_minor, invoice.currency),
        "item": invoice.open_item if is_bill else None,
        "is_overdue": is_bill and invoice.open_item.is_overdue(today),
    }


def _totals(found: InvoiceQuerySet) -> list[dict[str, str]]:
    """What the bills come to, one line a currency."""
    sums = (
        found.order_by("currency")
        .values_list("currency")
        .annotate(Sum("net_minor"), Sum("vat_minor"), Sum("total_minor"))
    )
    return [
        {
            "net": _amount_text(net, currency),
            "vat": _amount_text(vat, currency),
            "total": _amount_text(total, currency),
        }
        for currency, net, vat, total in sums
    ]


def _amount_text(minor: int, currency: str) -> str:
    return f"{amount(minor, currency=currency)} {currency}"


def selling(actor: Actor) -> dict[str, Any]:
    """What the tabs show to who sells; with more than one reseller, each has its own margin."""
    seeing = actor.only_with(Capability.SEE_BILLS)
    own = seeing.organisation_ids
    resellers = Organisation.objects.filter(kind=Organisation.Kind.RESELLER, pk__in=own)
    found = list(resellers[:2])
    return {
        "sells": seeing.is_staff or bool(found),
        "margin_url": margin_url(found[0]) if len(found) == 1 else "",
    }


def margin_url(organisation: Organisation) -> str:
    """Where a reseller sees what it keeps of each customer's payment."""
    return reverse("billing:customers", args=[organisation.uuid])
