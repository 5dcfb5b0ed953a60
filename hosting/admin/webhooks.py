"""Webhooks as staff see them: who is told of what, how that went, and a way to help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from hosting import feed
from hosting.admin.bulk import BulkActions
from hosting.models import WebhookDelivery, WebhookEndpoint
from hosting.webhooks import endpoints
from mailstore.admin.acting import ActingAdmin
from mailstore.admin.tables import Row, Table, first, url_of

_MOST_SHOWN = 20


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ActingAdmin):
    """Secrets are shown nowhere: whoever keeps the endpoint makes a new one."""

    list_display = ("url", "organisation", "state", "cause", "failing_since", "last_success_at")
    list_select_related = ("organisation",)
    list_filter = ("state", "cause", "is_test", ("failing_since", admin.EmptyFieldListFilter))
    indexed_filters = frozenset({"state__exact", "failing_since__isempty"})
    search_fields = ("url", "organisation__name")
    csv_columns = (
        *("uuid", "organisation__name", "url", "is_test", "state", "cause", "state_since"),
        *("failing_since", "last_success_at", "created_by", "created_at"),
    )
    fields = (
        *("url", "organisation", "description", "event_types", "is_test", "state", "cause"),
        *("state_since", "position", "failing_since", "last_success_at", "rest_until"),
        *("created_by", "created_at"),
    )
    actions = ("disable", "enable", "ping")

    def is_offered(self, action: str, row: Any) -> bool:
        return bool((action == "enable") != row.is_enabled)

    def tables(self, row: Any) -> list[Table]:
        newest = WebhookDelivery.objects.filter(endpoint=row).order_by("-pk")
        found, has_more = first(newest, most=_MOST_SHOWN)
        rows = [
            Row(
                cells=(each, each.get_state_display(), each.tries, each.created_at),
                url=url_of(each),
            )
            for each in found
        ]
        columns = (gettext("Event"), gettext("State"), gettext("Tries"), gettext("Made"))
        empty = gettext("Nothing was sent yet.")
        return [
            Table(
                title=gettext("Deliveries"),
                columns=columns,
                rows=rows,
                empty=empty,
                has_more=has_more,
            )
        ]

    @admin.action(description=_("Disable"), permissions=["act"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._do(request, queryset, endpoints.disable, gettext("Disabled: %(count)s."))

    @admin.action(description=_("Enable, and send what was missed"), permissions=["act"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._do(request, queryset, endpoints.enable, gettext("Enabled: %(count)s."))

    @admin.action(description=_("Send a ping"), permissions=["act"])
    def ping(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._do(request, queryset, endpoints.ping, gettext("Pings on their way: %(count)s."))

    def _do(
        self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], verb: Any, done_text: str
    ) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset.select_related("organisation__parent"),
            lambda endpoint: verb(actor=actor, endpoint=endpoint, at=at),
            refusals=(endpoints.WrongState,),
            done_text=done_text,
        )


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(BulkActions, ActingAdmin):
    """What was sent to whom, each with its tries."""

    list_display = ("event_type", "endpoint", "state", "tries", "next_try_at", "created_at")
    list_select_related = ("endpoint",)
    list_filter = ("state",)
    search_fields = ("endpoint__url", "event_type")
    csv_columns = (
        *("uuid", "endpoint__url", "event_type", "position", "state", "tries"),
        *("next_try_at", "created_at", "done_at"),
    )
    fields = (
        *("endpoint", "event", "event_type", "position", "body", "state", "tries"),
        *("next_try_at", "created_at", "done_at"),
    )
    readonly_fields = ("body",)
    deeds: ClassVar[Mapping[str, str]] = {"send_again": "send_deliveries"}

    @admin.display(description=_("body"))
    def body(self, row: WebhookDelivery) -> str:
        """What is sent, as it was the first time."""
        return feed.body(feed.document(row.event, names=feed.names()) or {}).decode()

    def is_offered(self, action: str, row: Any) -> bool:
        return bool(row.may_be_sent_again)

    def tables(self, row: Any) -> list[Table]:
        found, has_more = first(row.attempts.order_by("-pk"), most=_MOST_SHOWN)
        columns = (gettext("At"), gettext("Status"), gettext("Milliseconds"), gettext("Answer"))
        rows = [
            Row(cells=(each.at, each.status or each.problem, each.duration_ms, each.answer[:500]))
            for each in found
        ]
        return [
            Table(
                title=gettext("Tries"),
                columns=columns,
                rows=rows,
                empty=gettext("None yet."),
                has_more=has_more,
            )
        ]
