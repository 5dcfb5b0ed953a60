"""One mailbox: its page, its set-up, its credentials, and the buttons that change its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import mailer
from accounts.access import Actor, Forbidden
from hosting import ordering, presenting, programs
from hosting.forms import AppPasswordForm, CloseForm, MailboxPasswordForm, OrderForm, QuotaForm
from hosting.models.plans import GIGABYTE
from hosting.views import actor_of
from hosting.views.public import plans_on_sale, shown_plan
from mailstore import credentials, provisioning, quotas
from mailstore.addresses import InvalidAddress
from mailstore.engine import DeliveryRefused, EngineError, engine
from mailstore.models import AppPassword, Mailbox

# Session key of the secret that is shown once, by mailbox.
_FRESH_SECRETS = "fresh_secrets"


def load(actor: Actor, uuid: UUID) -> Mailbox:
    """The mailbox if the actor may know of it; a stranger's answers like an absent one."""
    visible = Mailbox.objects.visible_to(actor).standing()
    return get_object_or_404(visible.select_related("organisation__parent", "domain"), uuid=uuid)


@login_required
@require_http_methods(["GET", "POST"])
def order(request: HttpRequest) -> HttpResponse:
    """Order a mailbox; its set-up page follows at once."""
    actor = actor_of(request)
    initial = {"protocol": request.GET.get("protocol", "imap")}
    form = OrderForm(request.POST or None, actor=actor, initial=initial)
    if request.method == "POST" and form.is_valid():
        mailbox = _ordered(form, actor)
        if mailbox is not None:
            _issue(request, actor=actor, mailbox=mailbox, label=_("First device"))
            return redirect("mailboxes:set_up", uuid=mailbox.uuid)
    context = {"form": form, **_order_context(request)}
    return render(request, "hosting/order.html", context, status=422 if form.errors else 200)


def _ordered(form: OrderForm, actor: Actor) -> Mailbox | None:
    asked = form.cleaned_data
    try:
        return ordering.order(
            actor=actor,
            domain=asked["domain"],
            local_part=asked["local_part"],
            plan=asked["protocol"],
            label=asked["label"],
            at=timezone.now(),
        )
    except InvalidAddress as refusal:
        form.add_error("local_part", refusal)
    except provisioning.AddressTaken as refusal:
        form.add_error("local_part", str(refusal))
    except (provisioning.DomainNotConfirmed, Forbidden) as refusal:
        form.add_error(None, str(refusal))
    return None


def _order_context(request: HttpRequest) -> dict[str, Any]:
    plans = {name: shown_plan(plan) for name, plan in plans_on_sale().items()}
    asked = request.POST or request.GET
    return {"plans": plans, "plan": plans.get(asked.get("protocol", "imap"))}


@login_required
@require_safe
def order_price(request: HttpRequest) -> HttpResponse:
    """The price of what is being chosen, as a fragment."""
    return render(request, "hosting/_order_price.html", _order_context(request))


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything about one mailbox."""
    mailbox = load(actor_of(request), uuid)
    return render(request, "hosting/mailbox.html", _detail_context(mailbox))


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
    mailbox = load(actor_of(request), uuid)
    return render(request, "hosting/_state.html", {"mailbox": mailbox})


def _live(mailbox: Mailbox) -> tuple[dict[str, Any], list[AppPassword], list[presenting.SignIn]]:
    passwords = list(mailbox.app_passwords.order_by("revoked_at", "-created_at", "pk"))
    logins = presenting.sign_ins(mailbox, passwords)
    live = {
        "space": presenting.spaces([mailbox])[mailbox.address],
        "folders": _folders(mailbox),
        "last_sign_ins": presenting.last_by_protocol(logins),
    }
    return live, passwords, logins


def _folders(mailbox: Mailbox) -> list[dict[str, Any]]:
    """The folders of an IMAP mailbox, or none while the mail server cannot be asked."""
    if not mailbox.is_imap:
        return []
    try:
        found = engine().folder_usage(user=mailbox.address)
    except EngineError:
        return []
    return [
        {
            "folder": folder.folder,
            "messages": folder.messages,
            "bytes_text": quotas.byte_text(folder.bytes),
        }
        for folder in found
    ]


def _detail_context(mailbox: Mailbox, **forms: Any) -> dict[str, Any]:
    live, passwords, logins = _live(mailbox)
    gigabytes = f"{mailbox.quota_bytes / GIGABYTE:.9f}".rstrip("0").rstrip(".")
    return {
        "mailbox": mailbox,
        "app_passwords": presenting.password_rows(mailbox, passwords, logins),
        "app_password_form": AppPasswordForm(),
        "password_form": MailboxPasswordForm(),
        "quota_form": QuotaForm(initial={"gigabytes": gigabytes}),
        "has_mailbox_password": bool(mailbox.password_hash),
        "events": _events(mailbox),
        **live,
        **forms,
    }


def _events(mailbox: Mailbox) -> list[Any]:
    events = mailbox.organisation.events.filter(subject_id=str(mailbox.uuid))
    return list(events.order_by("-seq")[:10])


@login_required
@never_cache
@require_safe
def set_up(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How to set up a mail program; a new secret is shown here once."""
    mailbox = load(actor_of(request), uuid)
    secret = _take_secret(request, mailbox)
    known = programs.programs(mailbox)
    asked = request.GET.get("program", known[0].slug)
    chosen = next((program for program in known if program.slug == asked), None)
    if chosen is None:
        raise Http404
    context = {
        "mailbox": mailbox,
        "secret": secret,
        "settings": programs.server_addresses(mailbox),
        "programs": known,
        "program": chosen,
        "qr_data_uri": programs.qr_data_uri(mailbox, secret=secret),
    }
    return render(request, "hosting/set_up.html", context)


