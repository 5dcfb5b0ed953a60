"""How long an answer is kept for the same request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hosting import answers, public_ids, tasks
from hosting.models import KeptAnswer
from hosting.schedule import SCHEDULE
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.simulated import make_test_customer, make_test_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def test_an_answer_is_kept_for_thirty_days_and_then_forgotten(cast):
    caller = Caller(make_key(cast.reseller).secret)
    caller.post("/organisations", {"name": "Birch"}, idempotency_key="c-1")
    kept = KeptAnswer.objects.get()

    early = answers.forget_old(at=kept.created_at + answers.KEPT_FOR)
    late = answers.forget_old(at=kept.created_at + answers.KEPT_FOR + timedelta(seconds=1))

    assert (early, late) == (0, 1)


def test_old_answers_are_forgotten_by_the_schedule(cast):
    caller = Caller(make_key(cast.reseller).secret)
    caller.post("/organisations", {"name": "Birch"}, idempotency_key="c-1")
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(days=31))

    assert tasks.forget_answers() == 1
    assert "hosting.forget_answers" in {each["task"] for each in SCHEDULE.values()}


def test_an_answer_about_a_test_organisation_is_kept_from_now_on(cast):
    """Its clock stands in the past, where the answer would be forgotten at once."""
    caller = Caller(make_key(cast.reseller, is_test=True).secret)
    mailbox = make_test_mailbox(make_test_customer(cast.reseller))
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/app-passwords"
    caller.post(path, {"label": "Phone"}, idempotency_key="p-1")

    assert timezone.now() - KeptAnswer.objects.get().created_at < timedelta(minutes=1)
