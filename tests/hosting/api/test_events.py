"""The change feed through the API."""

from __future__ import annotations

import pytest

from hosting import public_ids
from mailstore import provisioning
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def suspended(cast, domain, name):
    mailbox = make_mailbox(domain, name)
    provisioning.suspend(actor=cast.actor(cast.sam), mailbox=mailbox, at=AT)
    return mailbox


def test_a_reader_goes_on_where_it_stopped_and_is_told_of_everything_once(cast, rita):
    mailboxes = [suspended(cast, cast.domain, f"m{n}") for n in range(5)]
    suspended(cast, cast.other_domain, "stranger")

    seen, after, has_more = [], 0, True
    while has_more:
        page = rita.get(f"/events?after_seq={after}&limit=3").json()
        seen += page["items"]
        after, has_more = page["last_seq"], page["has_more"]

    told = [each["data"]["id"] for each in seen if each["type"] == "mailbox.suspended"]
    assert told == [public_ids.encode("mbx", each.uuid) for each in mailboxes]
    assert [each["seq"] for each in seen] == sorted({each["seq"] for each in seen})
    assert rita.get(f"/events?after_seq={after}").json()["items"] == []


def test_an_event_can_be_read_by_its_id_and_by_nobody_else(cast, rita, charlie):
    suspended(cast, cast.domain, "desk")
    (event,) = rita.get("/events?types=mailbox.suspended").json()["items"]

    assert rita.get(f"/events/{event['id']}").json() == event
    assert charlie.get(f"/events/{event['id']}").status_code == 404
    assert rita.get(f"/events/evt_{'0' * 32}").status_code == 404


def test_an_event_says_nothing_personal(cast, rita):
    suspended(cast, cast.domain, "desk")

    text = rita.get("/events").text

    assert "alder" not in text.lower()
    assert "sam@" not in text


@pytest.mark.parametrize(
    "query", ["?after_seq=-1", "?after_seq=x", "?limit=201", "?types=mailbox.eaten", "?since=1"]
)
def test_a_parameter_that_cannot_be_taken_is_refused(query, rita):
    assert rita.get(f"/events{query}").status_code == 400


def test_the_feed_needs_its_scope(cast):
    assert Caller(make_key(cast.customer, "audit:read").secret).get("/events").status_code == 403
