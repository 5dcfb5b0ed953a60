"""One mailbox: its page, its set-up, its credentials, and the buttons that change its state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.stepping_up import needs_fresh_proof
from hosting import (
    changing,
    clocks,
    device_lines,
    limits,
    ordering,
    presenting,
    pricing,
)
from hosting.forms.mailboxes import AddressForm, AppPasswordForm, MailboxPasswordForm
from hosting.forms.ordering import QuotaForm
from hosting.models import Plan
from hosting.models.plans import GIGABYTE
from hosting.views import (
    actor_of,
    load,
    look_of,
    may_manage,
    open_alarm,
    sees_price,
    set_up,
    waiting_close,
    way_back,
)
from mailstore import cooling, credentials, guessing, holding, provisioning, quotas
from mailstore.engine import EngineError, engine
from mailstore.models import AppPassword, Mailbox


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything about one mailbox."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return render(request, "hosting/mailbox.html", _detail_context(request, mailbox))


@login_required
@require_safe
def use(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Use and last sign-ins as the mail server reported them last, as a fragment."""
    mailbox = load(actor_of(request), uuid)
    return render(request, "hosting/_use.html", {"mailbox": mailbox, **_live(mailbox)[0]})


@login_required
@require_safe
def state(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Whether the mailbox is ready, as a fragment."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    context = {
        "mailbox": mailbox,
        "open_alarm": open_alarm(mailbox),
        "waiting_close": waiting_close(mailbox),
        **way_back(mailbox),
        "stopped_lines": presenting.stopped_lines(mailbox),
        "may_manage": may_manage(actor, mailbox),
    }
    return render(request, "hosting/_state.html", context)


def _live(mailbox: Mailbox) -> tuple[dict[str, Any], list[AppPassword], list[presenting.SignIn]]:
    passwords = list(mailbox.app_passwords.order_by("revoked_at", "-created_at", "pk"))
    logins = presenting.sign_ins(mailbox, passwords)
    folders = _folders(mailbox)
    live = {
        "space": presenting.spaces([mailbox])[mailbox.address],
        "folders": folders or [],
        "are_folders_unknown": folders is None,
        "last_sign_ins": presenting.last_by_protocol(logins),
        "removed_text": quotas.byte_text(mailbox.store_bytes) if mailbox.store_bytes else "",
    }
    return live, passwords, logins


def _folders(mailbox: Mailbox) -> list[dict[str, Any]] | None:
    """The folders of an IMAP mailbox, or None while the mail server cannot be asked."""
    if not mailbox.is_imap:
        return []
    try:
        return presenting.folders(engine().folder_usage(user=mailbox.address))
    except EngineError:
        return None


def _detail_context(request: HttpRequest, mailbox: Mailbox, **forms: Any) -> dict[str, Any]:
    live, passwords, logins = _live(mailbox)
    gigabytes = f"{mailbox.quota_bytes / GIGABYTE:.9f}".rstrip("0").rstrip(".")
    rows = presenting.password_rows(mailbox, passwords, logins)
    return {
        "mailbox": mailbox,
        "may_manage": may_manage(actor_of(request), mailbox),
        "app_passwords": [row for row in rows if not row["is_revoked"]],
        "revoked_passwords": [row for row in rows if row["is_revoked"]],
        "app_password_form": AppPasswordForm(),
        "password_form": MailboxPasswordForm(),
        "quota_form": QuotaForm(initial={"gigabytes": gigabytes}),
        "has_mailbox_password": bool(mailbox.password_hash),
        "guessing": guessing.spell(mailbox, at=timezone.now()),
        "events": presenting.happenings(mailbox, house_name=look_of(request).name),
        "open_alarm": open_alarm(mailbox),
        "waiting_close": waiting_close(mailbox),
        **way_back(mailbox),
        "plan": Plan.objects.filter(contracts__mailbox=mailbox, contracts__ends_at=None).first(),
        "stopped_lines": presenting.stopped_lines(mailbox),
        **device_lines.open_questions(mailbox, at=timezone.now()),
        **live,
        **forms,
    }


