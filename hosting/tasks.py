"""Background work of the house itself."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from accounts.access import system
from accounts.models import Organisation
from hosting import dunning, invoicing, ledger, ordering, spending
from hosting.banking import runs as bank_runs
from hosting.importing import runs
from hosting.models import Pulse
from hosting.paying import facts, refunding
from hosting.periods import Period
from mailstore import standing

logger = logging.getLogger(__name__)


@shared_task(name="hosting.record_pulse")
def record_pulse(*, name: str = "beat") -> None:
    """Leave a sign of life: beat asked for this, and a worker did it."""
    Pulse.objects.update_or_create(name=name, defaults={"at": timezone.now()})


@shared_task(name="hosting.end_contracts")
def end_contracts() -> int:
    """End the contracts of mailboxes that close."""
    return ordering.end_contracts()


@shared_task(name="hosting.follow_standing")
def follow_standing() -> int:
    """Close mailboxes with their organisations, and bring them back with them."""
    at = timezone.now()
    back = standing.bring_back(reopen=ordering.reopen, at=at)
    return back + standing.close_along(grace=settings.CLOSING_GRACE, at=at)


@shared_task(name="hosting.sweep_dunning")
def sweep_dunning() -> int:
    """Remind, stop and set free whoever it is time for."""
    return dunning.sweep(at=timezone.now())


@shared_task(name="hosting.work_off_dunning")
def work_off_dunning(*, customer_id: int) -> int:
    """Look at one customer now, who has just paid, rather than at the next sweep."""
    customer = Organisation.objects.select_related("parent").filter(pk=customer_id).first()
    return dunning.work_off(customer, at=timezone.now()) if customer else 0


@shared_task(name="hosting.watch_spending")
def watch_spending() -> int:
    """Tell owners who come near their spend cap."""
    return spending.watch(at=timezone.now())


@shared_task(name="hosting.close_last_month")
def close_last_month() -> int:
    """Write the bills of the month that is over; returns how many were missing."""
    now = timezone.now()
    progress = invoicing.close_month(actor=system("close"), period=Period.of(now).previous, at=now)
    for problem in progress.problems:
        logger.error("%s", problem)
    return progress.written


@shared_task(name="hosting.forget_expired_sessions")
def forget_expired_sessions() -> None:
    """Remove the panel's sessions that nobody can use any more."""
    call_command("clearsessions")


@shared_task(name="hosting.run_import")
def run_import(*, import_id: int) -> bool:
    """Work off one confirmed list of mailboxes."""
    return runs.run(import_id=import_id, now=timezone.now)


@shared_task(name="hosting.resume_imports")
def resume_imports() -> int:
    """Take up lists that nobody has begun, or whose worker died."""
    return runs.resume(now=timezone.now)


@shared_task(name="hosting.run_bank_import")
def run_bank_import(*, import_id: int) -> bool:
    """Take one confirmed bank statement into the ledger."""
    return bank_runs.run(import_id=import_id, now=timezone.now)


@shared_task(name="hosting.resume_bank_imports")
def resume_bank_imports() -> int:
    """Take up statements that nobody has begun, or whose worker died."""
    return bank_runs.resume(now=timezone.now)


@shared_task(name="hosting.settle_bills")
def settle_bills() -> int:
    """Let what customers have to their credit settle what they owe."""
    return ledger.settle_all(at=timezone.now())


@shared_task(name="hosting.apply_provider_event")
def apply_provider_event(*, event_id: int) -> bool:
    """Do what one message of the payment provider says."""
    return facts.apply(event_id=event_id, at=timezone.now())


@shared_task(name="hosting.apply_provider_events")
def apply_provider_events() -> int:
    """Do every message that waits."""
    return facts.apply_waiting(at=timezone.now())


@shared_task(name="hosting.send_refunds")
def send_refunds() -> int:
    """Ask the payment provider for refunds that wait."""
    return refunding.send_due(now=timezone.now)
