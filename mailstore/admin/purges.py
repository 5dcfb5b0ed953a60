"""Purge runs as staff see them: how they go, what they removed, and holding one up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import Forbidden
from mailstore import health, purging, quotas, receipts, working
from mailstore.admin import health as health_page
from mailstore.admin.tables import Row, Table
from mailstore.admin.work import WorkAdmin, place
from mailstore.models import PurgeRun, WorkState

_REFUSALS = (working.WrongWorkState, Forbidden)
# From which states the verbs let an action begin.
_OFFERED = {
    "pause": {WorkState.PLANNED, WorkState.RUNNING},
    "resume": {WorkState.PAUSED},
    "cancel": {WorkState.PLANNED, WorkState.PAUSED},
}


class ProgressFilter(admin.SimpleListFilter):
    """Runs that are not over, and what is wrong with some of them."""

    title = _("progress")
    parameter_name = "progress"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("open", _("Not over")),
            ("late", _("Late")),
            ("failed", _("Failed, goes on")),
            ("failing", _("Does not get on")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = {
            "open": PurgeRun.objects.open(),
            "late": health.late(timezone.now()),
            "failed": health.failed(),
            "failing": health.failing(),
        }.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(pk__in=chosen.values("pk"))


@admin.register(PurgeRun)
class PurgeRunAdmin(WorkAdmin):
    """Runs and receipts. A finished run never changes, whoever asks."""

    list_display = (
        "mailbox",
        "kind",
        "state",
        "messages",
        "size_text",
        "planned_at",
        "lag_text",
        "failure",
    )
    list_select_related = ("mailbox__organisation__parent",)
    list_filter = (ProgressFilter, "state", "kind")
    indexed_filters = frozenset({"progress"})
    search_fields = ("mailbox__address", "policy_version", "failure")
    csv_columns = (
        "uuid",
        "mailbox__address",
        "kind",
        "state",
        "messages",
        "bytes",
        "planned_at",
        "planned_by",
        "finished_at",
        "attempts",
        "failure",
        "policy_version",
    )
    fields = (
        "mailbox",
        "kind",
        "state",
        "messages",
        "size_text",
        "planned_at",
        "planned_by",
        "finished_at",
        "lag_text",
        "attempts",
        "failure",
        "rules_text",
        "policy_version",
        "uuid",
    )
    actions = ("pause", "resume", "cancel")

    # What the list and the page show ----------------------------------------------------

    @admin.display(description=_("rules"))
    def rules_text(self, run: PurgeRun) -> str:
        return format_html_join("", "<div>{}</div>", ((_rule_text(rule),) for rule in run.rules))

    def tables(self, row: Any) -> list[Table]:
        return [_receipts(row), *super().tables(row)]

    def is_offered(self, action: str, row: PurgeRun) -> bool:
        return row.state in _OFFERED[action]

    # The state of purging ---------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.health_view))
        return [path("health/", view, name="mailstore_purgerun_health"), *super().get_urls()]

    def health_view(self, request: HttpRequest) -> HttpResponse:
        """One page about all of purging."""
        self.must_view(request)
        return self.render(request, "purgerun/health", health_page.context(at=timezone.now()))

    # Actions ----------------------------------------------------------------------------

    @admin.action(description=_("Pause"), permissions=["act"])
    def pause(self, request: HttpRequest, queryset: QuerySet[PurgeRun]) -> None:
        done_text = gettext("Runs that stop before their next batch: %(count)s.")
        self._for_each(request, queryset, purging.pause, done_text)

    @admin.action(description=_("Resume"), permissions=["act"])
    def resume(self, request: HttpRequest, queryset: QuerySet[PurgeRun]) -> None:
        done_text = gettext("Runs that go on where they stopped: %(count)s.")
        self._for_each(request, queryset, purging.resume, done_text)

    @admin.action(description=_("Cancel"), permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[PurgeRun]) -> None:
        done_text = gettext("Runs that are given up, with nothing removed: %(count)s.")
        self._for_each(request, queryset, purging.cancel, done_text)

    def _for_each(
        self,
        request: HttpRequest,
        queryset: QuerySet[PurgeRun],
        verb: Callable[..., object],
        done_text: str,
    ) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset,
            lambda run: verb(actor=actor, run=run, at=at),
            refusals=_REFUSALS,
            done_text=done_text,
        )


def _rule_text(rule: dict[str, Any]) -> str:
    if "window_days" in rule:
        return gettext("Removed mail can be brought back for %(window_days)s days.") % rule
    if rule["days"] is None:
        return gettext("%(layer)s, %(folder)s: kept for ever") % rule
    return gettext("%(layer)s, %(folder)s: %(days)s days from %(counted_from)s") % rule


def _receipts(run: PurgeRun) -> Table:
    return Table(
        title=gettext("Receipt: what was removed"),
        columns=(
            gettext("Folder"),
            "UIDVALIDITY",
            gettext("Messages"),
            gettext("Size"),
            gettext("Digest (SHA-256)"),
            gettext("UIDs"),
        ),
        rows=[
            Row(
                cells=(
                    place(found.folder, in_store=found.in_store),
                    str(found.uidvalidity),
                    found.messages,
                    quotas.byte_text(found.bytes),
                    found.digest,
                    found.uids,
                )
            )
            for found in receipts.of(run)
        ],
        empty=gettext("Nothing has been removed."),
    )
