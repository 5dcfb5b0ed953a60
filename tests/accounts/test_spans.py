"""Leases and waits as workers find them whose clocks differ a little."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts import spans
from accounts.models import Setback
from tests.factories import AT

LONGEST = timedelta(minutes=2)
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("ahead", "lasts"),
    [
        (timedelta(seconds=-1), False),
        (timedelta(0), False),
        (timedelta(seconds=1), True),
        (LONGEST, True),
        # Somebody else's clock was read a moment later, and was written a moment before.
        (LONGEST + timedelta(seconds=3), True),
        # The clock was an hour ahead when this was written.
        (LONGEST + timedelta(hours=1), False),
    ],
)
def test_what_lies_ahead_lasts_unless_it_lies_too_far(cast, ahead, lasts):
    Setback.objects.create(
        work="x",
        row_id=1,
        name="x",
        organisation=cast.customer,
        failed_first_at=AT,
        failed_at=AT,
        next_try_at=AT + ahead,
    )

    found = Setback.objects.filter(spans.lasts("next_try_at", at=AT, longest=LONGEST))

    assert found.exists() is lasts
