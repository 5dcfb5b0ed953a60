"""What every answer of the panel tells browsers, whoever made it: page, error, file or program.

This is the outermost middleware, so that refusals of all others carry the same headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import has_vary_header

GetResponse = Callable[[HttpRequest], HttpResponse]

# Nothing from other hosts, nothing inline, nothing that is not named here. Pictures made on the
# page (QR codes) are data. A form leads to the panel, and from there to the pages of the payment
# provider if there is one.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
)
# What pages never ask a device for. Passkeys and copying to the clipboard are the panel's own.
_NEVER_ASKED_FOR = (
    "accelerometer",
    "ambient-light-sensor",
    "autoplay",
    "bluetooth",
    "browsing-topics",
    "camera",
    "display-capture",
    "encrypted-media",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
_OWN = ("clipboard-write", "publickey-credentials-create", "publickey-credentials-get")
_PERMISSIONS = ", ".join(
    [*(f"{name}=()" for name in _NEVER_ASKED_FOR), *(f"{name}=(self)" for name in _OWN)]
)
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Other sites learn nothing of where somebody comes from. Our own forms are checked by it.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": _PERMISSIONS,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
}


class SafeAnswersMiddleware:
    """Puts the headers on; an answer that carries a stricter one of its own keeps it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", content_security_policy())
        if has_vary_header(response, "Cookie"):
            # Made for one person: no browser on a shared computer shows it after the sign-out.
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response


def content_security_policy() -> str:
    """The policy of every answer that has no stricter one of its own."""
    targets = f"'self' {settings.PAYMENT_ORIGIN}".strip()
    return _CONTENT_SECURITY_POLICY.format(form_action=targets)
