"""The e-mail address of a person: confirming it, changing it, and taking a change back."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import address_changes, arriving, confirming, holding_back, links, signing_in
from accounts.access import Door
from accounts.forms import ChangeAddressForm
from accounts.models import User
from accounts.views.letters import by_link, refused
from accounts.views.security import asks_for_factor, page
from accounts.views.signing_in import address_of


@by_link
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm the address that an account began with."""
    user = links.confirms(token)
    if request.method == "POST":
        confirming.confirm(
            token=token, at=timezone.now(), origin=arriving.origin_of(request, door=Door.PANEL)
        )
        messages.success(request, _("Thank you. Your address is confirmed."))
        return redirect("dashboard:overview")
    return render(request, "accounts/confirm_address.html", {"person": user})


@login_required
@require_POST
def send_again(request: HttpRequest) -> HttpResponse:
    """Send the letter with the link once more."""
    user = cast("User", request.user)
    try:
        confirming.ask(user=user, at=timezone.now())
    except holding_back.NotNow as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The letter to %(email)s is on its way.") % {"email": user})
    return redirect("accounts:security")


@login_required
@require_POST
@asks_for_factor
def ask(request: HttpRequest) -> HttpResponse:
    """Change the address; the new one has to confirm it."""
    user, at = cast("User", request.user), timezone.now()
    form = ChangeAddressForm(request.POST)
    if not form.is_valid():
        return page(request, address_form=form)
    password, new = form.cleaned_data["password"], form.cleaned_data["email"]
    try:
        if signing_in.knows_password(
            user=user, password=password, address=address_of(request), at=at
        ):
            change = address_changes.ask(
                user=user, email=new, at=at, origin=arriving.origin_of(request, door=Door.PANEL)
            )
            sent = _("We have written to %(email)s. Follow the link in that letter.")
            messages.success(request, sent % {"email": change.new_email})
            return redirect("accounts:security")
        form.add_error("password", _("This is not the password that you sign in with."))
    except address_changes.Refused as refusal:
        form.add_error("email", str(refusal))
    except holding_back.NotNow as refusal:
        form.add_error(None, str(refusal))
        return page(request, address_form=form, status=refusal.status)
    return page(request, address_form=form)


@login_required
@require_POST
def keep(request: HttpRequest) -> HttpResponse:
    """Call off the change that waits for its new address."""
    address_changes.call_off(
        user=cast("User", request.user),
        at=timezone.now(),
        origin=arriving.origin_of(request, door=Door.PANEL),
    )
    messages.success(request, _("Your address stays as it is."))
    return redirect("accounts:security")


@by_link
def confirm_new(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm the new address, by the link that was sent to it."""
    change = links.changes(token)
    if request.method == "POST":
        try:
            change = address_changes.confirm(
                token=token, at=timezone.now(), origin=arriving.origin_of(request, door=Door.PANEL)
            )
        except address_changes.Refused as refusal:
            return refused(request, str(refusal))
        done = _("From now on you sign in with %(email)s.") % {"email": change.new_email}
        messages.success(request, done)
        return redirect("accounts:security")
    return render(request, "accounts/confirm_new_address.html", {"change": change})


@by_link
def take_back(request: HttpRequest, token: str) -> HttpResponse:
    """Undo a change of address, by the link that was sent to the former one."""
    at = timezone.now()
    change = links.takes_back(token, at=at)
    if request.method == "POST":
        try:
            address_changes.take_back(
                token=token, at=at, origin=arriving.origin_of(request, door=Door.PANEL)
            )
        except address_changes.Refused as refusal:
            return refused(request, str(refusal))
        context = {"change": change, "is_done": True}
        return render(request, "accounts/take_back_address.html", context)
    return render(request, "accounts/take_back_address.html", {"change": change})
