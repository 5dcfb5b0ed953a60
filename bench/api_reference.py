"""What the API is measured beside: the same facts of the same rows, by the shortest code.

Neither asks for a key, knows tenants, or checks what it was asked.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Max, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from rest_framework import generics, pagination, serializers
from rest_framework.renderers import JSONRenderer

from hosting.models import Contract
from mailstore.models import LastLogin, Mailbox, Usage

PAGE = 50
_PLAN = Contract.objects.filter(mailbox=OuterRef("pk"), ends_at=None).values("plan__slug")[:1]


class MailboxSerializer(serializers.ModelSerializer[Mailbox]):
    """Quota, state and last sign-in, as anybody would write it first."""

    organisation_id = serializers.UUIDField(source="organisation.uuid")
    domain_id = serializers.UUIDField(source="domain.uuid")
    plan = serializers.CharField(source="plan_slug")
    used_bytes = serializers.SerializerMethodField()
    message_count = serializers.SerializerMethodField()
    last_login = serializers.SerializerMethodField()

    class Meta:
        model = Mailbox
        fields = (
            "uuid",
            "organisation_id",
            "domain_id",
            "address",
            "protocol",
            "plan",
            "label",
            "external_ref",
            "labels",
            "state",
            "quota_bytes",
            "used_bytes",
            "message_count",
            "last_login",
            "window_days",
            "store_bytes",
            "created_at",
            "closing_since",
            "erase_after",
        )

    def get_used_bytes(self, mailbox: Mailbox) -> int:
        report = self.context["usage"].get(mailbox.address)
        return report.bytes if report else 0

    def get_message_count(self, mailbox: Mailbox) -> int:
        report = self.context["usage"].get(mailbox.address)
        return report.messages if report else 0

    def get_last_login(self, mailbox: Mailbox) -> int | None:
        return self.context["logins"].get(mailbox.address)


class ByKey(pagination.CursorPagination):
    ordering = "pk"
    page_size = PAGE


def _rows() -> QuerySet[Mailbox]:
    standing = Mailbox.objects.exclude(state="closed").select_related("organisation", "domain")
    return standing.annotate(plan_slug=Subquery(_PLAN))


def _facts(addresses: list[str]) -> dict[str, Any]:
    logins = LastLogin.objects.filter(username__in=addresses).values_list("username")
    return {
        "usage": {u.username: u for u in Usage.objects.filter(username__in=addresses)},
        "logins": dict(logins.annotate(last=Max("last_login"))),
    }


class DrfList(generics.ListAPIView[Mailbox]):
    """A minimal view of the framework."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    serializer_class = MailboxSerializer
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[Mailbox]:
        return _rows()

    def list(self, _request: Any, *_args: Any, **_options: Any) -> Any:
        page = self.paginate_queryset(self.get_queryset()) or []
        facts = _facts([mailbox.address for mailbox in page])
        shown = MailboxSerializer(page, many=True, context=facts)
        return self.get_paginated_response(shown.data)


class DrfOne(generics.RetrieveAPIView[Mailbox]):
    """The same for one mailbox."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    lookup_field = "uuid"

    def get_queryset(self) -> QuerySet[Mailbox]:
        return _rows()

    def get_serializer(self, mailbox: Mailbox) -> Any:  # type: ignore[override]
        return MailboxSerializer(mailbox, context=_facts([mailbox.address]))


_COLUMNS = (
    "uuid",
    "organisation__uuid",
    "domain__uuid",
    "address",
    "protocol",
    "plan_slug",
    "label",
    "external_ref",
    "labels",
    "state",
    "quota_bytes",
    "window_days",
    "store_bytes",
    "created_at",
    "closing_since",
    "erase_after",
)


def bare_list(request: HttpRequest) -> JsonResponse:
    """The rows as they come."""
    after = int(request.GET.get("after", 0))
    rows = list(_rows().filter(pk__gt=after).order_by("pk").values(*_COLUMNS)[:PAGE])
    facts = _facts([row["address"] for row in rows])
    for row in rows:
        report = facts["usage"].get(row["address"])
        row["used_bytes"] = report.bytes if report else 0
        row["message_count"] = report.messages if report else 0
        row["last_login"] = facts["logins"].get(row["address"])
    return JsonResponse({"items": rows})


urlpatterns = [
    path("bench/drf", DrfList.as_view()),
    path("bench/drf/<uuid:uuid>", DrfOne.as_view()),
    path("bench/bare", bare_list),
    path("", include("hosting.urls")),
]
