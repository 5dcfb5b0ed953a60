"""Which time it is for whom: the real one, or that of a test organisation, which stands still."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from accounts.models import Organisation
from hosting.models import TestClock


def now_for(organisation: Organisation) -> datetime:
    """The moment at which an organisation is; what doors give to verbs as `at`."""
    return moment_for(organisation, timezone.now())


def moment_for(organisation: Organisation, at: datetime) -> datetime:
    """The same where it is known what time it really is; costs no query for live ones."""
    if not organisation.is_test:
        return at
    return moments([organisation])[organisation.pk]


def moments(organisations: Iterable[Organisation]) -> dict[int, datetime]:
    """The moments of test organisations by key, in one query; live ones are not in it.

    Time begins when an organisation is made, and stands still until it is advanced.
    """
    tests = {each.pk: each.created_at for each in organisations if each.is_test}
    if not tests:
        return {}
    advanced = TestClock.objects.filter(organisation__in=tests)
    return tests | dict(advanced.values_list("organisation_id", "now"))
