"""What holds for whole prefixes of the panel, whatever page lies below them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

GetResponse = Callable[[HttpRequest], HttpResponse]

# Below these, nobody passes without a second factor, whichever view answers.
SECOND_FACTOR_PREFIXES = ("/staff/",)

# Nothing from other hosts, nothing inline. Pictures made on the page (QR codes) are data. A form
# leads to the panel, and from there to the pages of the payment provider if there is one.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action {form_action}; frame-ancestors 'none'"
)


class ContentSecurityPolicyMiddleware:
    """Tells browsers to run and load only what the panel itself serves."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        targets = f"'self' {settings.PAYMENT_ORIGIN}".strip()
        policy = _CONTENT_SECURITY_POLICY.format(form_action=targets)
        response.setdefault("Content-Security-Policy", policy)
        return response


class SecondFactorMiddleware:
    """Leads staff to the second factor before any staff page, and strangers to sign-in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(SECOND_FACTOR_PREFIXES):
            return self.get_response(request)
        user = request.user
        if user.is_authenticated and user.is_verified():  # type: ignore[attr-defined]
            return self.get_response(request)
        where = "accounts:second_factor" if user.is_authenticated else "accounts:sign_in"
        query = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{reverse(where)}?{query}")
