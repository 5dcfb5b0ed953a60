"""Mailboxes as staff see them: whatever is done to one goes through a verb."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.models import Organisation
from hosting import clocks, ordering
from hosting.admin.bulk import BulkActions
from hosting.admin.orders import OrderPages
from hosting.admin.visits import VisitingPages
from hosting.forms.ordering import QuotaForm
from hosting.models import Contract
from mailstore import cooling, holding, onlookers, provisioning, quotas
from mailstore.admin.acting import RowPages, answer
from mailstore.admin.holds import to_new_hold
from mailstore.admin.policies import POLICY_REFUSALS, ThresholdsForm, slower_where_less_safe
from mailstore.models import Mailbox, Usage

_REFUSALS = (
    provisioning.WrongState,
    quotas.ImpossibleLimit,
    ordering.LimitAbovePlan,
    holding.Stopped,
    Forbidden,
)


_STATES = Mailbox.State
# From which states an action makes sense; the others do in all that are not erased.
_OFFERED = {
    "suspend": {_STATES.ACTIVE, _STATES.PENDING},
    "resume": {_STATES.SUSPENDED},
    "close": {_STATES.ACTIVE, _STATES.PENDING, _STATES.SUSPENDED},
    "change_plan": {_STATES.ACTIVE, _STATES.PENDING, _STATES.SUSPENDED},
    "reopen": {_STATES.CLOSING},
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a new limit would mean for one mailbox."""

    mailbox: Mailbox
    old_text: str
    used_text: str
    note: str


