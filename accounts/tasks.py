"""Background work on people."""

from __future__ import annotations

import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts import (
    chaining,
    checkpoints,
    forgetting,
    notices,
    numbering,
    passwords,
    people,
    signing_up,
    verifying,
    visits,
)
from accounts.second_factor import losing

# No batch begins later than this after the run began: the next run takes over.
_RUN_SECONDS = 45.0
_VERIFIED_EVERY = timedelta(days=7)


@shared_task(name="accounts.send_notices")
def send_notices() -> int:
    """Send the news that waits."""
    return notices.send_waiting(at=timezone.now())


@shared_task(name="accounts.answer_reset_requests")
def answer_reset_requests() -> int:
    """Write to those who have forgotten their password, if they have one here."""
    return passwords.answer_requests(at=timezone.now())


@shared_task(name="accounts.answer_sign_up_requests")
def answer_sign_up_requests() -> int:
    """Write to those who want to open an account."""
    return signing_up.answer_requests(at=timezone.now())


@shared_task(name="accounts.end_visits")
def end_visits() -> int:
    """End the time of those who did not leave a customer by themselves."""
    return visits.end_over(at=timezone.now())


@shared_task(name="accounts.remind_of_lost_factors")
def remind_of_lost_factors() -> int:
    """Tell everybody once a day what is going to be removed."""
    return losing.remind(at=timezone.now())


@shared_task(name="accounts.remove_lost_factors")
def remove_lost_factors() -> int:
    """Remove the second factors whose wait is over."""
    return losing.finish_due(at=timezone.now())


@shared_task(name="accounts.see_who_answers")
def see_who_answers() -> int:
    """See for which organisations somebody answers again."""
    return people.see_who_answers()


@shared_task(name="accounts.chain_events")
def chain_events() -> int:
    """Give facts their places and link them, also those of an earlier release."""
    numbering.number_all()
    ends_at = time.monotonic() + _RUN_SECONDS
    return chaining.chain_all(may_go_on=lambda: time.monotonic() < ends_at)


@shared_task(name="accounts.write_checkpoint")
def write_checkpoint() -> bool:
    """Seal where the chain of events stands today."""
    return checkpoints.write(at=timezone.now()) is not None


@shared_task(name="accounts.verify_events")
def verify_events() -> bool:
    """Look at the next part of all events, if the weekly look is on."""
    return verifying.sweep(at=timezone.now(), every=_VERIFIED_EVERY)


@shared_task(name="accounts.forget_origins")
def forget_origins() -> int:
    """Forget from where somebody acted long ago."""
    before = timezone.now() - timedelta(days=settings.ACTIVITY_ADDRESS_DAYS)
    return forgetting.forget_origins(before=before)
