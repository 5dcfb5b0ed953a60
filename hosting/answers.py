"""Answers that are kept for requests which come again: for how long."""

from __future__ import annotations

from datetime import datetime, timedelta

from hosting.models import KeptAnswer

KEPT_FOR = timedelta(days=30)


def forget_old(*, at: datetime, limit: int = 10_000) -> int:
    """Remove answers that nobody will ask for again, oldest first; returns how many."""
    old = KeptAnswer.objects.filter(created_at__lt=at - KEPT_FOR).order_by("created_at")
    ids = list(old.values_list("pk", flat=True)[:limit])
    return KeptAnswer.objects.filter(pk__in=ids).delete()[0]
