"""Names, looks and host names of resellers, as staff see them, and what ends their misuse."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from hosting import branding, panel_hosts
from hosting.models import Brand, PanelHost
from mailstore.admin.acting import ActingAdmin, ConfirmForm, ReasonForm, answer


@admin.register(Brand)
class BrandAdmin(ActingAdmin):
    """What the customers of each reseller see instead of the house."""

    list_display = ("product_name", "organisation", "accent", "support_email", "changed_at")
    list_select_related = ("organisation",)
    search_fields = ("product_name", "organisation__name", "support_email")
    csv_columns = (
        "organisation__name",
        "product_name",
        "accent",
        "accent_dark",
        "support_email",
        "support_url",
        "changed_at",
    )
    fields = (
        "organisation",
        "product_name",
        "accent",
        "accent_dark",
        "support_email",
        "support_url",
        "changed_at",
        "uuid",
    )
    actions = ("put_back",)

    @admin.action(description=_("Show the house's own look …"), permissions=["act"])
    def put_back(self, request: HttpRequest, queryset: QuerySet[Brand]) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ConfirmForm(answer(request))
        return self.ask_and_do(
            request,
            queryset.select_related("organisation__parent"),
            lambda brand: branding.put_back(actor=actor, organisation=brand.organisation, at=at),
            action="put_back",
            form=form,
            refusals=(Forbidden,),
            explanation=gettext(
                "Name, logo and colours are removed; the reseller can enter them again."
            ),
            done_text=gettext("Resellers that show the house's look now: %(count)s."),
        )


@admin.register(PanelHost)
class PanelHostAdmin(ActingAdmin):
    """Which reseller's names the panel answers to, and what their records lack."""

    list_display = ("name", "organisation", "state", "problem", "verified_at", "checked_at")
    list_select_related = ("organisation",)
    list_filter = ("state", "problem")
    search_fields = ("name", "organisation__name")
    csv_columns = (
        "name",
        "organisation__name",
        "state",
        "problem",
        "claimed_at",
        "verified_at",
        "checked_at",
        "failing_since",
    )
    fields = (
        "name",
        "organisation",
        "state",
        "problem",
        "proof_name",
        "proof_text",
        "claimed_at",
        "verified_at",
        "checked_at",
        "due_at",
        "failing_since",
    )
    actions = ("take_away",)

    @admin.action(description=_("Take away …"), permissions=["act"])
    def take_away(
        self, request: HttpRequest, queryset: QuerySet[PanelHost]
    ) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset.select_related("organisation"),
            lambda host: panel_hosts.take_away(
                actor=actor, host=host, reason=form.cleaned_data["reason"], at=at
            ),
            action="take_away",
            form=form,
            refusals=(Forbidden,),
            explanation=gettext(
                "The panel stops answering to the name within seconds. The reseller can ask for "
                "it again, and reads the reason in its events."
            ),
            done_text=gettext("Host names that were taken away: %(count)s."),
        )
