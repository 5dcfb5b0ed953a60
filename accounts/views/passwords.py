"""A new password for somebody who has forgotten the old one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import arriving, holding_back, links, passwords
from accounts.access import Door
from accounts.forms import ForgottenForm, ResetForm
from accounts.views.letters import by_link
from accounts.views.signing_in import address_of


@require_http_methods(["GET", "POST"])
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a letter; the answer is the same whoever has the address, or nobody."""
    form = ForgottenForm(request.POST or None)
    context = {"form": form}
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"]
        try:
            passwords.ask_reset(email=email, address=address_of(request), at=timezone.now())
        except holding_back.NotNow as refusal:
            return _not_now(request, form, refusal)
        context = {"asked_for": email}
    return render(request, "accounts/forgotten_password.html", context)


def _not_now(
    request: HttpRequest, form: ForgottenForm, refusal: holding_back.NotNow
) -> HttpResponse:
    context = {"form": form, "refusal": str(refusal)}
    response = render(request, "accounts/forgotten_password.html", context, status=refusal.status)
    response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


@by_link
def reset(request: HttpRequest, token: str) -> HttpResponse:
    """Choose a new password. Signing in comes next, with the second factor if there is one."""
    user = links.resets(token)
    form = ResetForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        password = form.cleaned_data["password"]
        passwords.reset(
            token=token,
            password=password,
            address=address_of(request),
            at=timezone.now(),
            origin=arriving.origin_of(request, door=Door.PANEL),
        )
        messages.success(request, _("You have a new password. Sign in with it."))
        return redirect("accounts:sign_in")
    return render(request, "accounts/reset_password.html", {"form": form, "person": user})
