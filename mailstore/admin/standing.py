"""What stops organisations, as staff see it; and stopping one that does harm."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.models import Organisation
from accounts.staff import Chooser
from mailstore import standing
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer
from mailstore.models import Restriction

_REFUSALS = (standing.Refused, Forbidden)


class StopForm(forms.Form):
    """Who is stopped, how far, and why."""

    organisation = forms.ModelChoiceField(
        label=_("Organisation"),
        queryset=Organisation.objects.filter(parent__isnull=False).select_related("parent"),
        widget=Chooser(Restriction.organisation.field, admin.site),
    )
    keeps_receiving = forms.BooleanField(
        label=_("New mail goes on arriving"),
        required=False,
        initial=True,
        help_text=_("Without it, new mail waits at its senders, who try again for some days."),
    )
    reaches_below = forms.BooleanField(
        label=_("Its customers too"),
        required=False,
        help_text=_("For a reseller: the same holds for the mailboxes of its customers."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("The organisation reads it."),
    )

    @property
    def stops(self) -> dict[str, str]:
        """The switches that are not open."""
        stops = {"sign_in": "shut", "sending": "shut"}
        if not self.cleaned_data["keeps_receiving"]:
            stops["receiving"] = "put_off"
        if self.cleaned_data["reaches_below"]:
            stops |= {f"{name}_below": way for name, way in stops.items()}
        return stops


class StandingFilter(admin.SimpleListFilter):
    """What still stops somebody, and what did."""

    title = _("stands")
    parameter_name = "stands"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Standing")), ("no", _("Lifted"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(lifted_at__isnull=self.value() == "yes")


@admin.register(Restriction)
class RestrictionAdmin(ActingAdmin):
    """Every restriction there was; what unpaid bills stop is steered where they are reminded of."""

    list_display = (
        "organisation",
        "cause",
        "state",
        "sign_in",
        "receiving",
        "sending",
        "imposed_at",
        "lifted_at",
    )
    list_select_related = ("organisation",)
    list_filter = (StandingFilter, "cause", "state")
    search_fields = ("organisation__name", "reason")
    csv_columns = (
        "organisation__name",
        "cause",
        "state",
        "reason",
        "imposed_by",
        "imposed_at",
        "lifted_by",
        "lifted_at",
        "lift_reason",
    )
    fields = (
        "organisation",
        "cause",
        "state",
        "reason",
        "sign_in",
        "receiving",
        "sending",
        "sign_in_below",
        "receiving_below",
        "sending_below",
        "imposed_by",
        "imposed_at",
        "lifted_by",
        "lifted_at",
        "lift_reason",
        "uuid",
    )
    actions = ("lift",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Stopping somebody is no change of a row, so the class above has nothing against it."""
        return request.user.has_perm("mailstore.add_restriction")

    def is_offered(self, action: str, row: Restriction) -> bool:
        return row.lifted_at is None and row.cause != Restriction.Cause.DEBT

    def line(self, row: Restriction) -> str:
        return f"{row}: {row.reason}"

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = StopForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._stop(request, form):
            return HttpResponseRedirect(reverse("admin:mailstore_restriction_changelist"))
        context = {"title": gettext("Stop an organisation"), "form": form}
        return self.render(request, "restriction/add", context)

    def _stop(self, request: HttpRequest, form: StopForm) -> bool:
        organisation = form.cleaned_data["organisation"]
        try:
            standing.impose(
                actor=self.actor(request),
                organisation=organisation,
                cause=Restriction.Cause.ABUSE,
                state=Restriction.State.SUSPENDED,
                stops=form.stops,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        except _REFUSALS as refusal:
            form.add_error(None, str(refusal))
            return False
        done = gettext("%(name)s is stopped. Open sessions end within seconds.")
        self.message_user(request, done % {"name": organisation}, messages.SUCCESS)
        return True

    @admin.action(description=_("Let it go on …"), permissions=["act"])
    def lift(
        self, request: HttpRequest, queryset: QuerySet[Restriction]
    ) -> HttpResponseBase | None:
        actor, at, form = self.actor(request), timezone.now(), ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda row: _lift(row, actor=actor, reason=form.cleaned_data["reason"], at=at),
            action="lift",
            form=form,
            refusals=_REFUSALS,
            explanation=gettext(
                "What was stopped for this cause works again at once, and mailboxes that are "
                "closing because of it come back. Other causes stay."
            ),
            done_text=gettext("Organisations that go on: %(count)s."),
        )


def _lift(row: Restriction, *, reason: str, **given: Any) -> None:
    if row.cause == Restriction.Cause.DEBT:
        message = gettext("Unpaid bills stop it: give more time there, or record the payment.")
        raise standing.Refused(message)
    standing.lift(
        organisation=row.organisation, cause=Restriction.Cause(row.cause), reason=reason, **given
    )
