"""Passkeys: what the browser asks for while it makes or shows one, and the page to add one.

The scripts of `django_otp_webauthn` talk to the four addresses here. They are views of our own,
because the library's take a password in a header and no token of a form.
"""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_POST, require_safe
from django.views.i18n import JavaScriptCatalog

from accounts import signing_in, stepping_up
from accounts.models import User
from accounts.second_factor import devices, passkeys, proving
from accounts.views import passkey_scripts, second_factor
from accounts.views.acting import own_actor
from accounts.views.signing_in import address_of, arrived

_MOST_BYTES = 100_000

# The sentences of the library's scripts.
words = cache_control(public=True, max_age=3600)(
    require_safe(JavaScriptCatalog.as_view(packages=["django_otp_webauthn"]))
)


@login_required
@never_cache
@require_safe
def add(request: HttpRequest) -> HttpResponse:
    """The page on which the browser makes one."""
    blocked = second_factor.before_adding(request)
    if blocked is not None:
        return blocked
    user = cast("User", request.user)
    is_first = not devices.has_any(user)
    context = {
        "are_possible": passkeys.are_possible(request),
        "host": passkeys.host(),
        "origin": passkeys.origin(),
        "passkey_scripts": passkey_scripts.read_by(request),
        "is_first": is_first,
        "next": second_factor.next_of(request),
        "after": reverse("accounts:recovery_codes" if is_first else "accounts:factors"),
    }
    return render(request, "accounts/passkey_add.html", context)


@never_cache
@require_POST
def begin_adding(request: HttpRequest) -> HttpResponse:
    """What the browser needs to make one."""
    user = _who_may_add(request)
    if user is None:
        return _no(_("Prove again who you are, then come back to this page."), status=403)
    try:
        devices.must_have_room(user)
    except devices.TooManyDevices as refusal:
        return _no(str(refusal), status=409)
    return JsonResponse(passkeys.begin_adding(request, user=user, at=timezone.now()))


@never_cache
@require_POST
def finish_adding(request: HttpRequest) -> HttpResponse:
    """The one that the browser made; from now on the session has its second factor."""
    user = _who_may_add(request)
    if user is None:
        return _no(_("Prove again who you are, then come back to this page."), status=403)
    try:
        device = passkeys.finish_adding(
            request,
            actor=own_actor(request, user),
            user=user,
            answer=_answer(request),
            at=timezone.now(),
        )
    except passkeys.NotShown as refusal:
        return _no(str(refusal), status=422)
    second_factor.let_in_by_new(request, device)
    return JsonResponse({"id": device.pk})


@never_cache
@require_POST
def begin_showing(request: HttpRequest) -> HttpResponse:
    """What the browser needs to show one: as a second factor, or before anybody has signed in."""
    _must_be_possible(request)
    user = request.user if isinstance(request.user, User) else None
    if user is None:
        try:
            proving.ask_for_passkey(address=address_of(request), at=timezone.now())
        except signing_in.NotNow as refusal:
            return _no(str(refusal), status=refusal.status)
    return JsonResponse(passkeys.begin_showing(request, user=user, at=timezone.now()))


@never_cache
@require_POST
def finish_showing(request: HttpRequest) -> HttpResponse:
    """The one that was shown: the session has its second factor, or somebody signs in by it."""
    _must_be_possible(request)
    at = timezone.now()
    user = request.user if isinstance(request.user, User) else None
    try:
        device = passkeys.finish_showing(request, user=user, answer=_answer(request), at=at)
    except passkeys.NotShown as refusal:
        return _no(str(refusal), status=422)
    was_home = signing_in.is_home(user=device.user, address=address_of(request))
    actor = own_actor(request, device.user)
    proving.by_passkey(actor=actor, user=device.user, address=address_of(request), at=at)
    if user is None:
        login(request, device.user)
    second_factor.let_in(request, device)
    target = second_factor.next_of(request) or second_factor.home_of(request)
    response = JsonResponse({"id": device.pk, "redirect_url": target})
    if user is None:
        arrived(request, response, user=device.user, is_known_address=was_home, at=at)
    return response


def _who_may_add(request: HttpRequest) -> User | None:
    """Whoever has proved just now what there was to prove."""
    _must_be_possible(request)
    if not isinstance(request.user, User):
        return None
    return request.user if stepping_up.is_fresh(request, at=timezone.now()) else None


def _must_be_possible(request: HttpRequest) -> None:
    """Elsewhere than at the panel's own name there are no passkeys."""
    if not passkeys.are_possible(request):
        raise Http404


def _answer(request: HttpRequest) -> dict[str, Any]:
    """What the browser sent; nothing that could be an answer becomes an empty one."""
    if len(request.body) > _MOST_BYTES:
        return {}
    try:
        sent = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return sent if isinstance(sent, dict) else {}


def _no(sentence: str, *, status: int) -> JsonResponse:
    """Why not, where the library's scripts look for it."""
    return JsonResponse({"detail": sentence}, status=status)
