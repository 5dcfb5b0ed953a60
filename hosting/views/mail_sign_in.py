"""Who gets into a mailbox: the reach of app passwords, app passwords only, and ending sessions."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.stepping_up import changes_need_fresh_proof, needs_fresh_proof
from hosting.forms.mailboxes import ReachForm
from hosting.views import actor_of, load
from mailstore import credentials
from mailstore.models import AppPassword, Mailbox


@login_required
@require_http_methods(["GET", "POST"])
@changes_need_fresh_proof
def change_app_password(request: HttpRequest, uuid: UUID, password_uuid: UUID) -> HttpResponse:
    """By which protocols, and from where, an app password may be used."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    passwords = AppPassword.objects.filter(mailbox=mailbox, revoked_at__isnull=True)
    password = get_object_or_404(
        passwords.select_related("mailbox__organisation__parent"), uuid=password_uuid
    )
    sent = request.POST if request.method == "POST" else None
    form = ReachForm(sent, initial=_initial(password))
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            credentials.set_reach(
                actor=actor,
                app_password=password,
                allows_pop=Mailbox.Protocol.POP in asked["protocols"],
                allows_imap=Mailbox.Protocol.IMAP in asked["protocols"],
                networks=asked["networks"],
                at=timezone.now(),
            )
        except credentials.Revoked as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("“%(label)s” was changed.") % {"label": password.label})
        return redirect("mailboxes:detail", uuid=mailbox.uuid)
    context = {"mailbox": mailbox, "password": password, "form": form}
    return render(request, "hosting/app_password.html", context, status=422 if form.errors else 200)


def _initial(password: AppPassword) -> dict[str, object]:
    allowed = {
        Mailbox.Protocol.POP: password.allows_pop,
        Mailbox.Protocol.IMAP: password.allows_imap,
    }
    return {
        "protocols": [protocol for protocol, is_allowed in allowed.items() if is_allowed],
        "networks": password.networks,
    }


@login_required
@require_POST
@needs_fresh_proof
def require_app_passwords(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """From here on, app passwords alone open the mailbox."""
    done = _("Only app passwords open this mailbox now.")
    return _allow(request, uuid, is_on=True, done=done)


@login_required
@require_POST
@needs_fresh_proof
def allow_mailbox_password(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A mailbox password may open the mailbox again."""
    done = _("A mailbox password may open this mailbox again.")
    return _allow(request, uuid, is_on=False, done=done)


def _allow(request: HttpRequest, uuid: UUID, *, is_on: bool, done: str) -> HttpResponse:
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    credentials.require_app_passwords(actor=actor, mailbox=mailbox, is_on=is_on, at=timezone.now())
    messages.success(request, done)
    return redirect("mailboxes:detail", uuid=mailbox.uuid)


@login_required
@require_POST
def end_sessions(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Throw out whoever is signed in."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    credentials.end_sessions(actor=actor, mailbox=mailbox, at=timezone.now())
    text = _("Whoever was signed in is out. Programs with a good password come back by it.")
    messages.success(request, text)
    return redirect("mailboxes:detail", uuid=mailbox.uuid)
