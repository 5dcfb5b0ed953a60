"""Which host names the panel answers to, and who is somebody there."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port

from accounts.middleware import SECOND_FACTOR_PREFIXES
from hosting import panel_hosts, persons

GetResponse = Callable[[HttpRequest], HttpResponse]


class OwnHostMiddleware:
    """Admits the proved host names of resellers beside `ALLOWED_HOSTS`, before all else.

    `ALLOWED_HOSTS` stays in force for everything else: Django refuses with 400 what is neither.
    `seller_id` says whose name was called; None for the house's own.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.seller_id = None  # type: ignore[attr-defined]
        try:
            request.get_host()
        except DisallowedHost:
            # Only what the request itself says, whatever a proxy adds beside it.
            called = request.META.get("HTTP_HOST", "")
            seller_id = panel_hosts.holder(split_domain_port(called)[0])
            if seller_id is None:
                raise
            return self._as_own(request, called, seller_id)
        return self.get_response(request)

    def _as_own(self, request: HttpRequest, called: str, seller_id: int) -> HttpResponse:
        request.seller_id = seller_id  # type: ignore[attr-defined]
        request.get_host = lambda: called  # type: ignore[method-assign]
        response = self.get_response(request)
        if "Strict-Transport-Security" in response:
            # The names below and beside it belong to the reseller, who promised nothing of them.
            response["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
        return response


class OwnTreeMiddleware:
    """At a reseller's host name, whoever belongs to its tree is signed in, and to that alone.

    For everybody else the session counts as none, and there are no staff pages.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        seller_id = request.seller_id  # type: ignore[attr-defined]
        if seller_id is None:
            return self.get_response(request)
        if request.path_info.startswith(SECOND_FACTOR_PREFIXES):
            raise Http404
        if request.user.is_authenticated:
            person = persons.load(request.user)
            actor = person.within(seller_id)
            if actor is None:
                request.user = AnonymousUser()
            else:
                request.person, request.own_actor = person, actor  # type: ignore[attr-defined]
        return self.get_response(request)
