"""Django's admin site with a start page of our own, one search, and pages that are no lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from hosting import attention, finding
from hosting.staff_site import found, mail_server, navigation, start


class StaffSite(AdminSite):
    """The staff pages."""

    site_header = _("Staff")
    site_title = _("Staff")
    index_title = _("What needs attention")
    enable_nav_sidebar = True

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page shows beside its own: where one may go, and what was looked for."""
        context = super().each_context(request)
        return context | {
            "navigation": navigation.groups(context["available_apps"], path=request.path),
            "searched": request.GET.get("q", "") if request.path.endswith("/search/") else "",
        }

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """What needs attention, each with its list, and how the house is."""
        at = timezone.now()
        items = attention.find(may=request.user.has_perm, at=at)
        return super().index(
            request,
            {
                **start.context(items, attention.signs(at=at), at=at),
                "at": at,
                **(extra_context or {}),
            },
        )

    def get_urls(self) -> list[URLPattern | URLResolver]:
        own: Sequence[URLPattern] = [
            path("search/", self.admin_view(require_safe(self.search)), name="search"),
            path("mail-server/", self.admin_view(require_safe(self.server)), name="mail_server"),
        ]
        return [*own, *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponse:
        """One box for everything that has a name or an id."""
        text = finding.plain(request.GET.get("q", ""))
        groups = finding.find(text=text, may=request.user.has_perm)
        context = {
            **self.each_context(request),
            "title": gettext("Search"),
            "text": text,
            "groups": found.shown(groups, text=text),
        }
        return TemplateResponse(request, "admin/search.html", context)

    def server(self, request: HttpRequest) -> HttpResponse:
        """The mail server as it says itself, and the machine that it runs on."""
        if not request.user.has_perm("mailstore.view_mailbox"):
            raise PermissionDenied
        context = {**self.each_context(request), **mail_server.context(at=timezone.now())}
        return TemplateResponse(request, "admin/mail_server.html", context)
