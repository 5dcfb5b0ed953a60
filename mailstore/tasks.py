"""Background work on mail: each task calls one verb and may be run any number of times."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.access import system
from mailstore import provisioning, quotas
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox


@shared_task(name="mailstore.provision_mailbox", throws=(EngineError,))
def provision_mailbox(*, mailbox_id: int) -> None:
    """Prepare one mailbox now rather than at the next sweep."""
    mailbox = Mailbox.objects.filter(pk=mailbox_id, state=Mailbox.State.PENDING).first()
    if mailbox is not None:
        provisioning.prepare(mailbox=mailbox, engine=engine())


@shared_task(name="mailstore.provision_pending")
def provision_pending() -> int:
    """Prepare every mailbox that still waits."""
    return provisioning.prepare_pending(engine=engine())


@shared_task(name="mailstore.end_sessions", throws=(EngineError,))
def end_sessions(*, mailbox_id: int) -> None:
    """End one mailbox's sessions now rather than at the next sweep."""
    mailbox = Mailbox.objects.filter(pk=mailbox_id).first()
    if mailbox is not None:
        provisioning.end_sessions(mailbox=mailbox, engine=engine())


@shared_task(name="mailstore.end_due_sessions")
def end_due_sessions() -> int:
    """End the sessions of mailboxes that lost a right to sign in."""
    return provisioning.end_due_sessions(engine=engine())


@shared_task(name="mailstore.erase_closed")
def erase_closed() -> int:
    """End the grace of closed mailboxes and erase them."""
    at = timezone.now()
    provisioning.close_for_good(actor=system("closing sweep"), at=at)
    return provisioning.erase_closed(engine=engine(), at=at)


@shared_task(name="mailstore.watch_quotas")
def watch_quotas() -> int:
    """Weigh mailboxes whose use changed."""
    return quotas.watch(at=timezone.now())


@shared_task(name="mailstore.read_mail_log")
def read_mail_log() -> int:
    """Learn from the mail server's log which messages did not fit."""
    return quotas.read_log(path=settings.DOVECOT_LOG)


@shared_task(name="mailstore.send_quota_warnings")
def send_quota_warnings() -> int:
    """Send the warnings that wait."""
    return quotas.send_warnings(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.end_grace_of_full")
def end_grace_of_full() -> int:
    """Refuse mail for good where a mailbox stayed full too long."""
    return quotas.end_grace(grace=settings.FULL_MAILBOX_GRACE, at=timezone.now())
