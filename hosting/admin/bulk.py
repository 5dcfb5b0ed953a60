"""Doing something to many rows: chosen in a list, looked at, above a size confirmed by two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts import stepping_up
from accounts.models import User
from accounts.staff import ReadOnlyAdmin, StaffAdmin, by_key, csv_line
from hosting import bulk
from hosting.models import BulkItem, BulkRequest, Plan

_MOST_FAILURES = 200
_LONGEST_KEY = 18


class BulkActions(StaffAdmin):
    """A list from which deeds are asked for: of the rows of a page, or of all that match."""

    # Names of actions and of the deeds that they begin.
    deeds: ClassVar[Mapping[str, str]] = {}

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        for name, deed_name in self.deeds.items():
            deed = bulk.DEEDS[deed_name]
            if bulk.may(cast("User", request.user), deed):
                label = f"{deed.label} …"
                actions[name] = (cast("Any", _freezing(deed)), name, label)
        return actions

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All that match, beyond the page: the next page says how many and who they are."""
        if "every_match" not in request.POST:
            return super().changelist_view(request, extra_context)
        deed_name = self.deeds.get(request.POST.get("action", ""))
        if deed_name is None:
            text = gettext("That is done to rows that a page shows. Choose them there.")
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        try:
            matching = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return self._back_to_list(f"?{ERROR_FLAG}=1")
        made = self.freeze(request, matching, bulk.DEEDS[deed_name])
        return made or HttpResponseRedirect(request.get_full_path())

    def freeze(self, request: HttpRequest, rows: Any, deed: bulk.Deed) -> HttpResponse | None:
        """Keep the choice, and go on to the page that shows what would happen."""
        try:
            made = bulk.draft(
                actor=self.actor(request),
                deed=deed,
                chosen=[(row.pk, str(row)) for row in rows[: bulk.MOST_ROWS + 1]],
                at=timezone.now(),
            )
        except bulk.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return None
        return HttpResponseRedirect(reverse("admin:hosting_bulkrequest_change", args=(made.pk,)))


