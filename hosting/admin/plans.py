"""Plans and contracts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import outbox
from accounts.models import Organisation
from accounts.staff import ReadOnlyAdmin, StaffAdmin
from hosting.models import Contract, Plan, PlanChange, Price
from mailstore import quotas
from mailstore.admin.tables import Row, Table, first, url_of
from mailstore.models import RetentionPolicy


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    """A plan; whoever lowers its highest limit is told who stands above the new one."""

    is_above_known = forms.BooleanField(
        label=_("Lower the highest limit although mailboxes stand above it"), required=False
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        ceiling_bytes = cleaned.get("ceiling_bytes")
        if ceiling_bytes is None or not self.instance.pk or cleaned.get("is_above_known"):
            return cleaned
        if "ceiling_bytes" in self.changed_data:
            self._tell_of_those_above(ceiling_bytes)
        return cleaned

    def _tell_of_those_above(self, ceiling_bytes: int) -> None:
        running = Contract.objects.filter(plan=self.instance, ends_at=None)
        above = running.filter(mailbox__quota_bytes__gt=ceiling_bytes)
        found = above.aggregate(count=Count("pk"), highest=Max("mailbox__quota_bytes"))
        if found["count"]:
            text = gettext(
                "Mailboxes that stand above it: %(count)s, the highest at %(highest)s. They keep "
                "their limits and cannot go higher. Tick below to go on."
            )
            shown = {"count": found["count"], "highest": quotas.byte_text(found["highest"])}
            self.add_error("ceiling_bytes", text % shown)


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    """What is on sale. The protocol is settled once: contracts stand on it."""

    form = PlanForm
    change_form_template = "admin/mailstore/change_form.html"
    list_display = (
        "name",
        "slug",
        "protocol",
        "is_on_sale",
        "quota_text",
        "ceiling_text",
        "window_days",
        "position",
    )
    list_filter = ("protocol", "is_on_sale")
    search_fields = ("name", "slug")
    list_select_related = ("retention_policy",)
    csv_columns = (
        "slug",
        "name",
        "protocol",
        "is_on_sale",
        "quota_bytes",
        "ceiling_bytes",
        "window_days",
        "retention_policy__slug",
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sold = ("name", "slug", "protocol", "is_on_sale", "position")
        given: tuple[str, ...] = (
            *("quota_bytes", "ceiling_bytes", "window_days", "retention_policy"),
        )
        removal = {"fields": ("policy_link",)}
        given += ("is_above_known",) if obj else ()
        holds = gettext(
            "The first limit, the window and the policy hold for mailboxes that are opened from "
            "then on. The highest limit holds at once: who stands above it keeps what they have, "
            "and cannot go higher."
        )
        return (
            (None, {"fields": sold}),
            (gettext("What a mailbox gets"), {"fields": given, "description": holds}),
            *(((gettext("Removal and tripwire"), removal),) if obj else ()),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("slug", "protocol", "policy_link") if obj else ()

    @admin.display(description=_("limit at the start"))
    def quota_text(self, plan: Plan) -> str:
        return quotas.byte_text(plan.quota_bytes)

    @admin.display(description=_("highest limit"))
    def ceiling_text(self, plan: Plan) -> str:
        return quotas.byte_text(plan.ceiling_bytes)

    @admin.display(description=_("rules, bounds and thresholds"))
    def policy_link(self, plan: Plan) -> SafeString | str:
        """They are changed where they stand, with their own preview and wait."""
        policy = policy_of(plan)
        if policy is None:
            return gettext("There is no retention policy: mail stays for ever.")
        return format_html('<a href="{}">{}</a>', url_of(policy), policy.name)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Below the fields of a plan stand its prices and what its policy says."""
        plan = context.get("original")
        tables = [_prices(plan), _policy(plan)] if plan else []
        return super().render_change_form(request, context | {"tables": tables}, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """A change of what is sold is a fact with a name behind it."""
        super().save_model(request, obj, form, change)
        house = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
        changed = [name for name in form.changed_data if name != "is_above_known"]
        if house is None or not changed:
            return
        outbox.record(
            kind="plan.updated" if change else "plan.created",
            at=timezone.now(),
            actor=self.actor(request),
            organisation=house,
            subject=("plan", obj.slug, obj.name),
            data={
                name: {"old": str(form.initial.get(name, "")), "new": str(form.cleaned_data[name])}
                for name in changed
            },
        )


def policy_of(plan: Plan) -> RetentionPolicy | None:
    """Null stands for the policy that is named like the protocol."""
    named = RetentionPolicy.objects.filter(slug=plan.protocol)
    return plan.retention_policy or named.first()


def _prices(plan: Plan) -> Table:
    prices = Price.objects.filter(plan=plan, price_list__seller=None).select_related("price_list")
    rows, has_more = first(prices.order_by("price_list", "-starts_on"))
    set_another = reverse("admin:hosting_price_add")
    return Table(
        title=gettext("Prices on the lists of the house; choose one to let another follow it"),
        columns=(
            gettext("List"),
            gettext("From"),
            gettext("Per month"),
            gettext("Included"),
            gettext("Per further GB"),
        ),
        rows=[
            Row(
                url=f"{set_another}?price_list={price.price_list_id}&plan={plan.pk}",
                cells=(
                    price.price_list,
                    price.starts_on,
                    price.price_text,
                    quotas.byte_text(price.included_bytes),
                    price.storage_price_text or "-",
                ),
            )
            for price in rows
        ],
        empty=gettext("It has no price yet, so nobody can order it. Set one under Prices."),
        has_more=has_more,
    )


def _policy(plan: Plan) -> Table:
    policy = policy_of(plan)
    rules = policy.rules.order_by("folder") if policy else ()
    trip = gettext(
        "%(messages)s messages or %(percent)s %% within %(minutes)s minutes, from %(fewest)s on"
    )
    thresholds = {
        "messages": policy.trip_messages if policy else 0,
        "percent": policy.trip_percent if policy else 0,
        "minutes": policy.trip_minutes if policy else 0,
        "fewest": policy.trip_fewest if policy else 0,
    }
    rows = [
        Row(
            cells=(
                rule.folder,
                rule.days or gettext("for ever"),
                rule.floor_days or "",
                rule.ceiling_days or "",
            )
        )
        for rule in rules
    ]
    tripwire = Row(cells=(gettext("Tripwire"), trip % thresholds, "", ""))
    return Table(
        title=gettext("When mail is removed"),
        columns=(
            gettext("Folder"),
            gettext("Days"),
            gettext("Least days"),
            gettext("Most days"),
        ),
        rows=[*rows, tripwire] if policy else [],
        empty=gettext("Mail stays for ever."),
    )


@admin.register(Contract)
class ContractAdmin(ReadOnlyAdmin):
    """Which mailbox was on which plan, and when."""

    list_display = ("mailbox", "plan", "starts_at", "ends_at")
    list_select_related = ("mailbox", "plan")
    list_filter = (("ends_at", admin.EmptyFieldListFilter),)
    search_fields = ("mailbox__address",)
    fields = ("mailbox", "plan", "starts_at", "ends_at")
    csv_columns = ("mailbox__address", "plan__slug", "starts_at", "ends_at")


@admin.register(PlanChange)
class PlanChangeAdmin(ReadOnlyAdmin):
    """Who let which mailbox go over to which plan."""

    list_display = ("at", "mailbox", "old_plan", "new_plan", "by", "undo_until", "undone_at")
    list_select_related = ("mailbox", "old_plan", "new_plan")
    list_filter = ("new_plan", ("undone_at", admin.EmptyFieldListFilter))
    search_fields = ("mailbox__address", "by")
    fields = (
        "mailbox",
        "old_plan",
        "new_plan",
        "old_quota_bytes",
        "old_window_days",
        "at",
        "by",
        "undo_until",
        "undone_at",
    )
    csv_columns = (
        "mailbox__address",
        "old_plan__slug",
        "new_plan__slug",
        "at",
        "by",
        "undo_until",
        "undone_at",
    )
