"""The person's own devices: which there are, their names, and removing one."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.forms import DeviceNameForm
from accounts.models import Membership, Organisation, User
from accounts.second_factor import demanding, devices, passkeys, recovery_codes
from accounts.second_factor.devices import Factor
from accounts.stepping_up import needs_fresh_proof
from accounts.views.acting import own_actor


@login_required
@never_cache
@require_safe
def device_list(request: HttpRequest) -> HttpResponse:
    """All devices and how many codes are left on paper."""
    return render(request, "accounts/factors.html", context_of(request))


def context_of(request: HttpRequest) -> dict[str, object]:
    """What `accounts/_second_factor.html` shows."""
    user = cast("User", request.user)
    left = recovery_codes.left(user)
    return {
        "factors": devices.of(user),
        "codes_left": left,
        "codes_are_few": left is not None and left <= recovery_codes.FEW,
        "factor_is_asked_for": demanding.standing(user, at=timezone.now()),
        "can_have_passkeys": passkeys.are_possible(request),
        "passkey_host": passkeys.host(),
        "passkey_origin": passkeys.origin(),
        "owned": Organisation.objects.filter(
            memberships__user=user, memberships__role=Membership.Role.OWNER
        ).order_by("name"),
    }


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Another name for a device."""
    factor, user = _load(request, kind, pk), cast("User", request.user)
    form = DeviceNameForm(request.POST or None, initial={"name": factor.name})
    if request.method == "POST" and form.is_valid():
        try:
            devices.rename(
                actor=own_actor(request, user),
                user=user,
                kind=kind,
                pk=pk,
                name=form.cleaned_data["name"],
                at=timezone.now(),
            )
        except devices.BadName as refusal:
            form.add_error("name", str(refusal))
        else:
            messages.success(request, _("The name is changed."))
            return redirect("accounts:factors")
    status = 422 if form.errors else 200
    context = {"form": form, "factor": factor}
    return render(request, "accounts/factor_name.html", context, status=status)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """A device is removed, after the question."""
    return _remove(request, _load(request, kind, pk))


@needs_fresh_proof
def _remove(request: HttpRequest, factor: Factor) -> HttpResponse:
    user = cast("User", request.user)
    context: dict[str, object] = {"factor": factor, "is_last": len(devices.of(user)) == 1}
    if request.method != "POST":
        return render(request, "accounts/factor_remove.html", context)
    try:
        devices.remove(
            actor=own_actor(request, user),
            user=user,
            kind=factor.kind,
            pk=factor.pk,
            at=timezone.now(),
        )
    except devices.NoSuchDevice as absent:
        raise Http404 from absent
    except devices.LastDevice as refusal:
        context["refusal"] = str(refusal)
        return render(request, "accounts/factor_remove.html", context, status=409)
    messages.success(request, _("“%(name)s” is removed.") % {"name": factor.name})
    return redirect("accounts:factors")


def _load(request: HttpRequest, kind: str, pk: int) -> Factor:
    try:
        return devices.find(cast("User", request.user), kind, pk)
    except devices.NoSuchDevice as absent:
        raise Http404 from absent
