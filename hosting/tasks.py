"""Background work of the house itself."""

from __future__ import annotations

import logging
from functools import partial

from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from accounts.access import system
from accounts.models import Organisation
from hosting import (
    answers,
    bulk,
    clocks,
    customer_lists,
    dunning,
    exports,
    figures,
    invoicing,
    ledger,
    ordering,
    panel_hosts,
    piecework,
    spending,
    test_clock,
)
from hosting.banking import runs as bank_runs
from hosting.importing import runs
from hosting.models import CustomerImport, MailboxImport, Pulse
from hosting.paying import facts, refunding
from hosting.webhooks import forgetting, sending
from mailstore import standing
from mailstore.engine import engine
from mailstore.resolver import resolver

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
    back = standing.bring_back(reopen=partial(ordering.reopen, follows_standing=True), at=at)
    closed = standing.close_along(grace=settings.CLOSING_GRACE, at=at)
    return back + closed + test_clock.follow_standing(at=at)


@shared_task(name="hosting.sweep_dunning")
def sweep_dunning() -> int:
    """Remind, stop and set free whoever it is time for."""
    return dunning.sweep(at=timezone.now())


@shared_task(name="hosting.work_off_dunning")
def work_off_dunning(*, customer_id: int) -> int:
    """Look at one customer now, who has just paid, rather than at the next sweep."""
    customer = Organisation.objects.select_related("parent").filter(pk=customer_id).first()
    if customer is None:
        return 0
    now = timezone.now()
    return dunning.work_off(customer, at=clocks.moment_for(customer, now), now=now)


@shared_task(name="hosting.watch_spending")
def watch_spending() -> int:
    """Tell owners who come near their spend cap."""
    return spending.watch(at=timezone.now())


@shared_task(name="hosting.count_customers")
def count_customers() -> int:
    """Count what the customers of each seller use and pay."""
    return figures.refresh_due(at=timezone.now())


@shared_task(name="hosting.check_panel_hosts")
def check_panel_hosts() -> int:
    """Look at the DNS records of host names that are due."""
    return panel_hosts.check_due(resolver=resolver(), at=timezone.now())


@shared_task(name="hosting.close_months")
def close_months() -> int:
    """Write the bills of every month that is over and not complete; returns how many."""
    closed = invoicing.close_due(actor=system("close"), at=timezone.now())
    for problem in (each for progress in closed for each in progress.problems):
        logger.error("%s", problem)
    return sum(progress.written for progress in closed)


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


@shared_task(name="hosting.run_customer_import")
def run_customer_import(*, import_id: int) -> bool:
    """Open the customers of one confirmed list."""
    return customer_lists.run(import_id=import_id, now=timezone.now)


@shared_task(name="hosting.resume_customer_imports")
def resume_customer_imports() -> int:
    """Take up lists of customers that nobody has begun, or whose worker died."""
    return customer_lists.resume(now=timezone.now)


@shared_task(name="hosting.forget_lists")
def forget_lists() -> int:
    """Leave lists that nobody started for a month, and forget their texts."""
    at = timezone.now()
    lists = (MailboxImport.objects.all(), CustomerImport.objects.all())
    return sum(piecework.forget_old(each, at=at) for each in lists)


@shared_task(name="hosting.write_export")
def write_export(*, export_id: int) -> bool:
    """Write one file that a program asked for."""
    return exports.run(export_id=export_id, now=timezone.now)


@shared_task(name="hosting.write_exports")
def write_exports() -> int:
    """Take up files that nobody has begun, or whose worker died."""
    return exports.resume(now=timezone.now)


@shared_task(name="hosting.forget_exports")
def forget_exports() -> int:
    """Remove files that were kept long enough."""
    return exports.forget_old(at=timezone.now())


@shared_task(name="hosting.run_bulk")
def run_bulk(*, request_id: int) -> bool:
    """Do what staff asked for in bulk."""
    return bulk.run(request_id=request_id, now=timezone.now)


@shared_task(name="hosting.resume_bulk")
def resume_bulk() -> int:
    """Take up what nobody works on, and end what nobody confirmed."""
    bulk.forget_expired(at=timezone.now())
    return bulk.resume(now=timezone.now)


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


@shared_task(name="hosting.send_webhooks")
def send_webhooks() -> int:
    """Tell programs outside what is new, and try again what is due."""
    return sending.run(now=timezone.now)


@shared_task(name="hosting.forget_webhooks")
def forget_webhooks() -> int:
    """Remove deliveries that came to an end long ago."""
    return forgetting.forget_old(at=timezone.now())


@shared_task(name="hosting.forget_answers")
def forget_answers() -> int:
    """Remove answers of the API that were kept long enough."""
    return answers.forget_old(at=timezone.now())


@shared_task(name="hosting.advance_test_clock")
def advance_test_clock(*, advance_id: int) -> bool:
    """Work off one advance of a test clock now rather than at the next sweep."""
    return test_clock.run(advance_id=advance_id, engine=engine(), now=timezone.now)


@shared_task(name="hosting.advance_test_clocks")
def advance_test_clocks() -> int:
    """Take up every advance that nobody works on."""
    return test_clock.resume(engine=engine(), now=timezone.now)
