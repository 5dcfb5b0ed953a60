"""Sign-up, sign-in and the second factor."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRefresh
from django_otp import login as otp_login
from django_otp import verify_token
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import membership, second_factor
from accounts.forms import CodeForm, SignInForm, SignUpForm
from accounts.models import User


class SignInView(LoginView):
    """E-mail address and password; who is signed in already goes on to the overview."""

    authentication_form = SignInForm
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A page that refreshes itself after a sign-out is loaded anew, and so leads here."""
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponseClientRefresh()
        return super().get(request, *args, **kwargs)


sign_in = SignInView.as_view()
sign_out = LogoutView.as_view(http_method_names=["post", "options"])


@require_http_methods(["GET", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """A new customer, if the house takes them by itself."""
    if not settings.SIGN_UP_OPEN:
        raise Http404
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = membership.sign_up(**form.cleaned_data, at=timezone.now())
        except membership.NoProvider as refusal:
            form.add_error(None, str(refusal))
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("dashboard:overview")
    return render(request, "accounts/sign_up.html", {"form": form})


@login_required
@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Ask staff for the code of their enrolled device."""
    user = _staff_user(request)
    device = second_factor.confirmed_device(user)
    if device is None:
        return redirect(_with_next(request, "accounts:second_factor_enrol"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if verify_token(user, device.persistent_id, form.cleaned_data["code"]):
            return _passed(request, device)
        form.add_error("code", _refusal_text(device))
    return render(request, "accounts/two_factor_verify.html", {"form": form})


@login_required
@require_http_methods(["GET", "POST"])
def enrol(request: HttpRequest) -> HttpResponse:
    """Show staff a secret to put into their app, once, and have them prove it."""
    user = _staff_user(request)
    if second_factor.confirmed_device(user) is not None:
        return redirect(_with_next(request, "accounts:second_factor"))
    device = second_factor.device_to_enrol(user)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if second_factor.confirm(device, code=form.cleaned_data["code"]):
            return _passed(request, device)
        form.add_error("code", _refusal_text(device))
    context = {
        "form": form,
        "qr_data_uri": second_factor.qr_data_uri(device),
        "secret_text": second_factor.secret_text(device),
    }
    return render(request, "accounts/two_factor_enrol.html", context)


def _staff_user(request: HttpRequest) -> User:
    user = cast("User", request.user)
    if not user.is_staff:
        raise PermissionDenied(_("These pages are for the staff of the house."))
    return user


def _passed(request: HttpRequest, device: TOTPDevice) -> HttpResponseRedirect:
    otp_login(request, device)
    return HttpResponseRedirect(_next(request) or reverse("admin:index"))


def _refusal_text(device: TOTPDevice) -> str:
    device.refresh_from_db()
    allowed, _reason = device.verify_is_allowed()
    if not allowed:
        return _("Too many tries. Wait a little, then use a fresh code.")
    return _("This code is not right. Codes change every 30 seconds and work once.")


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next", "")
    allowed = url_has_allowed_host_and_scheme(
        target,
        allowed_hosts={request.get_host()},
        require_https=request.is_secure(),
    )
    return target if allowed else ""


def _with_next(request: HttpRequest, name: str) -> str:
    query = request.META.get("QUERY_STRING", "")
    return f"{reverse(name)}?{query}" if query else reverse(name)
