"""What the pages of links in letters have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import links

View = Callable[[HttpRequest, str], HttpResponse]


def by_link(view: View) -> Callable[[HttpRequest], HttpResponse]:
    """Hand over the token of the address, and answer for one that does not work.

    Looking does nothing: programs that scan mail follow links too. The token is in the query, which
    no log keeps, and the pages that are reached from here hear of the host alone.
    """

    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            response = view(request, request.GET.get("token", ""))
        except links.NotValid as refusal:
            response = refused(request, str(refusal))
        # With "no-referrer" browsers would not say either that a form comes from this host.
        response["Referrer-Policy"] = "strict-origin"
        return response

    return answered


def refused(request: HttpRequest, reason: str) -> HttpResponse:
    """The same page for every link that does not work."""
    return render(request, "accounts/dead_link.html", {"reason": reason}, status=404)
