"""API keys as staff see them: who has which, what was done with it, and taking one away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import keyring
from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, ApiKeyQuerySet
from hosting import key_lines
from mailstore.admin.acting import ActingAdmin, answer
from mailstore.admin.tables import Row, Table, first, url_of


class RevokeForm(forms.Form):
    """Whether keys that were made with it end as well."""

    with_made = forms.BooleanField(
        label=_("Also all keys that were made with it"), required=False, initial=True
    )


class WorkingFilter(admin.SimpleListFilter):
    """Keys that open something, and those that do not."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("working", _("Working")), ("over", _("Revoked or expired"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        working = ApiKey.objects.working(at=timezone.now())
        if self.value() == "working":
            return queryset.filter(pk__in=working)
        return queryset.exclude(pk__in=working) if self.value() == "over" else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ActingAdmin):
    """Keys without anything one could call with."""

    list_display = ("label", "ends_with", "organisation", "state_text", "is_test", "last_used_at")
    list_select_related = ("organisation",)
    list_filter = (WorkingFilter, "is_test")
    search_fields = ("label", "hint", "organisation__name")
    csv_columns = (
        "label",
        "hint",
        "organisation__name",
        "is_test",
        "scopes",
        "networks",
        "created_by__email",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "uuid",
    )
    fields = (
        "label",
        "ends_with",
        "organisation",
        "for_whom",
        "state_text",
        "is_test",
        "scopes",
        "networks",
        "created_by",
        "created_at",
        "expires_at",
        "revoked_at",
        "successor",
        "last_used_at",
        "last_used_from",
        "uuid",
    )
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return cast("ApiKeyQuerySet", super().get_queryset(request)).with_reach()

    @admin.display(description=_("ends with"))
    def ends_with(self, api_key: ApiKey) -> str:
        return f"…{api_key.hint}"

    @admin.display(description=_("state"))
    def state_text(self, api_key: ApiKey) -> str:
        return str(api_key.state_at(timezone.now()).label)

    @admin.display(description=_("for"))
    def for_whom(self, api_key: ApiKey) -> str:
        return key_lines.for_whom(api_key)

    def is_offered(self, action: str, row: ApiKey) -> bool:
        return row.works(at=timezone.now())

    def tables(self, row: ApiKey) -> list[Table]:
        deeds, has_more = first(row.deeds().select_related("organisation"))
        done = Table(
            title=gettext("What was done with it"),
            columns=(gettext("When"), gettext("What"), gettext("To what"), gettext("Of whom")),
            rows=[
                Row(
                    cells=(each.at, each.kind, each.subject_name, each.organisation),
                    url=url_of(each),
                )
                for each in deeds
            ],
            empty=gettext("Nothing that changes anything."),
            has_more=has_more,
        )
        return [done, _ending(keyring.made_with(row), title=gettext("Keys made with it"))]

    @admin.action(description=_("Revoke …"), permissions=["act"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponseBase | None:
        """The end of keys, for the organisations that cannot or do not see to it themselves."""
        actor, at = self.actor(request), timezone.now()
        form = RevokeForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda api_key: _revoke(api_key, form, actor=actor, at=at),
            action="revoke",
            form=form,
            refusals=(Forbidden,),
            explanation=gettext(
                "Programs with these keys are refused from then on, and nothing takes that back. "
                "The organisation sees it among its keys and events."
            ),
            done_text=gettext("Keys that are revoked now: %(count)s."),
            foresee=lambda rows: [_foreseen(rows, with_made=form.cleaned_data["with_made"])],
        )


def _revoke(api_key: ApiKey, form: RevokeForm, *, actor: Actor, at: datetime) -> None:
    keyring.revoke(actor=actor, api_key=api_key, with_made=form.cleaned_data["with_made"], at=at)


def _foreseen(api_keys: Iterable[ApiKey], *, with_made: bool) -> Table:
    ending = ApiKey.objects.filter(pk__in=[each.pk for each in api_keys])
    if with_made:
        made = [each.pk for api_key in api_keys for each in keyring.made_with(api_key)]
        ending |= ApiKey.objects.filter(pk__in=made)
    return _ending(ending.filter(revoked_at=None), title=gettext("Keys that end"))


def _ending(api_keys: ApiKeyQuerySet, *, title: str) -> Table:
    shown, has_more = first(api_keys.with_reach().order_by("-pk"))
    return Table(
        title=title,
        columns=(gettext("Key"), gettext("Of"), gettext("Last used"), gettext("From")),
        rows=[
            Row(
                cells=(each, each.organisation, each.last_used_at, each.last_used_from or ""),
                url=url_of(each),
            )
            for each in shown
        ],
        empty=gettext("None."),
        has_more=has_more,
    )
