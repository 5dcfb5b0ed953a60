"""The price before the button: what an order or a closing would cost, and nothing is done."""

from __future__ import annotations

import pytest

from accounts.models import Event
from hosting import billing, ordering, public_ids
from hosting.models import Contract, Limits, Plan
from hosting.periods import Period
from mailstore.models import Mailbox, PendingChange
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR

pytestmark = pytest.mark.django_db(databases="__all__")


def asked(cast, **more):
    domain = public_ids.encode("dom", cast.domain.uuid)
    return {"domain_id": domain, "local_part": "New", "plan": "imap", **more}


def test_order_is_previewed_at_what_the_bill_would_say(cast, rita):
    events = Event.objects.count()

    answer = rita.post("/mailboxes?preview=true", asked(cast))

    found = answer.json()
    assert (answer.status_code, found["object"]) == (200, "order_preview")
    assert (found["address"], found["plan"]) == ("new@alder.test", "imap")
    assert (found["full_month"]["before_minor"], found["full_month"]["after_minor"]) == (0, 250)
    assert found["this_month"]["currency"] == "EUR"
    assert not Mailbox.objects.exists()
    assert not Contract.objects.exists()
    assert Event.objects.count() == events

    made = rita.post("/mailboxes", asked(cast))
    assert made.status_code == 201
    start = Contract.objects.get().starts_at
    lines = billing.charges(billing.buyer(cast.customer), period=Period.of(start))
    assert abs(sum(x.net_minor for x in lines) - found["this_month"]["after_minor"]) <= 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"plan": "gold"}, "validation-failed"),
        ({"local_part": "a b"}, "validation-failed"),
        ({"local_part": "taken"}, "address-taken"),
        ({"quota_bytes": 10**15}, "quota-over-plan"),
        ({}, "limit-reached"),
    ],
)
def test_preview_refuses_what_the_order_would(cast, rita, more, code):
    make_mailbox(cast.domain, "taken")
    if not more:
        Limits.objects.create(organisation=cast.customer, mailboxes=1)

    answers = [
        rita.post(f"/mailboxes{query}", asked(cast, **more)) for query in ("?preview=true", "")
    ]

    assert [answer.json()["code"] for answer in answers] == [code, code]
    assert Mailbox.objects.count() == 1


def test_preview_of_a_device_needs_the_scope_that_the_order_needs(cast):
    narrow = Caller(make_key(cast.reseller, "mailboxes:write").secret)

    answer = narrow.post("/mailboxes?preview=true", asked(cast, app_password={"label": "x"}))

    assert answer.json()["code"] == "scope-missing"


@pytest.mark.parametrize("door", ["close", "delete"])
def test_closing_is_previewed_month_by_month(cast, rita, door):
    mailbox = make_mailbox(cast.domain)
    place = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"

    answer = (
        rita.post(f"{place}/close?preview=true")
        if door == "close"
        else rita.delete(f"{place}?preview=true")
    )

    found = answer.json()
    assert (answer.status_code, found["object"]) == (200, "closing_preview")
    assert found["months"][-1]["after_minor"] < found["months"][-1]["before_minor"]
    assert not PendingChange.objects.exists()
    assert ordering.Contract.objects.filter(ends_at=None).count() == 1


def test_closing_of_a_strangers_mailbox_is_not_previewed(cast, charlie):
    mailbox = make_mailbox(cast.domain)

    answer = charlie.post(f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/close?preview=true")

    assert answer.status_code == 404


def test_reopening_needs_a_place_again(cast, rita):
    Limits.objects.create(organisation=cast.customer, mailboxes=1)
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.CLOSING)
    plan = Plan.objects.get(slug="pop")
    ordering.order(
        actor=ACTOR, domain=cast.domain, local_part="b", plan=plan, at=mailbox.created_at
    )

    answer = rita.post(f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/restore", if_match="*")

    assert (answer.status_code, answer.json()["code"]) == (409, "limit-reached")
