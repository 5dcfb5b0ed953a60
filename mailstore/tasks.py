"""Background work on mail: each task calls one verb and may be run any number of times."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from accounts.access import system
from mailstore import (
    closing,
    cooling,
    copy_letters,
    devices,
    dns_watch,
    guessing,
    logbook,
    moves,
    outages,
    provisioning,
    quotas,
    recounting,
    recovery,
    sign_ins,
    sweeping,
    switching,
    tripwire,
)
from mailstore.engine import EngineError, EngineUnavailable, engine
from mailstore.models import Mailbox, ProtocolSwitch, RestoreRun
from mailstore.resolver import resolver


@shared_task(name="mailstore.provision_mailbox", throws=(EngineError,))
def provision_mailbox(*, mailbox_id: int) -> None:
    """Prepare one mailbox now rather than at the next sweep."""
    mailbox = Mailbox.objects.filter(pk=mailbox_id, state=Mailbox.State.PENDING).first()
    if mailbox is not None:
        provisioning.prepare(mailbox=mailbox, engine=engine())


@shared_task(name="mailstore.provision_pending")
def provision_pending() -> int:
    """Prepare every mailbox that still waits."""
    return provisioning.prepare_pending(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.end_sessions", throws=(EngineError,))
def end_sessions(*, mailbox_id: int) -> None:
    """End one mailbox's sessions now rather than at the next sweep."""
    mailbox = Mailbox.objects.filter(pk=mailbox_id).first()
    if mailbox is not None:
        provisioning.end_sessions(mailbox=mailbox, engine=engine(), at=timezone.now())


@shared_task(name="mailstore.end_due_sessions")
def end_due_sessions() -> int:
    """End the sessions of mailboxes that lost a right to sign in."""
    return provisioning.end_due_sessions(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.follow_switch", throws=(EngineError,))
def follow_switch(*, switch_id: int) -> None:
    """Have the mail server follow one switch now rather than at the next sweep."""
    switch = ProtocolSwitch.objects.filter(pk=switch_id).select_related("mailbox").first()
    if switch is not None:
        switching.follow(switch=switch, engine=engine(), at=timezone.now())


@shared_task(name="mailstore.follow_switches")
def follow_switches() -> int:
    """Have the mail server follow every switch that it has not followed yet."""
    return switching.follow_open(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.reload_after_outage", throws=(DatabaseError, EngineError))
def reload_after_outage() -> bool:
    """Have the mail server open its database anew once that is back."""
    return outages.look(engine=engine())


@shared_task(name="mailstore.erase_closed")
def erase_closed() -> int:
    """End the grace of closed mailboxes and erase them."""
    at = timezone.now()
    closing.close_for_good(actor=system("closing sweep"), at=at)
    return closing.erase_closed(engine=engine(), at=at)


@shared_task(name="mailstore.watch_quotas")
def watch_quotas() -> int:
    """Weigh mailboxes whose use changed."""
    return quotas.watch(at=timezone.now())


@shared_task(name="mailstore.read_mail_log")
def read_mail_log() -> int:
    """Take in what the mail server's log says; then let the tripwire weigh it."""
    found = logbook.read(path=settings.DOVECOT_LOG)
    tripwire.watch(engine=engine(), at=timezone.now())
    return found


@shared_task(name="mailstore.forget_moves")
def forget_moves() -> int:
    """Forget which messages were copied long ago."""
    return moves.forget(at=timezone.now())


@shared_task(name="mailstore.watch_devices")
def watch_devices() -> int:
    """Decide of which new places owners are asked, and write to them."""
    at = timezone.now()
    devices.judge(at=at)
    return devices.tell(at=at)


@shared_task(name="mailstore.tell_of_copies")
def tell_of_copies() -> int:
    """Write to owners whose programs fetch mail and leave all of it."""
    return copy_letters.tell(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.forget_sign_ins")
def forget_sign_ins() -> int:
    """Remove what the history of sign-ins has kept for long enough."""
    at = timezone.now()
    devices.forget(at=at)
    return sign_ins.forget(before=at - settings.SIGN_IN_HISTORY)


@shared_task(name="mailstore.watch_guessing")
def watch_guessing() -> int:
    """Note where somebody is guessing at passwords, and tell the owners."""
    return guessing.watch(at=timezone.now())


@shared_task(name="mailstore.forget_guessing")
def forget_guessing() -> int:
    """Forget guesses of long ago."""
    return guessing.forget_old(at=timezone.now())


@shared_task(name="mailstore.watch_domain_dns")
def watch_domain_dns() -> int:
    """Look whether the mail of domains that are due comes here, and tell owners where not."""
    answered = dns_watch.watch(resolver=resolver(), at=timezone.now())
    dns_watch.tell(at=timezone.now())
    return answered


@shared_task(name="mailstore.note_retrievals")
def note_retrievals() -> int:
    """Note which messages POP programs have fetched since they were last noted."""
    return sweeping.note_retrievals(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.plan_due_purges", throws=(EngineUnavailable,))
def plan_due_purges() -> int:
    """Plan what the rules and the recovery windows let go now."""
    return sweeping.plan_due(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.run_purges")
def run_purges(*, run_ids: list[int] | None = None) -> int:
    """Work off every purge that nobody works on, or of those some now, not at the next sweep."""
    return sweeping.run_open(engine=engine(), now=timezone.now, keys=run_ids)


@shared_task(name="mailstore.run_restore", throws=(EngineError,))
def run_restore(*, run_id: int) -> None:
    """Work off one restore now rather than at the next sweep."""
    run = RestoreRun.objects.filter(pk=run_id).first()
    if run is not None:
        recovery.work_off(run=run, engine=engine(), now=timezone.now)


@shared_task(name="mailstore.run_restores")
def run_restores() -> int:
    """Work off every restore that nobody works on."""
    return recovery.run_open(engine=engine(), now=timezone.now)


@shared_task(name="mailstore.sweep_fully", throws=(EngineUnavailable,))
def sweep_fully() -> bool:
    """Look at the next part of all mailboxes, if the weekly sweep is on."""
    return sweeping.sweep_fully(engine=engine(), at=timezone.now(), every=settings.FULL_SWEEP_EVERY)


@shared_task(name="mailstore.recount", throws=(EngineUnavailable,))
def recount() -> bool:
    """Compare the next part of all reports with the mail server, if the nightly recount is on."""
    now = timezone.now()
    due_at = recounting.due_at(now=now, hour=settings.RECOUNT_HOUR)
    return recounting.recount(engine=engine(), at=now, due_at=due_at)


@shared_task(name="mailstore.make_due_changes")
def make_due_changes() -> int:
    """Make the changes whose cooling-off is over."""
    return cooling.make_due(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.send_quota_warnings")
def send_quota_warnings() -> int:
    """Send the warnings that wait."""
    return quotas.send_warnings(engine=engine(), at=timezone.now())


@shared_task(name="mailstore.end_grace_of_full")
def end_grace_of_full() -> int:
    """Refuse mail for good where a mailbox stayed full too long."""
    return quotas.end_grace(grace=settings.FULL_MAILBOX_GRACE, at=timezone.now())
