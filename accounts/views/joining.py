"""Becoming somebody here: by oneself, or invited."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import (
    arriving,
    holding_back,
    invitations,
    inviting,
    membership,
    signing_up,
    stepping_up,
)
from accounts.access import Door
from accounts.forms import InvitationForm, OpenAccountForm, SignUpForm
from accounts.models import Invitation, User
from accounts.views.letters import by_link
from accounts.views.signing_in import address_of, is_at_home


@require_http_methods(["GET", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """Ask for the letter by which an account is opened, if the house takes customers by itself.

    The answer is the same whoever has the address, or nobody.
    """
    _must_be_open()
    form = SignUpForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"]
        try:
            signing_up.ask(
                email=email,
                seller_id=request.seller_id,  # type: ignore[attr-defined]
                address=address_of(request),
                at=timezone.now(),
            )
        except holding_back.NotNow as refusal:
            context["refusal"] = str(refusal)
            return _not_now(request, "accounts/sign_up.html", context, refusal)
        except (membership.NoProvider, membership.SellerStopped) as refusal:
            form.add_error(None, str(refusal))
        else:
            context = {"written_to": email}
    return render(request, "accounts/sign_up.html", context)


def _must_be_open() -> None:
    if not settings.SIGN_UP_OPEN:
        raise Http404


def _not_now(
    request: HttpRequest,
    template: str,
    context: Mapping[str, object],
    refusal: holding_back.NotNow,
) -> HttpResponse:
    response = render(request, template, dict(context), status=refusal.status)
    response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


@by_link
def open_account(request: HttpRequest, token: str) -> HttpResponse:
    """A new customer of whoever's host name the link was asked for at."""
    _must_be_open()
    at = timezone.now()
    host = request.seller_id  # type: ignore[attr-defined]
    newcomer = signing_up.found(token, seller_id=host, at=at)
    form = OpenAccountForm(request.POST or None, email=newcomer.email)
    context = {"form": form, "email": newcomer.email}
    if request.method == "POST" and form.is_valid():
        origin = arriving.origin_of(request, door=Door.PANEL)
        try:
            user = signing_up.open_account(
                newcomer=newcomer,
                **form.cleaned_data,
                address=address_of(request),
                at=at,
                origin=origin,
            )
        except holding_back.NotNow as refusal:
            form.add_error(None, str(refusal))
            return _not_now(request, "accounts/open_account.html", context, refusal)
        except (membership.NoProvider, membership.SellerStopped) as refusal:
            form.add_error(None, str(refusal))
        else:
            return _let_in(request, user, at=at)
    return render(request, "accounts/open_account.html", context)


def _let_in(request: HttpRequest, user: User, *, at: datetime) -> HttpResponse:
    login(request, user)
    stepping_up.note_password(request, at=at)
    response = redirect("dashboard:overview")
    is_at_home(request, response, user=user, at=at)
    return response


@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Join an organisation by the link of a letter: signed in, or with a first password."""
    at = timezone.now()
    try:
        asked = invitations.found(token, at=at)
        if request.user.is_authenticated:
            return _join(request, asked, at=at)
        if invitations.person(asked) is None:
            return _choose_password(request, asked, at=at)
    except invitations.NotValid as refusal:
        return render(request, "accounts/invitation.html", {"refusal": refusal}, status=404)
    query = urlencode({"next": request.path})
    context = {"asked": asked, "sign_in_url": f"{reverse('accounts:sign_in')}?{query}"}
    return render(request, "accounts/invitation.html", context)


def _choose_password(request: HttpRequest, asked: Invitation, *, at: datetime) -> HttpResponse:
    form = InvitationForm(request.POST or None, email=asked.email)
    if request.method == "POST" and form.is_valid():
        origin = arriving.origin_of(request, door=Door.PANEL)
        user = inviting.join_with_password(
            invitation=asked, **form.cleaned_data, at=at, origin=origin
        )
        return _let_in(request, user, at=at)
    return render(request, "accounts/invitation.html", {"form": form, "asked": asked})


def _join(request: HttpRequest, asked: Invitation, *, at: datetime) -> HttpResponse:
    """Whoever is signed in as somebody else is told so, and nothing more."""
    user = cast("User", request.user)
    if user.email != asked.email:
        context = {"asked": asked, "is_somebody_else": True}
        return render(request, "accounts/invitation.html", context, status=403)
    if request.method != "POST":
        return render(request, "accounts/invitation.html", {"asked": asked, "is_own": True})
    origin = arriving.origin_of(request, door=Door.PANEL)
    inviting.join(invitation=asked, user=user, at=at, origin=origin)
    told = _("You belong to %(name)s now.") % {"name": asked.organisation}
    messages.success(request, told)
    return redirect("dashboard:overview")
