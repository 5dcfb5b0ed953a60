"""From where somebody acted is forgotten after a while; what was done stays for good.

Addresses and sessions are personal, and nobody asks for them after a year. The chain holds only
a commitment to them, so it stays whole; once the salt is gone as well, nobody can try them out.
"""

from __future__ import annotations

from datetime import datetime

from accounts.models import Event

_BATCH = 2_000


def forget_origins(*, before: datetime, limit: int = _BATCH) -> int:
    """Forget the oldest addresses and sessions of before then; returns of how many events."""
    old = Event.objects.filter(salt__isnull=False, at__lt=before).order_by("at")
    keys = list(old.values_list("pk", flat=True)[:limit])
    return Event.objects.filter(pk__in=keys).update(address="", session="", salt=None)