@login_required
@require_POST
def add_app_password(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new app password; the set-up page shows its secret once."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = AppPasswordForm(request.POST)
    if not form.is_valid():
        context = _detail_context(request, mailbox, app_password_form=form)
        return render(request, "hosting/mailbox.html", context, status=422)
    set_up.issue(
        request,
        actor=actor,
        mailbox=mailbox,
        label=form.cleaned_data["label"],
        protocols=form.cleaned_data["protocols"],
        networks=form.cleaned_data["networks"],
    )
    return redirect("mailboxes:set_up", uuid=mailbox.uuid)


@login_required
@require_http_methods(["GET", "POST"])
def revoke_app_password(request: HttpRequest, uuid: UUID, password_uuid: UUID) -> HttpResponse:
    """Ask, then revoke."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    passwords = AppPassword.objects.filter(mailbox=mailbox)
    password = get_object_or_404(
        passwords.select_related("mailbox__organisation__parent"),
        uuid=password_uuid,
    )
    if request.method == "POST":
        credentials.revoke(actor=actor, app_password=password, at=timezone.now())
        messages.success(
            request,
            _("“%(label)s” can no longer sign in.") % {"label": password.label},
        )
        return redirect("mailboxes:detail", uuid=mailbox.uuid)
    return render(request, "hosting/revoke.html", {"mailbox": mailbox, "password": password})


@login_required
@require_POST
def set_password(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Set or remove the optional mailbox password."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = MailboxPasswordForm(request.POST)
    if not form.is_valid():
        context = _detail_context(request, mailbox, password_form=form)
        return render(request, "hosting/mailbox.html", context, status=422)
    password = form.cleaned_data["password"]
    done = _("The mailbox password was set.") if password else _("Only app passwords work now.")
    return _change(
        request,
        mailbox,
        lambda at: credentials.set_mailbox_password(
            actor=actor, mailbox=mailbox, password=password, at=at, now=timezone.now()
        ),
        done,
    )


@login_required
@require_POST
def change_quota(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change the limit within the plan."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = QuotaForm(request.POST)
    if form.is_valid():
        try:
            ordering.change_limit(
                actor=actor,
                mailbox=mailbox,
                quota_bytes=form.quota_bytes,
                at=clocks.now_for(mailbox.organisation),
                now=timezone.now(),
            )
        except (ordering.LimitAbovePlan, quotas.ImpossibleLimit) as refusal:
            form.add_error("gigabytes", str(refusal))
        else:
            messages.success(request, _("The limit was changed."))
            return redirect("mailboxes:detail", uuid=mailbox.uuid)
    context = _detail_context(request, mailbox, quota_form=form)
    return render(request, "hosting/mailbox.html", context, status=422)


@login_required
@require_http_methods(["GET", "POST"])
@needs_fresh_proof
def close(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask, by typing the address, that a mailbox be closed; every owner may call it off."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = AddressForm(request.POST or None, mailbox=mailbox)
    if request.method == "POST" and form.is_valid():
        return _change(
            request,
            mailbox,
            lambda at: cooling.ask_to_close(
                actor=actor,
                mailbox=mailbox,
                grace=settings.CLOSING_GRACE,
                wait=settings.COOLING_OFF,
                at=at,
            ),
            _("The closing was noted. Until it begins, everything goes on as before."),
        )
    context = {
        "mailbox": mailbox,
        "form": form,
        "space": presenting.spaces([mailbox])[mailbox.address],
        **_closing_costs(mailbox),
        "sees_price": sees_price(actor, mailbox),
        "grace_days": settings.CLOSING_GRACE.days,
    }
    return render(request, "hosting/close.html", context, status=422 if form.errors else 200)


def _closing_costs(mailbox: Mailbox) -> dict[str, Any]:
    """What the closing means in money, if anything is charged."""
    at = clocks.now_for(mailbox.organisation)
    closes_at = at + settings.COOLING_OFF
    try:
        months = changing.cost_of_closing(mailbox=mailbox, closes_at=closes_at, at=at)
    except (provisioning.WrongState, pricing.NoPrice):
        months = []
    return {"closes_at": closes_at, "months": months}


@login_required
@require_POST
def suspend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Stop signing in."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _change(
        request,
        mailbox,
        lambda at: provisioning.suspend(actor=actor, mailbox=mailbox, at=at, now=timezone.now()),
        _("Nobody can sign in to this mailbox now. Mail still arrives."),
    )


@login_required
@require_POST
def resume(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Allow signing in again."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _change(
        request,
        mailbox,
        lambda at: provisioning.resume(actor=actor, mailbox=mailbox, at=at),
        _("The mailbox can sign in again."),
    )


@login_required
@require_POST
def reopen(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take back a closing."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _change(
        request,
        mailbox,
        lambda at: ordering.reopen(actor=actor, mailbox=mailbox, at=at),
        _("The mailbox is back, with everything in it."),
    )


_CHANGE_REFUSALS = (
    provisioning.WrongState,
    holding.Stopped,
    credentials.AppPasswordsOnly,
    limits.LimitReached,
)


def _change(
    request: HttpRequest, mailbox: Mailbox, verb: Callable[[datetime], object], done: str
) -> HttpResponse:
    try:
        verb(clocks.now_for(mailbox.organisation))
    except _CHANGE_REFUSALS as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, done)
    return redirect("mailboxes:detail", uuid=mailbox.uuid)