def _freezing(deed: bulk.Deed) -> Callable[[Any, HttpRequest, Any], HttpResponse | None]:
    def freeze(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return cast("BulkActions", model_admin).freeze(request, queryset, deed)

    return freeze


class AskForm(forms.Form):
    """Why, and to which plan if it is about plans."""

    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.on_sale())
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text=_("It is kept with what is done."),
    )

    def __init__(self, *args: Any, deed: bulk.Deed, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not deed.needs_plan:
            del self.fields["plan"]

    @property
    def what(self) -> dict[str, Any]:
        """What the deed is given."""
        plan = self.cleaned_data.get("plan")
        return {"plan": plan.pk} if plan else {}


class OpenFilter(admin.SimpleListFilter):
    """Requests by whether somebody is waited for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(BulkRequest.State.choices)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(BulkRequest)
class BulkRequestAdmin(ReadOnlyAdmin):
    """What was asked for in bulk, by whom, who confirmed it, and what came of it."""

    list_display = (
        *("deed_text", "row_count", "state", "asked_by", "confirmed_by", "asked_at"),
        *("done_count", "failed_count"),
    )
    list_select_related = ("asked_by", "confirmed_by")
    list_filter = (OpenFilter,)
    search_fields = ("asked_by__email", "reason")
    csv_columns = (
        *("deed", "row_count", "state", "reason", "asked_by__email", "asked_at"),
        *("confirmed_by__email", "confirmed_at", "done_count", "failed_count", "ended_at"),
    )

    @admin.display(description=_("what"))
    def deed_text(self, request: BulkRequest) -> str:
        return str(bulk.DEEDS[request.deed].label)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Requests for deeds that one may look at; a request names rows, such as mailboxes."""
        person = cast("User", request.user)
        seen = [name for name, deed in bulk.DEEDS.items() if bulk.may_see(person, deed)]
        return super().get_queryset(request).filter(deed__in=seen)

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        views = {
            "ask": require_POST(self.ask_view),
            "confirm": require_POST(self.confirm_view),
            "call_off": require_POST(self.call_off_view),
            "progress": require_safe(self.progress_view),
            "failures": require_safe(self.failures_view),
        }
        own = [
            path(f"<int:pk>/{each}/", wrap(view), name=f"{name}_{each}")
            for each, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What would happen, then how far it is, then what came of it."""
        self._must_view(request)
        if request.method == "POST":
            raise PermissionDenied
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) <= _LONGEST_KEY):
            return self._back_to_list()
        asked = self._load(request, object_id)
        form = AskForm(deed=bulk.DEEDS[asked.deed], initial={**asked.what, "reason": asked.reason})
        return self._page(request, asked, form)

    def ask_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Keep what was typed and show what would happen; with `confirmed`, ask for it."""
        self._must_view(request)
        asked = self._load(request, pk)
        form = AskForm(request.POST, deed=bulk.DEEDS[asked.deed])
        if not form.is_valid():
            return self._page(request, asked, form)
        actor, seen = self.actor(request), asked.what == form.what
        try:
            bulk.put(actor=actor, request=asked, what=form.what, reason=form.cleaned_data["reason"])
            # Nothing is asked for that was not shown: another plan has other consequences.
            if "confirmed" in request.POST and seen:
                at = timezone.now()
                is_fresh = stepping_up.is_fresh(request, at=at)
                bulk.ask(actor=actor, request=asked, is_fresh=is_fresh, at=at)
        except bulk.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        except bulk.NotFresh:
            return self._to_second_factor(asked)
        else:
            self._begin(asked)
        return self._to(asked)

    def confirm_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say yes as the second person."""
        self._must_view(request)
        asked, at = self._load(request, pk), timezone.now()
        is_fresh = stepping_up.is_fresh(request, at=at)
        try:
            bulk.confirm(actor=self.actor(request), request=asked, is_fresh=is_fresh, at=at)
        except bulk.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        except bulk.NotFresh:
            return self._to_second_factor(asked)
        return self._to(asked)

    def call_off_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leave it, or what is left of it."""
        self._must_view(request)
        asked = self._load(request, pk)
        try:
            bulk.call_off(actor=self.actor(request), request=asked, at=timezone.now())
        except bulk.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return self._to(asked)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that changes while the work goes on."""
        self._must_view(request)
        return self._render(request, "_progress", self._context(request, self._load(request, pk)))

    def failures_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Every row that was not done, with the reason, as CSV."""
        self._must_view(request)
        failed = self._load(request, pk).items.filter(state=BulkItem.State.FAILED)
        lines = (csv_line((each.name, each.problem)) for rows in by_key(failed) for each in rows)
        return StreamingHttpResponse(
            lines,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="not-done.csv"'},
        )

    def _begin(self, asked: BulkRequest) -> None:
        """What is small is done at once, whatever the workers are at; they do the rest."""
        if asked.state == BulkRequest.State.RUNNING and not asked.needs_second:
            bulk.run(request_id=asked.pk, now=timezone.now)

    def _page(self, request: HttpRequest, asked: BulkRequest, form: AskForm) -> HttpResponse:
        states, context = BulkRequest.State, self._context(request, asked)
        if asked.state not in {states.DRAFT, states.ASKED}:
            return self._render(request, "progress", context)
        foreseen = bulk.DEEDS[asked.deed].foresee(asked, timezone.now())
        return self._render(request, "preview", {**context, "form": form, "foreseen": foreseen})

    def _context(self, request: HttpRequest, asked: BulkRequest) -> dict[str, Any]:
        deed, states = bulk.DEEDS[asked.deed], BulkRequest.State
        may_act = bulk.may(cast("User", request.user), deed)
        is_own = asked.asked_by_id == request.user.pk
        failures = asked.items.filter(state=BulkItem.State.FAILED).order_by("id")
        at = timezone.now()
        in_time = asked.expires_at > at
        return {
            "title": deed.label,
            "asked": asked,
            "deed": deed,
            "is_own": is_own,
            "is_running": asked.state == states.RUNNING,
            "may_ask": may_act and is_own and in_time and asked.state == states.DRAFT,
            "may_confirm": may_act and not is_own and in_time and asked.state == states.ASKED,
            "may_call_off": may_act and asked.ended_at is None and asked.state != states.FINISHED,
            "needs_second": asked.state == states.DRAFT and bulk.needs_second(asked, at=at),
            "threshold": bulk.threshold(),
            "failures": list(failures[:_MOST_FAILURES]) if asked.failed_count else [],
        }

    def _must_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _load(self, request: HttpRequest, key: Any) -> BulkRequest:
        found: BulkRequest = get_object_or_404(
            self.get_queryset(request).select_related("asked_by", "confirmed_by"), pk=key
        )
        return found

    def _render(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        template = f"admin/hosting/bulkrequest/{name}.html"
        return cast("HttpResponse", TemplateResponse(request, template, whole))

    def _to(self, asked: BulkRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:hosting_bulkrequest_change", args=(asked.pk,)))

    def _to_second_factor(self, asked: BulkRequest) -> HttpResponse:
        """What was typed is kept in the row, so coming back is where one left."""
        back = reverse("admin:hosting_bulkrequest_change", args=(asked.pk,))
        where = reverse("accounts:second_factor")
        return HttpResponseRedirect(f"{where}?{urlencode({'next': back})}")
