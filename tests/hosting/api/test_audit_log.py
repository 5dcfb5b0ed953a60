"""Who did what, through the API."""

from __future__ import annotations

import ast
import re

import pytest

from accounts import chaining, numbering, outbox, visits
from accounts.access import system
from accounts.models import Event
from hosting import feed, public_ids
from hosting.api import audit_ids
from mailstore import credentials, provisioning
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.recorded_kinds import RECORDERS, SOURCES, name_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def test_what_a_program_did_is_listed_under_its_key(cast, rita, alice):
    mailbox = make_mailbox(cast.domain)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    rita.patch(path, {"label": "Desk"})

    (entry,) = alice.get("/audit-log?actor_kind=api_key&type=mailbox.updated").json()["items"]

    assert entry["data"] == {"label": {"old": "", "new": "Desk"}}
    assert entry["subject"] == {
        "kind": "mailbox",
        "id": public_ids.encode("mbx", mailbox.uuid),
        "name": "hello@alder.test",
    }


def test_what_was_done_to_strangers_is_not_listed(cast, alice):
    provisioning.suspend(
        actor=cast.actor(cast.charlie), mailbox=make_mailbox(cast.other_domain), at=AT
    )

    found = alice.get("/audit-log?type=mailbox.suspended").json()["items"]

    assert found == []


