"""The set-up page: how a mail program signs in, the secret shown once, and a test message."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import mailer
from accounts.access import Actor, Capability
from hosting import presenting, programs, shown_once
from hosting.views import actor_of, load, may_manage, open_alarm
from mailstore import credentials
from mailstore.engine import DeliveryRefused, EngineError, engine
from mailstore.models import Mailbox


@login_required
@never_cache
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How to set up a mail program; a new secret is shown here once."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    checks = {
        "mailbox": mailbox,
        "open_alarm": open_alarm(mailbox),
        "may_manage": may_manage(actor, mailbox),
        "last_sign_in": presenting.last_sign_in(mailbox),
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "hosting/_checks.html", checks)
    secret = shown_once.take(request.session, of=_of(mailbox))
    known = programs.programs(mailbox)
    asked = request.GET.get("program", known[0].slug)
    chosen = next((program for program in known if program.slug == asked), None)
    if chosen is None:
        raise Http404
    first, *others = programs.server_addresses(mailbox)
    context = {
        **checks,
        "secret": secret,
        "server": first,
        "other_servers": others,
        "programs": known,
        "program": chosen,
        "qr_data_uri": programs.qr_data_uri(mailbox, secret=secret),
    }
    return render(request, "hosting/set_up.html", context)


@login_required
@require_POST
def send_test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Deliver a real message, the way mail from outside comes in."""
    actor = actor_of(request)
    mailbox = load(actor, uuid)
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
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
    }
    message = mailer.compose(
        name="test_message",
        to=mailbox.address,
        context=context,
        letterhead=mailer.letterhead(mailbox.organisation_id),
    )
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


def issue(
    request: HttpRequest,
    *,
    actor: Actor,
    mailbox: Mailbox,
    label: str,
    protocols: Sequence[str] = (Mailbox.Protocol.POP, Mailbox.Protocol.IMAP),
    networks: Sequence[str] = (),
) -> None:
    """A new app password, whose secret waits in the session to be shown once."""
    issued = credentials.issue(
        actor=actor,
        mailbox=mailbox,
        label=label,
        allows_pop=Mailbox.Protocol.POP in protocols,
        allows_imap=Mailbox.Protocol.IMAP in protocols,
        networks=networks,
        at=timezone.now(),
    )
    shown_once.keep(request.session, issued.secret, of=_of(mailbox))


def _of(mailbox: Mailbox) -> str:
    return f"mailbox {mailbox.uuid}"
