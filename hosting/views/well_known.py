"""What programs look for at fixed places."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from hosting import panel_hosts, well_known


@cache_control(public=True, max_age=86_400)
@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """To whom somebody writes who has found a hole, also at resellers' own host names.

    It is the house that can mend it, so its contact stands there too.
    """
    seller_id = request.seller_id  # type: ignore[attr-defined]
    text = well_known.security_txt(
        contacts=well_known.contacts(
            settings.SECURITY_CONTACTS, sender=settings.DEFAULT_FROM_EMAIL
        ),
        panel_url=settings.PANEL_URL if seller_id is None else panel_hosts.panel_url(seller_id),
        policy_url=settings.SECURITY_POLICY_URL,
        languages=[code for code, _name in settings.LANGUAGES],
        at=timezone.now(),
    )
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
