"""Who buys, at which prices and at which tax: billing profiles, price lists and VAT rates."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms.models import ModelFormMetaclass
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Forbidden
from accounts.staff import StaffAdmin
from hosting import agreeing, price_lists, pricing, profiles, vat
from hosting.models import BillingProfile, PriceList, VatRate

_REFUSALS = (
    pricing.PriceRefused,
    price_lists.ListRefused,
    profiles.ProfileRefused,
    vat.RateRefused,
    Forbidden,
)


class _Abstract(ABCMeta, ModelFormMetaclass):
    """Makes no form that asks nothing."""


class AskingForm(forms.ModelForm, metaclass=_Abstract):  # type: ignore[type-arg]
    """A form that asks the verb before it is valid, so that a refusal stands beside the fields."""

    # The page sets it.
    actor: Actor

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's place for what needs the instance
        if not self.errors:
            try:
                self.ask()
            except _REFUSALS as refusal:
                self.add_error(None, str(refusal))

    @abstractmethod
    def ask(self) -> None:
        """Raise what the verb would refuse."""


class ProfileForm(AskingForm):
    """A billing profile with the list that was agreed."""

    def ask(self) -> None:
        profile, at = self.instance, timezone.now()
        agreeing.agree(actor=self.actor, profile=profile, price_list=profile.price_list, at=at)
        profiles.check_sharing(profile=profile, at=at)


class PriceListForm(AskingForm):
    """A price list."""

    def ask(self) -> None:
        price_lists.check(actor=self.actor, price_list=self.instance)


class RateForm(AskingForm):
    """A VAT rate."""

    def ask(self) -> None:
        vat.check(actor=self.actor, rate=self.instance, at=timezone.now())


class _ByVerb(StaffAdmin):
    """Pages whose form asks a verb."""

    def get_form(
        self,
        request: HttpRequest,
        obj: Any = None,
        change: bool = False,  # noqa: FBT001, FBT002  # Django's signature
        **kwargs: Any,
    ) -> Any:
        made = super().get_form(request, obj, change, **kwargs)
        return type(made.__name__, (made,), {"actor": self.actor(request)})


@admin.register(BillingProfile)
class BillingProfileAdmin(_ByVerb):
    """What bills say of an organisation, and the prices that were agreed with it."""

    form = ProfileForm
    list_display = (
        "organisation",
        "legal_name",
        "country",
        "vat_id",
        "price_list",
        "pools_storage",
    )
    list_select_related = ("organisation", "price_list")
    list_filter = ("pools_storage", ("price_list", admin.EmptyFieldListFilter))
    search_fields = ("organisation__name", "legal_name", "vat_id")
    autocomplete_fields = ("organisation", "price_list")
    fields = (
        "organisation",
        "legal_name",
        "address",
        "country",
        "vat_id",
        "price_list",
        "pools_storage",
        "payment_days",
        "duns_customers",
    )
    csv_columns = (
        "organisation__name",
        "legal_name",
        "address",
        "country",
        "vat_id",
        "price_list__name",
        "pools_storage",
        "payment_days",
        "duns_customers",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("organisation",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        profiles.keep(
            actor=self.actor(request), profile=obj, asked=form.changed_data, at=timezone.now()
        )


@admin.register(PriceList)
class PriceListAdmin(_ByVerb):
    """Lists with their buyers and currency, which stay once anything was priced in it."""

    form = PriceListForm
    list_display = ("name", "seller_name", "audience", "currency", "is_default")
    list_select_related = ("seller",)
    list_filter = ("audience", "is_default")
    search_fields = ("name", "seller__name")
    autocomplete_fields = ("seller",)
    fields = ("name", "seller", "audience", "currency", "is_default")
    csv_columns = ("name", "seller__name", "audience", "currency", "is_default")
    actions = ("make_default",)

    @admin.display(description=_("seller"))
    def seller_name(self, price_list: PriceList) -> str:
        return price_list.seller.name if price_list.seller else gettext("The house")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        is_settled = obj is not None and price_lists.is_used(obj)
        return ("is_default", *(("seller", "audience", "currency") if is_settled else ()))

    @admin.action(
        description=_("Make it hold for all with whom none was agreed"), permissions=["change"]
    )
    def make_default(self, request: HttpRequest, queryset: QuerySet[PriceList]) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset.select_related("seller__parent"),
            lambda price_list: price_lists.make_default(actor=actor, price_list=price_list, at=at),
            refusals=(price_lists.ListRefused, Forbidden),
            done_text=gettext("Lists that hold from now on: %(count)s."),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        price_lists.keep(actor=self.actor(request), price_list=obj, at=timezone.now())


@admin.register(VatRate)
class VatRateAdmin(_ByVerb):
    """Rates that follow each other: one that holds is never changed."""

    form = RateForm
    list_display = ("country", "starts_on", "percent", "is_in_eu")
    list_filter = ("is_in_eu",)
    search_fields = ("country",)
    fields = ("country", "starts_on", "percent", "is_in_eu")
    csv_columns = ("country", "starts_on", "percent", "is_in_eu")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or vat.may_change(obj, at=timezone.now()))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        vat.keep(actor=self.actor(request), rate=obj, at=timezone.now())