@admin.register(Mailbox)
class MailboxAdmin(OrderPages, VisitingPages, BulkActions, RowPages):
    """Only the label is edited here; the rest is done by actions."""

    list_display = (
        "address",
        "protocol",
        "state",
        "organisation",
        "limit_text",
        "used_text",
        "label",
        "created_at",
    )
    list_select_related = ("organisation",)
    list_filter = (
        "state",
        "protocol",
        "organisation__is_test",
        ("full_since", admin.EmptyFieldListFilter),
        ("frozen_at", admin.EmptyFieldListFilter),
    )
    indexed_filters = frozenset({"full_since__isempty", "frozen_at__isempty"})
    # By how it begins alone, because an index leads there.
    search_fields = ("address__startswith",)
    search_help_text = _("How the address begins.")
    searches_by_index = True
    autocomplete_fields = ("domain",)
    actions = ("change_limit", "change_thresholds", "hold")
    deeds: ClassVar[Mapping[str, str]] = {
        "suspend": "suspend_mailboxes",
        "resume": "resume_mailboxes",
        "change_plan": "change_plan",
        "close": "close_mailboxes",
        "reopen": "reopen_mailboxes",
    }
    csv_columns = (
        "address",
        "plan",
        "label",
        "quota_bytes",
        "used_bytes",
        "protocol",
        "state",
        "organisation",
        "created_at",
    )

    # What the list and the pages show ---------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        """The tree above each mailbox comes along, because every verb asks for it."""
        return super().get_queryset(request).select_related("organisation__parent", "domain")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Mailbox], search_term: str
    ) -> tuple[QuerySet[Mailbox], bool]:
        """Addresses are stored in lower case, however somebody writes them."""
        return super().get_search_results(request, queryset, search_term.lower())

    def complete(self, rows: list[Any]) -> None:
        used = _used_bytes(rows)
        for mailbox in rows:
            mailbox.used_bytes = used.get(mailbox.address, 0)

    @admin.display(description=_("limit"))
    def limit_text(self, mailbox: Mailbox) -> str:
        return quotas.byte_text(mailbox.quota_bytes)

    @admin.display(description=_("in use"))
    def used_text(self, mailbox: Any) -> str:
        if not hasattr(mailbox, "used_bytes"):
            self.complete([mailbox])
        return quotas.byte_text(mailbox.used_bytes)

    def csv_rows(self, rows: list[Any]) -> Iterable[Sequence[object]]:
        used = _used_bytes(rows)
        contracts = Contract.objects.filter(mailbox__in=rows, ends_at=None)
        plans = dict(contracts.values_list("mailbox_id", "plan__slug"))
        for mailbox in rows:
            yield (
                mailbox.address,
                plans.get(mailbox.pk, ""),
                mailbox.label,
                mailbox.quota_bytes,
                used.get(mailbox.address, 0),
                mailbox.protocol,
                mailbox.state,
                mailbox.organisation.name,
                mailbox.created_at.isoformat(),
            )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("domain", "local_part", "plan", "label")
        return ("label", *self.get_readonly_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        shown = ("address", "protocol", "state", "organisation", "limit_text", "used_text")
        limits = ("trip_messages", "trip_percent", "trip_minutes", "trip_fewest")
        return (*shown, "window_days", *limits, "uuid", "created_at", "full_since", "erase_after")

    def view_on_site(self, obj: Mailbox) -> str | None:
        """The page that its owner sees; an erased mailbox has none."""
        if obj.state == Mailbox.State.CLOSED:
            return None
        return reverse("mailboxes:detail", args=(obj.uuid,))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The customer learns that somebody of the house looked."""
        if (mailbox := context.get("original")) is not None:
            onlookers.note(actor=self.actor(request), mailbox=mailbox, at=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def is_offered(self, action: str, row: Mailbox) -> bool:
        return row.state in _OFFERED.get(action, {*Mailbox.State} - {Mailbox.State.CLOSED})

    def visited(self, row: Mailbox) -> list[Organisation]:
        return [row.organisation]

    # Actions ----------------------------------------------------------------------------

    @admin.action(description=_("Change the limit …"), permissions=["change"])
    def change_limit(
        self, request: HttpRequest, queryset: QuerySet[Mailbox]
    ) -> HttpResponseBase | None:
        """Ask for a limit, show what it would mean, and set it only then."""
        asked = "gigabytes" in request.POST
        form = QuotaForm(request.POST if asked else None)
        if not (asked and form.is_valid() and form.quota_bytes > 0):
            if asked and form.is_valid():
                form.add_error("gigabytes", _("The limit is at least one byte."))
            return self._page(request, "change_limit", queryset, {"form": form})
        quota_bytes = form.quota_bytes
        if "confirmed" not in request.POST:
            extra = {
                "form": form,
                "gigabytes": form.cleaned_data["gigabytes"],
                "new_text": quotas.byte_text(quota_bytes),
                "changes": _changes(queryset, quota_bytes=quota_bytes),
            }
            return self._page(request, "change_limit", queryset, extra)
        done_text = gettext("Mailboxes with the new limit: %(count)s.")
        self._for_each(request, queryset, ordering.change_limit, done_text, quota_bytes=quota_bytes)
        return None

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Holding a mailbox needs the right to place holds, and none to change mailboxes."""
        return request.user.has_perm("mailstore.add_hold")

    @admin.action(description=_("Place a hold …"), permissions=["hold"])
    def hold(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> HttpResponse:
        return to_new_hold("mailboxes", queryset)

    @admin.action(description=_("Change the tripwire …"), permissions=["change"])
    def change_thresholds(
        self, request: HttpRequest, queryset: QuerySet[Mailbox]
    ) -> HttpResponseBase | None:
        actor, form = self.actor(request), ThresholdsForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda mailbox: cooling.ask_thresholds(
                actor=actor,
                target=mailbox,
                **form.cleaned_data,
                wait=settings.COOLING_OFF,
                at=clocks.now_for(mailbox.organisation),
            ),
            action="change_thresholds",
            form=form,
            refusals=POLICY_REFUSALS,
            explanation=gettext("An empty field means what the plan says.")
            + " "
            + slower_where_less_safe(),
            done_text=gettext("Mailboxes whose tripwire is changed, or will be: %(count)s."),
        )

    def _for_each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Mailbox],
        verb: Callable[..., object],
        done_text: str,
        **wanted: Any,
    ) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset,
            lambda mailbox: verb(actor=actor, mailbox=mailbox, at=at, **wanted),
            refusals=_REFUSALS,
            done_text=done_text,
        )

    def _page(
        self,
        request: HttpRequest,
        action: str,
        queryset: QuerySet[Mailbox],
        extra: dict[str, Any],
    ) -> HttpResponseBase:
        """A page between choosing an action and doing it; it carries the choice along."""
        chosen = list(queryset)
        self.complete(chosen)
        context = {
            **self.admin_site.each_context(request),
            "title": getattr(type(self), action).short_description,
            "opts": self.opts,
            "action": action,
            "chosen": chosen,
            "changes": _changes(chosen, quota_bytes=None),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            **extra,
        }
        return TemplateResponse(request, f"admin/mailstore/mailbox/{action}.html", context)


def _used_bytes(mailboxes: Iterable[Mailbox]) -> dict[str, int]:
    """Bytes in use by address: one query, in the database the mail server writes to."""
    names = [mailbox.address for mailbox in mailboxes]
    return dict(Usage.objects.filter(username__in=names).values_list("username", "bytes"))


def _changes(mailboxes: Iterable[Mailbox], *, quota_bytes: int | None) -> list[Change]:
    rows = list(mailboxes)
    used = _used_bytes(rows)
    return [
        Change(
            mailbox=mailbox,
            old_text=quotas.byte_text(mailbox.quota_bytes),
            used_text=quotas.byte_text(used.get(mailbox.address, 0)),
            note=_note(used.get(mailbox.address, 0), quota_bytes),
        )
        for mailbox in rows
    ]


def _note(used_bytes: int, quota_bytes: int | None) -> str:
    if quota_bytes is None or used_bytes < quota_bytes:
        return ""
    return gettext("Full at once: new mail is put off, nothing is removed.")
