"""Everything about a person's own sign-in on one page: password, address, sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import (
    address_changes,
    arriving,
    browser_names,
    holding_back,
    passwords,
    sessions,
    signing_in,
    stepping_up,
)
from accounts.access import Door
from accounts.forms import ChangeAddressForm, ChangePasswordForm
from accounts.models import AddressChange, OpenSession, User
from accounts.second_factor import devices
from accounts.views import factors
from accounts.views.signing_in import address_of, is_at_home

View = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True, kw_only=True)
class SessionLine:
    """One open session as the page shows it."""

    name: str
    browser: str
    user_agent: str
    address: str
    signed_in_at: datetime | None
    seen_at: datetime
    is_this: bool


@login_required
@never_cache
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """What protects the account, and where it is open."""
    return page(request)


def asks_for_factor(view: View) -> View:
    """Whoever has a second factor proves it just before; the password is asked for by the form."""

    @wraps(view)
    def asked_first(request: HttpRequest) -> HttpResponse:
        has_any = devices.has_any(cast("User", request.user))
        if has_any and not stepping_up.is_fresh(request, at=timezone.now()):
            return stepping_up.ask(request)
        return view(request)

    return asked_first


@login_required
@never_cache
@require_POST
@asks_for_factor
def change_password(request: HttpRequest) -> HttpResponse:
    """Set another password, after the present one; everybody else who is signed in is out."""
    user, at = cast("User", request.user), timezone.now()
    form = ChangePasswordForm(request.POST, user=user)
    if not form.is_valid():
        return page(request, password_form=form)
    present = form.cleaned_data["present"]
    try:
        is_right = signing_in.knows_password(
            user=user, password=present, address=address_of(request), at=at
        )
    except holding_back.NotNow as refusal:
        form.add_error(None, str(refusal))
        return page(request, password_form=form, status=refusal.status)
    if not is_right:
        form.add_error("present", _("This is not the password that you sign in with."))
        return page(request, password_form=form)
    key = request.session.session_key
    passwords.change(
        user=user,
        password=form.cleaned_data["password"],
        kept_session=key,
        at=at,
        origin=arriving.origin_of(request, door=Door.PANEL),
    )
    update_session_auth_hash(request, user)
    messages.success(request, _("You have a new password. Every other session has ended."))
    response = redirect("accounts:security")
    has_proved = user.is_verified()  # type: ignore[attr-defined]  # by the middleware of django-otp
    is_at_home(request, response, user=user, at=at, has_proved=has_proved)
    return response


@login_required
@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """End one session by its name; a stranger's answers like one that has ended."""
    name = request.POST.get("name", "")
    try:
        sessions.end(
            user=cast("User", request.user),
            name=name,
            at=timezone.now(),
            origin=arriving.origin_of(request, door=Door.PANEL),
        )
    except sessions.NoSuchSession as refusal:
        raise Http404(str(refusal)) from refusal
    messages.success(request, _("The session has ended."))
    return redirect("accounts:security")


@login_required
@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    """End all sessions but this one."""
    key = request.session.session_key or ""
    ended = sessions.end_others(
        user=cast("User", request.user),
        kept=key,
        at=timezone.now(),
        origin=arriving.origin_of(request, door=Door.PANEL),
    )
    text = ngettext("One session has ended.", "%(number)d sessions have ended.", ended)
    messages.success(request, text % {"number": ended})
    return redirect("accounts:security")


def page(
    request: HttpRequest,
    *,
    password_form: ChangePasswordForm | None = None,
    address_form: ChangeAddressForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page, with the form that was sent if it was not taken."""
    user, at = cast("User", request.user), timezone.now()
    context = {
        "password_form": password_form or ChangePasswordForm(user=user),
        "address_form": address_form or ChangeAddressForm(),
        **_about_address(user, at=at),
        **factors.context_of(request),
        "sessions": [_line(each, request) for each in _listed(user, at=at)],
    }
    return render(request, "accounts/security.html", context, status=status)


def _about_address(user: User, *, at: datetime) -> dict[str, Any]:
    undoable = AddressChange.objects.undoable(at=at).filter(user=user).order_by("-made_at")
    return {"waiting_change": address_changes.waiting(user), "former": undoable.first()}


def _listed(user: User, *, at: datetime) -> list[OpenSession]:
    found = OpenSession.objects.of(user, at=at).defer("session_data")
    return list(found[: sessions.MOST_LISTED])


def _line(session: OpenSession, request: HttpRequest) -> SessionLine:
    return SessionLine(
        name=sessions.name_of(session),
        browser=browser_names.in_words(session.user_agent),
        user_agent=session.user_agent,
        address=session.address,
        signed_in_at=session.signed_in_at,
        seen_at=session.seen_at,
        is_this=session.session_key == request.session.session_key,
    )
