"""The second factor: proving it, enrolling an app, and the password for whoever has none yet."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_otp import login as otp_login
from django_otp.models import Device

from accounts import signing_in, stepping_up
from accounts.forms import CodeForm, EnrolForm, PasswordForm
from accounts.models import User
from accounts.second_factor import authenticators, demanding, devices, passkeys, proving, telling
from accounts.views import passkey_scripts
from accounts.views.acting import own_actor
from accounts.views.signing_in import address_of


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for a code or a passkey, whether or not one was shown before."""
    user = cast("User", request.user)
    if not devices.has_any(user):
        return redirect(_with_next(request, "accounts:second_factor_enrol"))
    form, status = CodeForm(request.POST or None), 200
    if request.method == "POST" and form.is_valid():
        try:
            device = proving.by_code(
                actor=own_actor(request, user),
                user=user,
                code=form.cleaned_data["code"],
                address=address_of(request),
                at=timezone.now(),
            )
        except proving.Wrong as refusal:
            form.add_error("code", str(refusal))
        except signing_in.NotNow as refusal:
            form.add_error("code", str(refusal))
            status = refusal.status
        else:
            return passed(request, device)
    context = {
        "form": form,
        "has_app": bool(devices.apps_of(user)),
        "passkeys": passkeys.offered(request, user),
        "passkey_scripts": passkey_scripts.read_by(request),
        "next": next_of(request),
    }
    return render(request, "accounts/two_factor_verify.html", context, status=status)


def passed(request: HttpRequest, device: Device) -> HttpResponseRedirect:
    """The session has its second factor from now on, under a key that nobody knew before."""
    let_in(request, device)
    return HttpResponseRedirect(next_of(request) or home_of(request))


def let_in(request: HttpRequest, device: Device) -> None:
    """The same without saying where to."""
    otp_login(request, device)
    request.session.cycle_key()
    stepping_up.note(request, at=timezone.now())


def let_in_by_new(request: HttpRequest, device: Device) -> None:
    """The same by a device that was just added, unless another one has let the session in."""
    if not request.user.is_verified():  # type: ignore[union-attr]
        let_in(request, device)


def home_of(request: HttpRequest) -> str:
    """Where somebody begins who came from nowhere."""
    user = cast("User", request.user)
    return reverse("admin:index" if user.is_staff else "dashboard:overview")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def enrol(request: HttpRequest) -> HttpResponse:
    """Show a secret to put into an app, and have the person prove that it is there."""
    blocked = before_adding(request)
    return blocked or _enrol(request, cast("User", request.user))


def _enrol(request: HttpRequest, user: User) -> HttpResponse:
    is_first = not devices.has_any(user)
    device = authenticators.to_enrol(user)
    form, status = EnrolForm(request.POST or None), 200
    if request.method == "POST" and form.is_valid():
        try:
            if _confirms(request, user, form):
                let_in_by_new(request, device)
                return after_adding(request, is_first=is_first)
            form.add_error("code", _("This code is not right. Type the one that shows now."))
        except devices.BadName as refusal:
            form.add_error("name", str(refusal))
        except signing_in.NotNow as refusal:
            form.add_error("code", str(refusal))
            status = refusal.status
    standing = demanding.standing(user, at=timezone.now())
    context = {
        "form": form,
        "qr_data_uri": authenticators.qr_data_uri(device, house=telling.house_of(user)),
        "secret_text": authenticators.secret_text(device),
        "is_first": is_first,
        "standing": standing,
        "can_have_passkeys": passkeys.are_possible(request),
        "next": next_of(request),
    }
    return render(request, "accounts/two_factor_enrol.html", context, status=status)


def _confirms(request: HttpRequest, user: User, form: EnrolForm) -> bool:
    """Whether the code is that of the new app; tries count, or it could be guessed."""
    return proving.enrols(
        actor=own_actor(request, user),
        user=user,
        name=form.cleaned_data["name"],
        code=form.cleaned_data["code"],
        address=address_of(request),
        at=timezone.now(),
    )


def before_adding(request: HttpRequest) -> HttpResponse | None:
    """What stands before another device: the factor there is, or else the password, just now."""
    if not stepping_up.is_fresh(request, at=timezone.now()):
        return stepping_up.ask(request)
    try:
        devices.must_have_room(cast("User", request.user))
    except devices.TooManyDevices as refusal:
        context = {"refusal": str(refusal)}
        return render(request, "accounts/factor_refused.html", context, status=409)
    return None


def after_adding(request: HttpRequest, *, is_first: bool) -> HttpResponse:
    """With the first device come codes on paper, or one lost phone would shut its owner out."""
    if is_first:
        return redirect(_with_next(request, "accounts:recovery_codes"))
    return redirect(next_of(request) or reverse("accounts:factors"))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def password_again(request: HttpRequest) -> HttpResponse:
    """The password once more, of whoever has no second factor."""
    user = cast("User", request.user)
    if devices.has_any(user):
        return redirect(_with_next(request, "accounts:second_factor"))
    form, status = PasswordForm(request.POST or None), 200
    if request.method == "POST" and form.is_valid():
        password, at = form.cleaned_data["password"], timezone.now()
        try:
            if signing_in.knows_password(
                user=user, password=password, address=address_of(request), at=at
            ):
                stepping_up.note_password(request, at=at)
                return HttpResponseRedirect(next_of(request) or home_of(request))
            form.add_error("password", _("This is not the password that you sign in with."))
        except signing_in.NotNow as refusal:
            form.add_error("password", str(refusal))
            status = refusal.status
    context = {"form": form, "next": next_of(request)}
    return render(request, "accounts/password_again.html", context, status=status)


@login_required
@never_cache
@require_safe
def go_on(request: HttpRequest, key: str) -> HttpResponse:
    """What was typed before the proof was asked for, to be sent now."""
    if not stepping_up.is_fresh(request, at=timezone.now()):
        return stepping_up.ask(request)
    form = stepping_up.kept(request, key)
    if form is None:
        raise Http404
    return render(request, "accounts/go_on.html", {"kept": form})


def next_of(request: HttpRequest) -> str:
    """Where the person wanted to go, if that is a page of the panel."""
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
