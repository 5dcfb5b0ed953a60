"""Retention rules through the API: set, taken away, and previewed without a change."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from hosting import public_ids
from mailstore import cooling, retention
from mailstore.models import Mailbox, PendingChange, PurgeRun, RetentionRule
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases="__all__")

RULES = "/retention-policies"


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=[*mailbox.special_folders, "Work"])
    return mailbox


def put(twin, mailbox, folder, *ages):
    box = twin.accounts[mailbox.address].folders[folder]
    for days in ages:
        box.append(b"Subject: x\r\n\r\nx\r\n")
        old = timezone.now().replace(microsecond=0) - timedelta(days=days)
        object.__setattr__(box.kept[-1], "saved_at", old)


def on(mailbox, **rule):
    return {
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "rule": {"folder": "Junk", "days": 60, **rule},
    }


def rule_on(mailbox, **values):
    return RetentionRule.objects.create(**{"mailbox": mailbox, "folder": "Junk"} | values)


def path_of(rule):
    return f"{RULES}/{public_ids.encode('rtp', rule.uuid)}"


def test_a_rule_that_keeps_mail_longer_holds_at_once(rita, mailbox):
    answer = rita.post(RULES, on(mailbox))

    row = RetentionRule.objects.get(mailbox=mailbox)
    assert (answer.status_code, answer.json()["holds_now"]) == (200, True)
    assert answer.json()["pending_change"] is None
    assert answer.json()["rule"] | {"changed_at": ""} == {
        "object": "retention_rule",
        "id": public_ids.encode("rtp", row.uuid),
        "organisation_id": None,
        "domain_id": None,
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "folder": "Junk",
        "days": 60,
        "counted_from": "arrival",
        "floor_days": None,
        "ceiling_days": None,
        "changed_at": "",
    }
    read = rita.get(answer.headers["Location"].removeprefix("/api/v1"))
    assert (read.json(), read.headers["ETag"]) == (answer.json()["rule"], answer.headers["ETag"])


def test_a_rule_is_replaced_and_keeps_its_name(rita, mailbox):
    first = rita.post(RULES, on(mailbox)).json()["rule"]

    second = rita.post(RULES, on(mailbox, days=None, floor_days=7, ceiling_days=None)).json()[
        "rule"
    ]

    assert (second["id"], second["days"], second["floor_days"]) == (first["id"], None, 7)


def test_a_rule_by_which_mail_goes_sooner_waits(rita, twin, mailbox):
    put(twin, mailbox, "INBOX", 1)
    answer = rita.post(RULES, on(mailbox, days=8))
    where = answer.headers["Location"].removeprefix("/api/v1")
    before = RetentionRule.objects.filter(mailbox=mailbox).count()
    cooling.make_due(engine=twin, at=timezone.now() + settings.COOLING_OFF)

    assert (answer.status_code, answer.json()["holds_now"], answer.json()["rule"]) == (
        202,
        False,
        None,
    )
    assert rita.get(where).json()["state"] == "made"
    assert (before, RetentionRule.objects.get(mailbox=mailbox).days) == (0, 8)


@pytest.mark.parametrize("scope", ["organisation", "domain"])
def test_a_rule_stands_on_an_organisation_or_a_domain(scope, cast, rita, mailbox):
    ids = {
        "organisation": public_ids.encode("org", cast.reseller.uuid),
        "domain": public_ids.encode("dom", cast.domain.uuid),
    }
    rule = {"folder": "\\Junk", "days": 90}

    answer = rita.post(RULES, {f"{scope}_id": ids[scope], "rule": rule})

    assert (answer.status_code, answer.json()["rule"][f"{scope}_id"]) == (200, ids[scope])
    assert retention.decide(mailbox, "Junk", retention.layers_of(mailbox)).days == 90


def test_a_rule_is_taken_away_at_once_or_waits(rita, mailbox):
    strict = rule_on(mailbox, days=8)
    kind = rule_on(mailbox, folder="Trash", days=90)

    answers = []
    for rule in (strict, kind):
        tag = rita.get(path_of(rule)).headers["ETag"]
        answers.append(rita.delete(path_of(rule), if_match=tag))

    assert [(a.status_code, a.json()["holds_now"]) for a in answers] == [(200, True), (202, False)]
    assert set(RetentionRule.objects.filter(mailbox=mailbox)) == {kind}
    assert PendingChange.objects.get().what == {"folder": "Trash"}


def test_a_rule_is_taken_away_in_the_version_that_was_read(rita, mailbox):
    rule = rule_on(mailbox, days=8)
    tag = rita.get(path_of(rule)).headers["ETag"]
    missing = rita.delete(path_of(rule))
    RetentionRule.objects.filter(pk=rule.pk).update(days=9)
    stale = rita.delete(path_of(rule), if_match=tag)

    assert (missing.status_code, stale.status_code) == (428, 412)
    assert RetentionRule.objects.filter(pk=rule.pk).exists()


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"days": 0}, "/rule/days"),
        ({"days": 3651}, "/rule/days"),
        ({"days": "8"}, "/rule/days"),
        ({"counted_from": "reading"}, "/rule/counted_from"),
        ({"colour": "red"}, "/rule/colour"),
        ({"folder": "Nowhere"}, "/rule"),
        ({"folder": "Work", "days": 8}, "/rule"),
        ({"counted_from": "download"}, "/rule"),
        ({"floor_days": 9, "ceiling_days": 8}, "/rule"),
    ],
)
def test_a_rule_that_makes_no_sense_is_pointed_at(rule, pointer, rita, mailbox):
    answer = rita.post(RULES, on(mailbox, **rule))

    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert not RetentionRule.objects.filter(mailbox=mailbox).exists()


def test_a_rule_that_would_remove_everything_is_refused(rita, twin, mailbox):
    put(twin, mailbox, "Junk", 40, 50)
    RetentionRule.objects.filter(policy__slug="imap").update(floor_days=None)

    answer = rita.post(RULES, on(mailbox, days=8))

    assert [e["pointer"] for e in answer.json()["errors"]] == ["/rule"]
    assert not PendingChange.objects.exists()


def test_a_rule_names_one_place(cast, rita, mailbox):
    both = on(mailbox) | {"domain_id": public_ids.encode("dom", cast.domain.uuid)}
    none = {"rule": {"folder": "Junk", "days": 60}}

    for body in (both, none):
        answer = rita.post(RULES, body)
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("", "one_of")]


def test_rules_of_plans_and_strangers_are_not_listed(cast, rita, charlie, mailbox):
    mine = rule_on(mailbox, days=8)
    strange = RetentionRule.objects.create(domain=cast.other_domain, folder="Junk", days=8)
    plans = RetentionRule.objects.filter(policy__slug="imap").first()
    here = public_ids.encode("mbx", mailbox.uuid)

    for query in ("", f"?mailbox_id={here}"):
        found = rita.get(f"{RULES}{query}").json()["items"]
        assert [r["id"] for r in found] == [public_ids.encode("rtp", mine.uuid)]
    assert rita.get(f"{RULES}?mailbox_id=mbx_{uuid4().hex}").json()["items"] == []
    for missing in (
        rita.get(path_of(strange)),
        rita.get(path_of(plans)),
        rita.delete(path_of(strange), if_match="*"),
        charlie.get(path_of(mine)),
        rita.get(f"{RULES}/rtp_{uuid4().hex}"),
    ):
        assert missing.status_code == 404
    assert charlie.post(RULES, on(mailbox)).json()["errors"][0]["pointer"] == "/mailbox_id"


def test_a_preview_counts_and_changes_nothing(rita, twin, mailbox):
    put(twin, mailbox, "Junk", 40, 12, 1)
    body = on(mailbox, days=8) | {"horizon_days": 0}

    answer = rita.post(f"{RULES}/preview", body)
    found = answer.json()

    [junk] = [folder for folder in found["folders"] if folder["folder"] == "Junk"]
    oldest, newest = (timezone.now() - timedelta(days=days) for days in (40, 12))
    assert (answer.status_code, found["mailbox_count"], found["looked_at_count"]) == (200, 1, 1)
    assert found["going_now"] == {"message_count": 1, "bytes": 17}
    assert found["going"] == {"message_count": 2, "bytes": 34}
    assert (junk["message_count"], junk["going_message_count"]) == (3, 2)
    assert junk["oldest_at"][:10] == f"{oldest:%Y-%m-%d}"
    assert junk["newest_at"][:10] == f"{newest:%Y-%m-%d}"
    assert junk["batches"] == [
        {"day": f"{oldest + timedelta(days=8):%Y-%m-%d}", "message_count": 1},
        {"day": f"{newest + timedelta(days=8):%Y-%m-%d}", "message_count": 1},
    ]
    assert not RetentionRule.objects.filter(mailbox=mailbox).exists()
    assert not PendingChange.objects.exists()
    assert not PurgeRun.objects.exists()


def test_a_preview_without_a_rule_says_what_goes_anyway(cast, rita, twin, mailbox):
    put(twin, mailbox, "Junk", 20)
    other = make_mailbox(cast.domain, "other")
    twin.know(other.address)
    body = {"domain_id": public_ids.encode("dom", cast.domain.uuid)}

    found = rita.post(f"{RULES}/preview", body).json()

    assert (found["mailbox_count"], found["looked_at_count"]) == (2, 2)
    assert found["going"] == found["going_now"] == {"message_count": 1, "bytes": 17}
    assert found["domain_id"] == body["domain_id"]


def test_a_preview_says_what_is_saved_only_to_keys_that_see_bills(cast, twin, rita):
    billed = make_mailbox(cast.other_domain)
    twin.know(billed.address)
    twin.create_mailbox(user=billed.address, folders=["Junk"])
    put(twin, billed, "Junk", 20)
    body = {"mailbox_id": public_ids.encode("mbx", billed.uuid)}
    seeing, other = (
        Caller(make_key(cast.other_customer, "retention:read", *more).secret)
        for more in (("invoices:read",), ())
    )

    assert seeing.post(f"{RULES}/preview", body).json()["monthly_savings"] == [
        {"currency": "EUR", "amount_minor": 0}
    ]
    assert other.post(f"{RULES}/preview", body).json()["monthly_savings"] is None


def test_a_preview_without_a_rule_that_stands_counts_what_goes_once_it_is_gone(rita, twin, mailbox):
    put(twin, mailbox, "Junk", 40)
    RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=None)
    body = {"mailbox_id": public_ids.encode("mbx", mailbox.uuid), "without_folder": "Junk"}

    found = rita.post(f"{RULES}/preview", body).json()
    both = rita.post(f"{RULES}/preview", on(mailbox, days=8) | {"without_folder": "Junk"})

    assert (found["going_now"]["message_count"], found["going"]["message_count"]) == (0, 1)
    assert [e["pointer"] for e in both.json()["errors"]] == ["/without_folder"]


def test_a_preview_leaves_out_what_is_frozen(rita, twin, mailbox):
    put(twin, mailbox, "Junk", 40)
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=timezone.now())

    found = rita.post(f"{RULES}/preview", on(mailbox, days=8)).json()

    assert (found["stopped_count"], found["going"]["message_count"]) == (1, 0)


def test_a_folder_that_is_to_come_is_said_to_be_new(rita, mailbox):
    unknown = on(mailbox, folder="Projects", days=60)

    refused = rita.post(RULES, unknown)
    tried = rita.post(f"{RULES}/preview", unknown)
    asked = rita.post(RULES, unknown | {"is_new_folder": True})

    assert [answer.status_code for answer in (refused, tried, asked)] == [422, 422, 202]


def test_a_preview_refuses_what_could_not_be_set(rita, mailbox):
    answer = rita.post(f"{RULES}/preview", on(mailbox, folder="Work", days=8))

    assert [e["pointer"] for e in answer.json()["errors"]] == ["/rule"]


def test_a_mail_server_that_is_away_is_said_to_be(rita, twin, mailbox):
    twin.is_down = True

    for where in (RULES, f"{RULES}/preview"):
        answer = rita.post(where, on(mailbox))
        assert (answer.status_code, answer.json()["code"]) == (503, "backend-unavailable")
        assert "Retry-After" in answer.headers


def test_reading_rules_does_not_set_them(cast, mailbox):
    reader = Caller(make_key(cast.reseller, "retention:read", "mailboxes:write").secret)
    rule = rule_on(mailbox, days=8)

    for answer in (
        reader.post(RULES, on(mailbox)),
        reader.delete(path_of(rule), if_match="*"),
    ):
        assert (answer.status_code, answer.json()["scope"]) == (403, "retention:write")


def test_a_list_of_rules_costs_the_same_whatever_its_length(
    cast, rita, mailbox, django_assert_num_queries
):
    rule_on(mailbox, days=8)
    RetentionRule.objects.create(domain=cast.domain, folder="Junk", days=8)
    RetentionRule.objects.create(organisation=cast.reseller, folder="Junk", days=8)
    rita.get(RULES)

    for limit in (1, 3):
        with django_assert_num_queries(2):
            rita.get(f"{RULES}?limit={limit}")
