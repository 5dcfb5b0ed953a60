"""Background work on people."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from accounts import notices


@shared_task(name="accounts.send_notices")
def send_notices() -> int:
    """Send the news that waits."""
    return notices.send_waiting(at=timezone.now())
