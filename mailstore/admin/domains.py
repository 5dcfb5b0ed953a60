"""Domains as staff see them: added and confirmed by the verbs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.staff import StaffAdmin
from mailstore import addresses, domains
from mailstore.admin.holds import to_new_hold
from mailstore.models import Domain


class NewDomainForm(forms.ModelForm):  # type: ignore[type-arg]
    """A domain in any spelling that `addresses.domain` understands."""

    name = forms.CharField(label=_("Domain"), strip=False, max_length=addresses.ADDRESS_OCTETS)

    class Meta:
        model = Domain
        fields = ("name", "organisation")

    def clean(self) -> dict[str, Any] | None:
        """A name that such an organisation may have."""
        cleaned = super().clean()
        if self.cleaned_data.get("name") and self.cleaned_data.get("organisation"):
            domains.refuse_outside_of_tests(
                self.cleaned_data["organisation"], self.cleaned_data["name"]
            )
        return cleaned

    def clean_name(self) -> str:
        """The canonical name, if nobody has it yet."""
        canonical = addresses.domain(self.cleaned_data["name"])
        if Domain.objects.filter(name=canonical).exists():
            raise ValidationError(_("This domain is in use here already."), code="taken")
        return canonical


@admin.register(Domain)
class DomainAdmin(StaffAdmin):
    """Domains: added and confirmed by the verbs, and otherwise only looked at."""

    list_display = ("shown_name", "organisation", "state", "created_at")
    list_filter = ("state", "organisation__is_test")
    indexed_filters = frozenset({"state__exact"})
    list_select_related = ("organisation",)
    search_fields = ("name",)
    autocomplete_fields = ("organisation",)
    actions = ("confirm", "hold")
    csv_columns = ("name", "organisation__name", "state", "uuid", "created_at")
    form = NewDomainForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        own = ("name", "organisation")
        return (*own, "state", "uuid", "created_at") if obj else own

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        """Confirming needs the right to change domains, although no field can be changed."""
        return request.user.has_perm("mailstore.change_domain")

    def save_form(self, request: HttpRequest, form: Any, change: Any) -> Any:
        """The verb makes the row, so that page and staff are held to the same rule."""
        super().save_form(request, form, change)
        return domains.add(
            actor=self.actor(request),
            organisation=form.cleaned_data["organisation"],
            name=form.cleaned_data["name"],
            at=timezone.now(),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The verb has done it."""

    @admin.action(description=_("Confirm that the domain is its owner's"), permissions=["confirm"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[Domain]) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset,
            lambda domain: domains.confirm(actor=actor, domain=domain, at=at),
            refusals=(Forbidden,),
            done_text=gettext("Domains that are confirmed now: %(count)s."),
        )

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Holding a domain needs the right to place holds, and none to change domains."""
        return request.user.has_perm("mailstore.add_hold")

    @admin.action(description=_("Place a hold …"), permissions=["hold"])
    def hold(self, request: HttpRequest, queryset: QuerySet[Domain]) -> HttpResponse:
        return to_new_hold("domains", queryset)
