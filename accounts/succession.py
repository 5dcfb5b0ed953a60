"""By which key what a key began goes on, when that key was replaced meanwhile."""

from __future__ import annotations

from datetime import datetime

from accounts.models import ApiKey, Organisation


def acting(api_key: ApiKey, *, at: datetime) -> ApiKey | None:
    """The key by which what this one began goes on: itself, or what replaced it in time.

    None where it was revoked, has expired, or its organisation is closed.
    """
    found: ApiKey | None = (
        ApiKey.objects.select_related("organisation").filter(pk=api_key.pk).first()
    )
    while found is not None and found.revoked_at is None and not found.works(at=at):
        found = ApiKey.objects.select_related("organisation").filter(predecessor=found).first()
    if found is None or not found.works(at=at):
        return None
    return None if found.organisation.state == Organisation.State.CLOSED else found
