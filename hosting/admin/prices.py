"""Prices: looked at before they are set, never edited once they hold, only succeeded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from hosting import money, pricing, repricing
from hosting.models import Plan, Price, PriceList
from hosting.models.plans import GIGABYTE
from hosting.repricing import Outlook
from mailstore import quotas
from mailstore.admin.acting import ActingAdmin, ConfirmForm, answer
from mailstore.admin.tables import Row, Table

_REFUSALS = (pricing.PriceRefused, Forbidden)


class PriceForm(forms.Form):
    """What a plan is to cost from a day on. A reseller's own list is the reseller's to set."""

    price_list = forms.ModelChoiceField(
        label=_("Price list"), queryset=PriceList.objects.filter(seller=None).order_by("pk")
    )
    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.order_by("position", "pk"))
    starts_on = forms.DateField(
        label=_("From"),
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The first day (UTC), tomorrow at the earliest."),
    )
    monthly_price = forms.DecimalField(
        label=_("Price per mailbox and month"),
        max_digits=12,
        decimal_places=6,
        help_text=_("In the currency of the list, before tax."),
    )
    included_gigabytes = forms.DecimalField(
        label=_("Included GB"),
        min_value=0,
        max_value=100_000,
        decimal_places=9,
        initial=0,
        help_text=_("1 GB is 1,000,000,000 bytes, kept for a whole month."),
    )
    storage_price = forms.DecimalField(
        label=_("Price per further GB and month"),
        max_digits=12,
        decimal_places=6,
        initial=0,
        help_text=_("0 for a plan with one flat price, as every POP plan has."),
    )

    @property
    def wanted(self) -> dict[str, Any]:
        """What was asked for, as the verbs take it."""
        values = dict(self.cleaned_data)
        values["included_bytes"] = int(values.pop("included_gigabytes") * GIGABYTE)
        return values

    @property
    def fingerprint(self) -> str:
        """What was asked for, in one line: what is set is what was looked at."""
        return " ".join(str(getattr(value, "pk", value)) for value in self.wanted.values())


@admin.register(Price)
class PriceAdmin(ActingAdmin):
    """The succession of prices of every plan on every list."""

    list_display = ("plan", "price_list", "starts_on", "price_text", "included", "storage")
    list_select_related = ("plan", "price_list")
    list_filter = ("plan",)
    search_fields = ("plan__name", "price_list__name")
    fields = ("plan", "price_list", "starts_on", "price_text", "included", "storage")
    csv_columns = (
        "plan__slug",
        "price_list__name",
        "price_list__currency",
        "starts_on",
        "monthly_price",
        "included_bytes",
        "storage_price",
    )
    actions = ("withdraw",)

    @admin.display(description=_("price per month"))
    def price_text(self, price: Price) -> str:
        return price.price_text

    @admin.display(description=_("included"))
    def included(self, price: Price) -> str:
        return quotas.byte_text(price.included_bytes)

    @admin.display(description=_("per further GB and month"), empty_value="-")
    def storage(self, price: Price) -> str | None:
        return price.storage_price_text or None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A new price is no change of one, so the class above has nothing against it."""
        return request.user.has_perm("hosting.add_price")

    def is_offered(self, action: str, row: Price) -> bool:
        return row.starts_at > timezone.now()

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show whom a price touches before the button that sets it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PriceForm(answer(request), initial=_initial(request))
        outlook = self._outlook(form) if form.is_valid() else None
        if outlook and _is_confirmed(request, form) and self._set(request, form):
            return HttpResponseRedirect(reverse("admin:hosting_price_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Set a price"),
            "form": form,
            "outlook": outlook,
            "tables": tables_of(outlook) if outlook else [],
        }
        return TemplateResponse(request, "admin/hosting/price/add.html", context)

    def _outlook(self, form: PriceForm) -> Outlook | None:
        try:
            return repricing.foresee(pricing.draft(**form.wanted, at=timezone.now()))
        except pricing.PriceRefused as refusal:
            form.add_error(None, str(refusal))
            return None

    def _set(self, request: HttpRequest, form: PriceForm) -> bool:
        try:
            price = pricing.succeed(actor=self.actor(request), **form.wanted, at=timezone.now())
        except _REFUSALS as refusal:
            form.add_error(None, str(refusal))
            return False
        done = gettext("%(price)s is set. It can be withdrawn until its day.")
        self.message_user(request, done % {"price": price}, messages.SUCCESS)
        return True

    @admin.action(description=_("Withdraw …"), permissions=["act"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Price]) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset,
            lambda price: pricing.withdraw(actor=actor, price=price, at=at),
            action="withdraw",
            form=ConfirmForm(answer(request)),
            refusals=_REFUSALS,
            explanation=gettext(
                "Prices whose day has not come are taken back. What holds already was promised."
            ),
            done_text=gettext("Prices that were taken back: %(count)s."),
        )


def _is_confirmed(request: HttpRequest, form: PriceForm) -> bool:
    return "confirmed" in request.POST and request.POST.get("seen") == form.fingerprint


def _initial(request: HttpRequest) -> dict[str, Any]:
    """The list and the plan of the price that is to be succeeded."""
    names = ("price_list", "plan")
    return {name: request.GET[name] for name in names if request.GET.get(name, "").isdigit()}


def tables_of(outlook: Outlook) -> list[Table]:
    """What a price changes: in sum, and for those whom it changes most for."""
    return [
        Table(
            title=gettext("What it changes"),
            columns=(gettext("What"), gettext("Now"), gettext("From then on")),
            rows=[Row(cells=cells) for cells in _terms(outlook)],
            empty="",
        ),
        Table(
            title=gettext("Whom it changes most for"),
            columns=(
                gettext("Buyer"),
                gettext("Mailboxes"),
                gettext("A month now"),
                gettext("A month then"),
                gettext("Change"),
            ),
            rows=[
                Row(
                    url=reverse("admin:accounts_organisation_change", args=(each.organisation.pk,)),
                    cells=(
                        each.organisation.name,
                        each.mailboxes,
                        outlook.text(each.before),
                        outlook.text(each.after),
                        outlook.text(each.change),
                    ),
                )
                for each in outlook.most_affected
            ],
            empty=gettext("Nobody has a mailbox on this plan at this list."),
        ),
    ]


def _terms(outlook: Outlook) -> list[tuple[str, str, str]]:
    current, price = outlook.current, outlook.price
    none = gettext("no price")
    return [
        (
            gettext("Per mailbox and month"),
            current.price_text if current else none,
            price.price_text,
        ),
        (
            gettext("Included"),
            quotas.byte_text(current.included_bytes) if current else "",
            quotas.byte_text(price.included_bytes),
        ),
        (
            gettext("Per further GB and month"),
            _storage(current) if current else "",
            _storage(price),
        ),
        (
            gettext("Sum of a month, at what is kept today"),
            outlook.text(outlook.before),
            outlook.text(outlook.after),
        ),
    ]


def _storage(price: Price) -> str:
    return price.storage_price_text or money.price_text(Decimal(0), currency=price.currency)
