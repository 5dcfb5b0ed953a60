"""What browsers and proxies ask of brands and their host names, also before anybody signs in."""

from __future__ import annotations

import ipaddress
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from hosting import colours, panel_hosts
from hosting.models import Brand, Logo

# Each address says all that its answer depends on, so browsers may keep it for good.
_for_good = cache_control(public=True, max_age=31_536_000, immutable=True)


@_for_good
@require_safe
def style(_request: HttpRequest, accent: str, accent_dark: str, digest: str) -> HttpResponse:
    """The colours of a brand, as properties that take the place of the house's."""
    sheet = colours.style_sheet(accent=accent, accent_dark=accent_dark)
    if digest != colours.digest(sheet):
        raise Http404
    headers = {"Content-Security-Policy": "default-src 'none'"}
    return HttpResponse(sheet, content_type="text/css; charset=utf-8", headers=headers)


@_for_good
@require_safe
def logo(request: HttpRequest, uuid: UUID, version: int) -> HttpResponse:
    """The logo of a brand; at a reseller's host, of its own alone."""
    brands = Brand.objects.select_related("logo").filter(logo=version)
    seller_id = request.seller_id  # type: ignore[attr-defined]
    if seller_id is not None:
        brands = brands.filter(organisation=seller_id)
    return picture(get_object_or_404(brands, uuid=uuid).logo)


def picture(found: Logo | None) -> HttpResponse:
    """A logo as it was encoded here, which no browser takes for anything else."""
    if found is None:
        raise Http404
    headers = {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(bytes(found.picture), content_type=found.media_type, headers=headers)


@require_safe
def tls_allowed(request: HttpRequest) -> HttpResponse:
    """Whether a proxy may get a certificate for `domain`: 200 for yes, 404 for no."""
    if not _is_proxy(request):
        raise Http404
    name = request.GET.get("domain", "").lower().removesuffix(".")
    if name != panel_hosts.house_name() and panel_hosts.holder(name) is None:
        raise Http404
    return HttpResponse("yes\n", content_type="text/plain; charset=utf-8")


def _is_proxy(request: HttpRequest) -> bool:
    """Whoever knows the secret, or a program on this machine that passes nothing on."""
    given = request.GET.get("secret", "")
    if settings.TLS_ASK_SECRET and constant_time_compare(given, settings.TLS_ASK_SECRET):
        return True
    try:
        peer = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return peer.is_loopback and not {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"} & request.META.keys()
