"""Codes on paper: made on demand, shown in that one answer and stored nowhere in clear."""

from __future__ import annotations

from typing import cast
from urllib.parse import quote

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_otp import login as otp_login

from accounts.models import User
from accounts.second_factor import devices, recovery_codes, telling
from accounts.stepping_up import needs_fresh_proof
from accounts.views import second_factor
from accounts.views.acting import own_actor


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def make(request: HttpRequest) -> HttpResponse:
    """Ask whether to make ten new ones; then show them, this once."""
    user = cast("User", request.user)
    if not devices.has_any(user):
        return redirect("accounts:second_factor_enrol")
    context: dict[str, object] = {
        "left": recovery_codes.left(user),
        "count": recovery_codes.COUNT,
        "next": second_factor.next_of(request) or "",
    }
    if request.method == "POST":
        context["codes"] = told = _made(request, user)
        context["as_file"] = "data:text/plain;charset=utf-8," + quote(_file_text(user, told))
    return render(request, "accounts/recovery_codes.html", context)


def _made(request: HttpRequest, user: User) -> list[str]:
    at = timezone.now()
    codes, told = recovery_codes.make(user, at=at)
    telling.tell("second_factor.codes_made", user=user, actor=own_actor(request, user), at=at)
    if devices.is_paper(user.otp_device):  # type: ignore[attr-defined]  # by the middleware of django-otp
        # The codes that let this session in are gone; it goes on with the new ones.
        otp_login(request, codes)
    return told


def _file_text(user: User, told: list[str]) -> str:
    head = _("Recovery codes of %(email)s for %(house)s. Each works once.") % {
        "email": user.email,
        "house": telling.house_of(user),
    }
    return "\r\n".join([head, "", *told, ""])
