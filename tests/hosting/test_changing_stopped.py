"""No plan changes below whoever is suspended or closed, as nothing new is sold there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from hosting import changing
from hosting.models import Plan, PlanChange
from mailstore import standing
from tests.factories import make_mailbox
from tests.hosting.billing_rows import ACTOR, moment
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = moment(12, 10)
WAIT = timedelta(hours=72)


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


def stop(organisation, state):
    standing.impose(
        actor=ACTOR,
        organisation=organisation,
        cause="debt",
        state=state,
        stops={},
        reason="A bill is overdue.",
        at=NOW,
    )


def change(mailbox):
    mailbox.refresh_from_db()
    pop = Plan.objects.get(slug="pop")
    return changing.change(actor=ACTOR, mailbox=mailbox, plan=pop, wait=WAIT, at=NOW)


@pytest.mark.parametrize("state", ["suspended", "closed"])
@pytest.mark.parametrize("whose", ["customer", "reseller"])
def test_neither_change_nor_preview_below_who_is_stopped(cast, mailbox, whose, state):
    stop(getattr(cast, whose), state)
    mailbox.refresh_from_db()

    with pytest.raises(changing.OrganisationStopped, match=f"{state}: no plan is changed now"):
        change(mailbox)
    with pytest.raises(changing.OrganisationStopped):
        changing.propose(mailbox=mailbox, plan=Plan.objects.get(slug="pop"), at=NOW)
    assert not PlanChange.objects.exists()


def test_nothing_is_taken_back_below_who_is_stopped(cast, mailbox):
    change(mailbox)
    stop(cast.customer, "suspended")

    with pytest.raises(changing.OrganisationStopped):
        changing.take_back(actor=ACTOR, mailbox=mailbox, wait=WAIT, at=NOW)
    assert PlanChange.objects.get().undone_at is None


def test_who_is_only_late_with_a_bill_changes_plans(cast, mailbox):
    stop(cast.customer, "past_due")

    assert change(mailbox).new_plan.slug == "pop"


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_pages_say_who_is_stopped(cast, mailbox, state):
    stop(cast.customer, state)
    client = Client()
    signed_in(cast.alice, client)

    choices = client.get(reverse("mailboxes:plans", args=[mailbox.uuid]))
    detail = client.get(reverse("mailboxes:change_plan", args=[mailbox.uuid, "pop"]))

    assert (choices.status_code, detail.status_code) == (200, 409)
    for page in (choices, detail):
        assert "no plan is changed now" in page.content.decode()
