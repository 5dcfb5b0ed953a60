"""Letters to those who ask for something in bulk, and to those who can confirm it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from accounts import outbox
from accounts.access import system
from accounts.models import Notice, User
from hosting.bulk.list_of_deeds import DEEDS
from hosting.models import BulkRequest

HOUSE = system("bulk")
# A house has few staff; beyond so many nobody is helped by one more letter.
_MOST_TOLD = 50


def asked(request: BulkRequest, *, at: datetime) -> None:
    """Whoever can confirm it hears of it."""
    permission = DEEDS[request.deed].permission
    staff = User.objects.filter(is_staff=True, is_active=True).exclude(pk=request.asked_by_id)
    able = [each for each in staff.order_by("pk")[:_MOST_TOLD] if each.has_perm(permission)]
    _tell(request, able, stage="asked", at=at)


def confirmed(request: BulkRequest, *, at: datetime) -> None:
    """Both hear that it runs."""
    _tell(request, _both(request), stage="confirmed", at=at)


def ended(request: BulkRequest, *, at: datetime) -> None:
    """Both hear how it ended, where it took two; whoever asked alone looks at the page."""
    if request.needs_second:
        _tell(request, _both(request), stage=request.state, at=at)


def _both(request: BulkRequest) -> list[User]:
    people = (request.asked_by, request.confirmed_by)
    return [person for person in people if person is not None and person.is_active]


def _tell(request: BulkRequest, people: Iterable[User], *, stage: str, at: datetime) -> None:
    context = {
        "stage": stage,
        "deed": str(DEEDS[request.deed].label),
        "reason": request.reason,
        "rows": request.row_count,
        "done": request.done_count,
        "failed": request.failed_count,
        "asked_by": str(request.asked_by),
        "confirmed_by": str(request.confirmed_by or ""),
        "ended_by": request.ended_by,
        "until": f"{request.expires_at:%Y-%m-%d %H:%M}",
        "path": f"/staff/hosting/bulkrequest/{request.pk}/change/",
    }
    Notice.objects.bulk_create(
        Notice(
            to=person.email,
            name="bulk_request",
            context=context,
            about=f"bulk:{request.pk}",
            created_at=at,
        )
        for person in people
    )
    outbox.nudge("accounts.send_notices")
