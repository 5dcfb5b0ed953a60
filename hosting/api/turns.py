"""What costs so much that it is counted by itself, beside the turn that every call takes."""

from __future__ import annotations

from django.utils import timezone

from accounts import rate_limits
from accounts.rate_limits import Bucket, Policy
from hosting.api.authentication import too_many
from hosting.api.contract import Call

_HOUR_SECONDS = 3600
# To judge a list, or to write a file, may take a worker seconds; each is counted for all keys of
# an organisation together.
LISTS = Policy(name="api-lists", limit=120, window_seconds=_HOUR_SECONDS)
FILES = Policy(name="api-files", limit=240, window_seconds=_HOUR_SECONDS)


def take(call: Call, policy: Policy) -> None:
    """Count it; raises a problem beyond the limit. While nobody can count, all are let through."""
    bucket = Bucket(policy=policy, who=str(call.api_key.organisation_id))
    result = rate_limits.take(bucket, at=timezone.now(), when_away="open")
    if not result.allowed:
        raise too_many(result)
