"""Signing in and out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django_htmx.http import HttpResponseClientRefresh

from accounts import arriving, keys, new_browsers, signing_in, stepping_up, visits
from accounts.access import Door
from accounts.forms import SignInForm
from accounts.models import User, UserManager
from accounts.second_factor import passkeys
from accounts.views import passkey_scripts

# By this a browser in which somebody has signed in is known again. It opens nothing.
BROWSER_COOKIE = "browser"
_KNOWN_FOR = timedelta(days=400)


class SignInView(LoginView):
    """E-mail address and password; who is signed in already goes on to the overview."""

    authentication_form = SignInForm
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Look at the password only if that many may be tried."""
        # PostgreSQL takes no text with a null character; the form refuses it later.
        typed, at = request.POST.get("username", "").replace("\0", ""), timezone.now()
        email = UserManager.canonical(typed)
        try:
            tried = signing_in.begin(email=email, address=address_of(request), at=at)
        except signing_in.NotNow as refusal:
            return _not_now(request, refusal, email=email)
        response = super().post(request, *args, **kwargs)
        if isinstance(request.user, User):
            signing_in.passed(tried, user=request.user, at=at)
            stepping_up.note_password(request, at=at)
            arrived(request, response, user=request.user, is_known_address=tried.is_known, at=at)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what the scripts of passkeys need, where there are any."""
        context = super().get_context_data(**kwargs)
        if passkeys.are_possible(self.request):
            context["passkey_scripts"] = passkey_scripts.read_by(self.request)
        return context

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A page that refreshes itself after a sign-out is loaded anew, and so leads here."""
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponseClientRefresh()
        return super().get(request, *args, **kwargs)


def _not_now(request: HttpRequest, refusal: signing_in.NotNow, *, email: str) -> HttpResponse:
    context = {"form": SignInForm(request, initial={"username": email}), "refusal": str(refusal)}
    response = render(request, "accounts/sign_in.html", context, status=refusal.status)
    response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def address_of(request: HttpRequest) -> str:
    """From where a request comes, as `ClientAddressMiddleware` left it."""
    return str(request.META.get("REMOTE_ADDR", ""))


def arrived(
    request: HttpRequest,
    response: HttpResponse,
    *,
    user: User,
    is_known_address: bool,
    at: datetime,
) -> None:
    """Somebody has just signed in: know the browser again, and ask by letter if it is new."""
    arrival = new_browsers.Arrival(
        token=request.COOKIES.get(BROWSER_COOKIE, ""),
        user_agent=request.headers.get("User-Agent", ""),
        address=address_of(request),
        is_known_address=is_known_address,
        origin=arriving.origin_of(request, door=Door.PANEL),
    )
    _keep_token(response, new_browsers.note(user=user, arrival=arrival, at=at))


def is_at_home(
    request: HttpRequest,
    response: HttpResponse,
    *,
    user: User,
    at: datetime,
    has_proved: bool = False,
) -> None:
    """The person is known in this browser and at this address, so nobody needs to be asked.

    That is so where the account has just begun, and where somebody has just shown to own it.
    """
    holder = keys.holder_of(address_of(request))
    signing_in.know(user=user, holder=holder, at=at, has_proved=has_proved)
    shown = request.COOKIES.get(BROWSER_COOKIE, "")
    _keep_token(response, new_browsers.note_first(user=user, token=shown, at=at))


def _keep_token(response: HttpResponse, token: str) -> None:
    response.set_cookie(
        BROWSER_COOKIE,
        token,
        max_age=_KNOWN_FOR,
        path=reverse("accounts:sign_in").rpartition("/")[0],
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


sign_in = SignInView.as_view()


class SignOutView(LogoutView):
    """Leaves the panel, and before that the customer in whose name somebody acts."""

    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """End the visit, if there is one."""
        visit = request.visit  # type: ignore[attr-defined]
        if visit is not None:
            visits.end(visit=visit, at=timezone.now())
        return super().post(request, *args, **kwargs)


sign_out = SignOutView.as_view()
