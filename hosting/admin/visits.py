"""Acting in a customer from the staff pages: with a reason, visibly, and back again."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import visits
from accounts.models import Organisation, Visit
from accounts.staff import ReadOnlyAdmin
from mailstore.admin.acting import RowPages

_STAFF = "/staff/"
_LONGEST_KEY = 18
# A person may belong to many organisations; a page offers to come into so many of them.
_MOST_OFFERED = 5


class VisitingPages(RowPages):
    """The page of a row leads into the customer that it belongs to."""

    @abstractmethod
    def visited(self, row: Any) -> list[Organisation]:
        """Whose panel it belongs to; with `parent` loaded."""

    def links(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        if not request.user.has_perm("accounts.add_visit"):
            return super().links(request, row)
        actor, where = self.actor(request), reverse("admin:accounts_visit_add")
        offered = [each for each in self.visited(row) if visits.may_begin(actor, each)]
        return [
            (
                gettext("Act in %(name)s …") % {"name": each},
                f"{where}?{urlencode({'organisation': each.pk, 'back': request.path})}",
            )
            for each in offered[:_MOST_OFFERED]
        ]


class VisitForm(forms.Form):
    """Why somebody comes."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("The customer reads it, with everything that you change there."),
    )


@admin.register(Visit)
class VisitAdmin(ReadOnlyAdmin):
    """Who acted in which customer, when and why. Adding one is going there."""

    list_display = ("person", "organisation", "seller", "reason", "begun_at", "ended_at")
    list_select_related = ("organisation",)
    search_fields = ("person", "organisation__name", "reason")
    csv_columns = (
        *("person", "seller", "organisation__name", "reason", "begun_at", "ends_at"),
        *("ended_at", "uuid"),
    )
    fields = (
        *("person", "seller", "organisation", "reason", "begun_at", "ends_at", "ended_at", "uuid"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Going there is no change of a row, so the class above has nothing against it."""
        return request.user.has_perm("accounts.add_visit")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask for the reason, then act in the customer."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        customer = _customer(request)
        if customer is None or not visits.may_begin(self.actor(request), customer):
            return HttpResponseRedirect(reverse("admin:accounts_organisation_changelist"))
        form = VisitForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                return self._begin(request, customer, form.cleaned_data["reason"])
            except visits.Refused as refusal:
                form.add_error("reason", str(refusal))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Act in %(name)s") % {"name": customer},
            "customer": customer,
            "form": form,
            "minutes": int(visits.LENGTH.total_seconds()) // 60,
            "back": _back(request),
        }
        template = "admin/hosting/visit/add.html"
        return cast("HttpResponse", TemplateResponse(request, template, context))

    def _begin(self, request: HttpRequest, customer: Organisation, reason: str) -> HttpResponse:
        visit = visits.begin(
            actor=self.actor(request), organisation=customer, reason=reason, at=timezone.now()
        )
        visits.remember(request, visit, back=_back(request))
        return HttpResponseRedirect(reverse("dashboard:overview"))


def _customer(request: HttpRequest) -> Organisation | None:
    key = request.GET.get("organisation", "")
    if not (key.isascii() and key.isdigit() and len(key) <= _LONGEST_KEY):
        return None
    return Organisation.objects.select_related("parent__parent").filter(pk=int(key)).first()


def _back(request: HttpRequest) -> str:
    """The staff page to come back to; whatever else stands there is left out."""
    back = request.GET.get("back", "")
    is_plain = back.isascii() and back.isprintable() and "\\" not in back and ".." not in back
    return back if back.startswith(_STAFF) and is_plain else ""
