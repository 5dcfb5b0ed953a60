"""Staff and those who lost their second factor."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import lost_links
from accounts.models import FactorLoss, Notice
from accounts.second_factor import authenticators, losing
from tests.staffing import SECRET, act, facts, said, stale

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

LOSSES = "/staff/accounts/factorloss/"


@pytest.fixture
def loss(cast):
    authenticators.give(cast.alice, secret=SECRET)
    token = lost_links.asking_token(cast.alice)
    return losing.ask(token=token, address="192.0.2.7", at=timezone.now() - timedelta(hours=1))


def test_staff_make_a_wait_shorter_with_a_reason(staff, cast, loss):
    asks = act(staff, "hasten", loss, path=LOSSES)
    refused = act(staff, "hasten", loss, path=LOSSES, confirmed="yes", hours="24", reason="")
    too_short = act(staff, "hasten", loss, path=LOSSES, confirmed="yes", hours="1", reason="x")
    assert "can still call it off" in asks.content.decode()
    assert refused.context["form"].errors["reason"]
    assert too_short.context["form"].errors["hours"]

    done = act(staff, "hasten", loss, path=LOSSES, confirmed="yes", hours="24", reason="I know her")

    assert said(done) == ["Waits that are shorter now: 1."]
    loss.refresh_from_db()
    assert loss.due_at == loss.asked_at + timedelta(hours=24)
    assert facts("second_factor.loss_hastened") == [(cast.alice.email, cast.sam.email)]
    assert Notice.objects.filter(context__why="I know her", to=cast.alice.email).exists()


def test_staff_call_a_wait_off(staff, loss):
    act(staff, "call_off", loss, path=LOSSES, confirmed="yes")

    loss.refresh_from_db()
    assert loss.state == FactorLoss.State.CALLED_OFF


def test_staff_prove_themselves_once_more_for_it(staff, loss):
    answer = stale(staff).post(LOSSES, {"action": "hasten", "_selected_action": [loss.pk]})

    assert answer.headers["Location"].startswith("/account/second-factor/?next=")
    loss.refresh_from_db()
    assert loss.due_at - loss.asked_at == timedelta(days=3)