@login_required
@require_POST
def send_test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Deliver a real message, the way mail from outside comes in."""
    mailbox = load(actor_of(request), uuid)
    status, text = _delivered_test(mailbox)
    if request.htmx:  # type: ignore[attr-defined]
        context = {"mailbox": mailbox, "status": status, "status_text": text}
        return render(request, "hosting/_test_message.html", context)
    (messages.success if status == "arrived" else messages.error)(request, text)
    return redirect("mailboxes:set_up", uuid=mailbox.uuid)


def _delivered_test(mailbox: Mailbox) -> tuple[str, str]:
    context = {
        "mailbox_address": mailbox.address,
        "protocol": mailbox.protocol,
        "panel_url": settings.PANEL_URL,
        "house_name": settings.HOUSE_NAME,
    }
    message = mailer.compose(name="test_message", to=mailbox.address, context=context)
    try:
        engine().deliver(
            recipient=mailbox.address,
            message=message,
            sender=settings.DEFAULT_FROM_EMAIL,
        )
    except DeliveryRefused as refusal:
        return "failed", _("The mail server said no: %(text)s") % {"text": refusal.text}
    except EngineError:
        return "failed", _("The mail server cannot be reached. Try again in a minute.")
    return "arrived", _("The message is in the inbox. Check for mail in your program now.")


@login_required
@require_POST
def add_app_password(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new app password; the set-up page shows its secret once."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = AppPasswordForm(request.POST)
    if not form.is_valid():
        context = _detail_context(mailbox, app_password_form=form)
        return render(request, "hosting/mailbox.html", context, status=422)
    _issue(request, actor=actor, mailbox=mailbox, label=form.cleaned_data["label"])
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
        context = _detail_context(mailbox, password_form=form)
        return render(request, "hosting/mailbox.html", context, status=422)
    password = form.cleaned_data["password"]
    credentials.set_mailbox_password(
        actor=actor,
        mailbox=mailbox,
        password=password,
        at=timezone.now(),
    )
    done = _("The mailbox password was set.") if password else _("Only app passwords work now.")
    messages.success(request, done)
    return redirect("mailboxes:detail", uuid=mailbox.uuid)


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
                at=timezone.now(),
            )
        except (ordering.LimitAbovePlan, quotas.ImpossibleLimit) as refusal:
            form.add_error("gigabytes", str(refusal))
        else:
            messages.success(request, _("The limit was changed."))
            return redirect("mailboxes:detail", uuid=mailbox.uuid)
    context = _detail_context(mailbox, quota_form=form)
    return render(request, "hosting/mailbox.html", context, status=422)


@login_required
@require_http_methods(["GET", "POST"])
def close(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Close a mailbox after its address was typed; it can be reopened during the grace."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    form = CloseForm(request.POST or None, mailbox=mailbox)
    if request.method == "POST" and form.is_valid():
        return _change(
            request,
            mailbox,
            lambda: ordering.close(
                actor=actor,
                mailbox=mailbox,
                grace=settings.CLOSING_GRACE,
                at=timezone.now(),
            ),
            _("The mailbox is closing. Until it is erased you can reopen it here."),
        )
    context = {
        "mailbox": mailbox,
        "form": form,
        "space": presenting.spaces([mailbox])[mailbox.address],
        "grace_days": settings.CLOSING_GRACE.days,
    }
    return render(request, "hosting/close.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def suspend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Stop signing in."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    return _change(
        request,
        mailbox,
        lambda: provisioning.suspend(actor=actor, mailbox=mailbox, at=timezone.now()),
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
        lambda: provisioning.resume(actor=actor, mailbox=mailbox, at=timezone.now()),
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
        lambda: ordering.reopen(actor=actor, mailbox=mailbox, at=timezone.now()),
        _("The mailbox is back, with everything in it."),
    )


def _change(
    request: HttpRequest, mailbox: Mailbox, verb: Callable[[], None], done: str
) -> HttpResponse:
    try:
        verb()
    except provisioning.WrongState as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, done)
    return redirect("mailboxes:detail", uuid=mailbox.uuid)


def _issue(request: HttpRequest, *, actor: Actor, mailbox: Mailbox, label: str) -> None:
    issued = credentials.issue(actor=actor, mailbox=mailbox, label=label, at=timezone.now())
    fresh = request.session.get(_FRESH_SECRETS, {})
    request.session[_FRESH_SECRETS] = {**fresh, str(mailbox.uuid): issued.secret}


def _take_secret(request: HttpRequest, mailbox: Mailbox) -> str | None:
    """The secret that waits to be shown, which is forgotten by this."""
    fresh = request.session.get(_FRESH_SECRETS, {})
    secret: str | None = fresh.pop(str(mailbox.uuid), None)
    if secret is not None:
        request.session[_FRESH_SECRETS] = fresh
    return secret
