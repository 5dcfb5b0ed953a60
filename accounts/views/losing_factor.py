"""The way out for whoever lost the second factor, and the links by which it is called off."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import arriving, lost_links, signing_in
from accounts.access import Actor, Door, system
from accounts.forms import PasswordForm
from accounts.models import User
from accounts.second_factor import devices, losing
from accounts.views.acting import own_actor
from accounts.views.signing_in import address_of

_REFUSALS = (lost_links.NotValid, losing.NothingToLose, losing.WaitsAlready)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest) -> HttpResponse:
    """The first step: the password once more, then a letter to the address."""
    user = cast("User", request.user)
    if not devices.has_any(user):
        return redirect("accounts:second_factor_enrol")
    form, status, is_sent = PasswordForm(request.POST or None), 200, False
    if request.method == "POST" and form.is_valid():
        password, at = form.cleaned_data["password"], timezone.now()
        try:
            if signing_in.knows_password(
                user=user, password=password, address=address_of(request), at=at
            ):
                losing.send_link(user=user, at=at)
                is_sent = True
            else:
                form.add_error("password", _("This is not the password that you sign in with."))
        except signing_in.NotNow as refusal:
            form.add_error("password", str(refusal))
            status = refusal.status
    context = {
        "form": form,
        "is_sent": is_sent,
        "waiting": losing.waiting(user),
        "days": settings.LOST_FACTOR_WAIT_DAYS,
    }
    return render(request, "accounts/factor_lost.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def begin(request: HttpRequest, token: str) -> HttpResponse:
    """The second step, by the link of that letter: the wait begins."""
    context: dict[str, object] = {"days": settings.LOST_FACTOR_WAIT_DAYS}
    try:
        context["person"] = lost_links.asker(token)
        if request.method == "POST":
            at = timezone.now()
            context["loss"] = losing.ask(
                token=token,
                address=address_of(request),
                at=at,
                origin=arriving.origin_of(request, door=Door.PANEL),
            )
    except _REFUSALS as refusal:
        context["refusal"] = str(refusal)
        return render(request, "accounts/factor_lost_begin.html", context, status=404)
    return render(request, "accounts/factor_lost_begin.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def call_off(request: HttpRequest, token: str) -> HttpResponse:
    """By the link in everybody's letter, without signing in: the factor stays."""
    context: dict[str, object] = {}
    try:
        loss, reader = lost_links.loss_of(token)
        context["loss"] = loss
        if request.method == "POST":
            losing.call_off(loss=loss, actor=_reader(request, reader), at=timezone.now())
            context["is_done"] = True
    except (lost_links.NotValid, losing.Over) as refusal:
        context["refusal"] = str(refusal)
        return render(request, "accounts/factor_found.html", context, status=404)
    return render(request, "accounts/factor_found.html", context)


def _reader(request: HttpRequest, email: str) -> Actor:
    """Whoever was written to there, and may be nobody here any more."""
    user = User.objects.filter(email=email).first()
    if user is not None:
        return own_actor(request, user)
    return replace(system(email), origin=arriving.origin_of(request, door=Door.PANEL))