@pytest.mark.parametrize(
    "query",
    [
        "?from=yesterday",
        "?actor_kind=robot",
        "?until=2026-01-01",
        "?actor_id=1",
        "?actor_id=sweep",
        f"?actor_id=org_{'0' * 32}",
        "?subject_id=10",
        "?subject_id=0f0e0d0c-0b0a-4909-8807-060504030201",
        "?subject_id=mbx_1",
        f"?subject_id=xyz_{'0' * 32}",
        f"?subject_id=MBX_{'0' * 32}",
        "?subject_id=",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(query, alice):
    assert alice.get(f"/audit-log{query}").json()["code"] == "invalid-parameter"


def test_an_entry_says_in_which_standing_and_from_where(cast, rita, alice, charlie):
    mailbox = make_mailbox(cast.domain)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    rita.patch(path, {"label": "Desk"})
    alice.patch(path, {"label": "Door"})
    numbering.number_all()
    chaining.chain_all()

    above, own = alice.get("/audit-log?type=mailbox.updated").json()["items"]

    assert (above["actor"]["standing"], above["actor"]["role"]) == ("above", "owner")
    assert (above["door"], above["address"], above["visit"]) == ("api", None, None)
    assert (own["actor"]["standing"], own["address"]) == ("own", "127.0.0.1")
    assert own["chain"]["place"] == above["chain"]["place"] + 1
    assert own["chain"]["link"] == Event.objects.get(pk=feed.names().decode(own["id"])).own_link
    seen = rita.get("/audit-log?type=mailbox.updated").json()["items"]
    assert [entry["address"] for entry in seen] == [None, None]


def test_a_key_for_one_customer_alone_is_still_its_seller_s(cast, alice):
    mailbox = make_mailbox(cast.domain)
    narrow = Caller(make_key(cast.reseller, only_for=(cast.customer,)).secret)
    path = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"
    narrow.patch(path, {"label": "Desk"})
    alice.patch(path, {"label": "Door"})

    by_seller, by_alice = narrow.get("/audit-log?type=mailbox.updated").json()["items"]
    seen = alice.get("/audit-log?type=mailbox.updated").json()["items"]

    assert [each["actor"]["standing"] for each in (by_seller, by_alice)] == ["above", "own"]
    assert [each["address"] for each in (by_seller, by_alice)] == [None, None]
    assert sorted(str(entry["address"]) for entry in seen) == ["127.0.0.1", "None"]


def test_an_entry_of_a_guest_says_why(cast, alice):
    visits.begin(actor=cast.actor(cast.rita), organisation=cast.customer, reason="A phone", at=AT)

    (entry,) = alice.get("/audit-log?type=access.begun").json()["items"]

    assert entry["visit"] == {"person": "rita@example.test", "seller": "Rowan", "reason": "A phone"}
    assert entry["chain"] is None


def test_ids_are_typed_and_tell_no_numbers(cast, alice):
    mailbox = make_mailbox(cast.domain)
    by_person = cast.actor(cast.alice)
    provisioning.suspend(actor=by_person, mailbox=mailbox, at=AT)
    issued = credentials.issue(actor=by_person, mailbox=mailbox, label="Phone", at=AT)

    entries = alice.get("/audit-log?limit=200").json()["items"]

    told = {each["type"]: each for each in entries}
    assert len({each["id"] for each in entries}) == len(entries)
    assert all(re.fullmatch(r"evt_[0-9a-f]{32}", each["id"]) for each in entries)
    assert re.fullmatch(r"usr_[0-9a-f]{32}", told["mailbox.suspended"]["actor"]["id"])
    assert told["app_password.created"]["subject"]["id"] == public_ids.encode(
        "pwd", issued.app_password.uuid
    )
    assert told["app_password.created"]["data"]["mailbox"] == public_ids.encode("mbx", mailbox.uuid)
    assert {each["actor"]["id"] for each in entries if each["actor"]["kind"] == "system"} <= {None}


def test_what_an_entry_names_finds_it(cast, rita, alice):
    mailbox = make_mailbox(cast.domain)
    make_mailbox(cast.domain, "other")
    provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)
    rita.patch(f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}", {"label": "Desk"})
    entries = alice.get("/audit-log?limit=200").json()["items"]

    for part, name in (("subject", "subject_id"), ("actor", "actor_id")):
        for wanted in {each[part]["id"] for each in entries} - {None}:
            found = alice.get(f"/audit-log?limit=200&{name}={wanted}").json()["items"]
            assert found == [each for each in entries if each[part]["id"] == wanted]
    assert {each["actor"]["kind"] for each in entries} >= {"user", "api_key"}
    nobody = f"/audit-log?actor_id=usr_{'0' * 32}"
    assert alice.get(nobody).json()["items"] == []


def fact(cast, kind, subject):
    return outbox.event(
        kind=kind, at=AT, actor=system("tests"), organisation=cast.provider, subject=subject
    )


def test_each_kind_of_thing_has_an_id_that_finds_it_alone(cast):
    caller = Caller(make_key(cast.provider).secret)
    uuid = "0f0e0d0c-0b0a-4909-8807-060504030201"
    subjects = [
        *((kind, uuid) for kind in audit_ids.BY_UUID),
        *((kind, "7") for kind in audit_ids.BY_KEY),
        *((kind, "pop_1") for kind in audit_ids.BY_NAME),
    ]
    facts = [fact(cast, "a.b", (*subject, "x")) for subject in subjects]
    outbox.record_all([*facts, fact(cast, "invoice.credited", ("invoice", uuid, "x"))])

    entries = caller.get("/audit-log?type=a.b&limit=200").json()["items"]
    entries += caller.get("/audit-log?type=invoice.credited").json()["items"]

    ids = [each["subject"]["id"] for each in entries]
    typed = [each for each in ids if each != "pop_1"]
    assert len(set(typed)) == len(typed) == len(subjects) - 2
    assert {each[:3] for each in typed} <= set(public_ids.KINDS)
    for each in entries[:-1]:
        found = caller.get(f"/audit-log?subject_id={each['subject']['id']}").json()["items"]
        assert {one["subject"]["id"] for one in found} == {each["subject"]["id"]}
    [credited] = caller.get(f"/audit-log?subject_id={ids[-1]}").json()["items"]
    assert credited["type"] == "invoice.credited"


def test_every_uuid_that_is_recorded_with_a_fact_is_told_as_an_id():
    named = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for facts in facts_of(node):
                named |= names_of_uuids(facts)

    assert named <= set(audit_ids.IN_FACTS)
    assert {"mailbox", "restore", "alarm", "invoice"} <= named


def facts_of(node):
    """What a call records with a fact, or what stands beside the kind of one."""
    if isinstance(node, ast.Call) and name_of(node.func) in RECORDERS:
        return [keyword.value for keyword in node.keywords if keyword.arg == "data"]
    if not isinstance(node, ast.Dict):
        return []
    pairs = zip(node.keys, node.values, strict=True)
    values = {getattr(key, "value", None): value for key, value in pairs}
    return [values["data"]] if {"kind", "data"} <= set(values) else []


def names_of_uuids(tree):
    return {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and "uuid" in ast.unparse(value)
    }


def test_a_page_costs_the_same_whatever_its_length(cast, alice, django_assert_num_queries):
    alice.get("/audit-log")

    for number in range(2):
        make_mailbox(cast.domain, f"m{number}")
        with django_assert_num_queries(3):
            alice.get("/audit-log")


def test_every_kind_of_thing_that_facts_are_about_has_an_id_outside():
    known = {*audit_ids.BY_UUID, *audit_ids.BY_KEY, *audit_ids.BY_NAME}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword | ast.Assign) and "subject" in names_in(node):
                found |= first_words(node.value)
            elif isinstance(node, ast.FunctionDef) and node.name == "subject":
                for each in ast.walk(node):
                    found |= first_words(each.value) if isinstance(each, ast.Return) else set()

    assert found - known == set()
    assert {"mailbox", "user", "plan", "hold"} <= found


def names_in(node):
    if isinstance(node, ast.keyword):
        return {node.arg}
    return {getattr(target, "id", "") for target in node.targets}


def first_words(value):
    """The kind that a subject is recorded with, where it stands in the text."""
    if not (isinstance(value, ast.Tuple) and len(value.elts) == 3):
        return set()
    first = value.elts[0]
    return (
        {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    )
