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
from mailstore.models import Domain, DomainDns


def _dns_of(domain: Domain) -> DomainDns | None:
    """What is known of it, if it is looked at."""
    return getattr(domain, "dns", None)


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


class DnsFilter(admin.SimpleListFilter):
    """Domains by what their DNS records say; what fails is found by its own index."""

    title = _("DNS")
    parameter_name = "dns"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("failing", _("Mail does not come here"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() != "failing":
            return queryset
        return queryset.filter(dns__failing_since__isnull=False)


@admin.register(Domain)
class DomainAdmin(StaffAdmin):
    """Domains: added and confirmed by the verbs, and otherwise only looked at."""

    list_display = ("shown_name", "organisation", "state", "dns_text", "created_at")
    list_filter = ("state", DnsFilter, "organisation__is_test")
    indexed_filters = frozenset({"state__exact", "dns"})
    list_select_related = ("organisation", "dns")
    search_fields = ("name",)
    autocomplete_fields = ("organisation",)
    actions = ("confirm", "hold")
    csv_columns = ("name", "organisation__name", "state", "uuid", "created_at")
    form = NewDomainForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        own = ("name", "organisation")
        return (*own, "state", "dns_text", "dns_seen", "uuid", "created_at") if obj else own

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What the DNS says is no field of the domain."""
        return ("dns_text", "dns_seen") if obj else ()

    @admin.display(description=_("DNS"))
    def dns_text(self, domain: Domain) -> str:
        """Where its mail goes, as of the last look; names for tests are not looked at."""
        dns = _dns_of(domain)
        return str(dns.get_finding_display()) if dns else "—"

    @admin.display(description=_("MX records"))
    def dns_seen(self, domain: Domain) -> str:
        """What was seen, and since when it is wrong."""
        dns = _dns_of(domain)
        if dns is None or dns.checked_at is None:
            return "—"
        said = [dns.seen or gettext("none")]
        said.append(gettext("last looked %(at)s UTC") % {"at": f"{dns.checked_at:%Y-%m-%d %H:%M}"})
        if dns.failing_since:
            since = f"{dns.failing_since:%Y-%m-%d %H:%M}"
            said.append(gettext("failing since %(at)s UTC") % {"at": since})
        return ", ".join(said)

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
