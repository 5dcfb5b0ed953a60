"""Who from above looked at a mailbox: the customer reads it in the activity."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.cache import cache

from accounts import outbox
from accounts.access import Actor, Standing
from mailstore.models import Mailbox

# Whoever looks around for an hour is told of once.
ONCE_IN = timedelta(hours=1)
_FROM_ABOVE = (Standing.ABOVE, Standing.STAFF)


def note(*, actor: Actor, mailbox: Mailbox, at: datetime) -> bool:
    """Record that somebody who is no member of its organisation sees what the mailbox holds.

    Call it wherever mail, programs or addresses of people are shown; load `organisation` with it.
    A guest's visit is told by itself. Returns whether it was recorded: once in `ONCE_IN` for each
    onlooker, and again if the cache was emptied meanwhile.
    """
    organisation = mailbox.organisation
    standing, _role = actor.standing_to(organisation.pk, parent_id=organisation.parent_id)
    if standing not in _FROM_ABOVE:
        return False
    key = f"onlooker:{actor.kind.value}:{actor.id}:{mailbox.uuid}"
    if not cache.add(key, 1, timeout=ONCE_IN.total_seconds()):
        return False
    outbox.record(
        kind="mailbox.looked_at",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=("mailbox", str(mailbox.uuid), mailbox.address),
        data={},
    )
    return True
