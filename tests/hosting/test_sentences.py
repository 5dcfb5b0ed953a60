"""One table of sentences: every fact has one, which a person reads and no secret is in."""

from __future__ import annotations

import re

import pytest

from accounts import masking
from accounts.access import ActorKind
from accounts.models import Event
from hosting import history
from hosting.dunning.deciding import Move
from hosting.history.details import FIELDS, UNSAID
from tests.factories import AT
from tests.hosting.recorded_kinds import names_of_values, recorded_in_code

RECORDED = (recorded_in_code() | {"ping"}) - {"dunning.move"}
DUNNING = {f"dunning.{move}" for move in Move}
# What has the name of a secret near to what is recorded, and is none.
NO_SECRETS = {"app_password", "app_passwords", "password"}


def event(kind, /, name="Name", **data):
    return Event(
        kind=kind,
        at=AT,
        subject_name=name,
        data=data,
        actor_kind=ActorKind.USER,
        actor_name="alice@example.test",
    )


def test_every_fact_that_is_recorded_has_a_sentence():
    assert RECORDED - set(history.SENTENCES) == set()


def test_every_sentence_is_of_a_fact_that_is_recorded():
    assert set(history.SENTENCES) - RECORDED == DUNNING - RECORDED


def test_every_sentence_can_be_asked_for_in_one_group():
    groups = [kinds for _name, kinds in history.GROUPS.values()]

    assert set().union(*groups) == set(history.SENTENCES)
    assert sum(map(len, groups)) == len(history.SENTENCES)


@pytest.mark.parametrize("kind", sorted(history.SENTENCES))
def test_a_sentence_is_whole_and_shows_no_code(kind):
    text = history.sentence_of(event(kind, **SAMPLES.get(kind, {})))

    assert re.match(r"[A-Z0-9%“]", text)
    assert text.endswith((".", "…", ")", "?", "Name")) or ": " in text
    assert not re.search(r"%\(|\{|\}|None|_", text)
    assert "no words" not in text


DEVICE = {
    "label": "Phone",
    "device": "Phone",
    "protocol": "imap",
    "last_address": "192.0.2.1",
    "mailbox": "0" * 32,
}
SAMPLES = {
    "access.begun": {"from": "Rowan", "reason": "A phone"},
    **dict.fromkeys(("device.confirmed", "device.locked_out", "device.copies_kept"), DEVICE),
    "domain.dns_failing": {"problem": "no_mx", "expected": "mx.house.example", "seen": ""},
    "mailbox.mail_restored": {"messages": 2},
    "operation.finished": {"kind": "restore_messages", "state": "done"},
    "mailbox.plan_changed": {"old": "IMAP", "new": "IMAP large"},
    "mailbox.protocol_switched": {"old": "pop", "new": "imap"},
    "mailbox.quota_warning": {"percent": 80},
    "mailbox.restore_planned": {"messages": 2},
    "member.added": {"role": {"old": None, "new": "read_only"}},
    "member.role_changed": {"role": {"old": "owner", "new": "read_only"}},
    "organisation.app_passwords_required": {"mailboxes": 2, "stopped": 1},
    "organisation.sign_in_default_changed": {"app_passwords_only": {"old": False, "new": True}},
    "retention.policy_changed": {"folder": "Junk", "days": {"old": None, "new": 30}},
    "purge.planned": {"messages": 2, "kind": "retention"},
    "purge.finished": {"messages": 1, "kind": "asked"},
    "spend_cap.reached": {"percent": 80},
    "price.set": {"starts_on": "2026-12-01"},
    "invoice.issued": {"total_minor": 499, "currency": "EUR"},
}


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (
            "member.added",
            {"role": {"old": None, "new": "owner"}},
            "Name was let in as owner.",
        ),
        (
            "member.added",
            {"role": {"old": "owner", "new": "read_only"}},
            "Name is read only now, and was owner before.",
        ),
        (
            "member.role_changed",
            {"role": {"old": "staff_billing", "new": "operator"}},
            "Name is operator now, and was billing of the house before.",
        ),
        ("member.invited", {"role": "admin"}, "Name was invited as admin."),
        ("member.left", {"role": "admin"}, "Name left the organisation."),
        (
            "retention.policy_changed",
            {"folder": "Junk", "days": {"old": 30, "new": 7}},
            "A rule was set for Junk: mail is removed after 7 days.",
        ),
        (
            "retention.policy_changed",
            {"folder": "", "days": {"old": 30, "new": None}},
            "Mail in every folder is not removed by a rule of its own any more.",
        ),
        (
            "retention.policy_changed",
            {"folder": "Junk", "days": 7},
            "A rule was set for Junk: mail is removed after 7 days.",
        ),
        ("retention.policy_changed", {}, "It was changed when the tripwire fires."),
        ("app_password.created", {}, "An app password was made for “Name”."),
        (
            "app_password.created",
            {"protocols": ["POP", "IMAP"]},
            "An app password for POP and IMAP was made for “Name”.",
        ),
        ("organisation.standing_changed", {"state": "closed"}, "The organisation was closed."),
        (
            "organisation.standing_changed",
            {"state": "active", "was": "active"},
            "It was changed what is stopped.",
        ),
        ("spend_cap.reached", {"percent": 100}, "The spend cap was reached; the owners were told."),
        ("spend_cap.set", {"cap_minor": {"old": 1, "new": None}}, "The spend cap was removed."),
        (
            "spend_cap.set",
            {"whose": "above"},
            "The seller changed how much may be spent in a month.",
        ),
        ("invoice.paid", {"paid_minor": 499, "currency": "EUR"}, "(4.99 EUR)"),
        ("invoice.paid", {"paid_minor": 499, "currency": "???"}, "The bill Name is paid."),
        ("webhook_endpoint.disabled", {"cause": "asked"}, "was switched off."),
        ("webhook_endpoint.disabled", {"cause": "gone"}, "did not work for days"),
        ("tripwire.answered", {"answer": "own_doing"}, "Somebody here removed the mail"),
    ],
)
def test_fact_is_told(kind, data, text):
    assert text in history.sentence_of(event(kind, **data))


def test_of_a_webhook_only_the_host_is_told():
    made = event("webhook_endpoint.created", name="https://shop.test:8443/hook/s3cret?x=1")

    assert history.sentence_of(made) == "A webhook to shop.test was set up."


@pytest.mark.parametrize("data", [{}, {"from": 1}, {"reason": "x"}])
def test_what_another_release_recorded_is_told_by_its_name(data):
    assert "(access.begun)" in history.sentence_of(event("access.begun", **data))
    assert "(later.kind)" in history.sentence_of(event("later.kind"))


def test_signs_that_hide_or_turn_text_around_are_shown_as_such():
    told = history.sentence_of(event("domain.added", name="a\u202egro.\u0000test\u200b\n"))

    assert told == "The domain a\ufffdgro.\ufffdtest\ufffd\ufffd was added."


def test_no_value_that_is_recorded_has_the_name_of_a_secret():
    recorded, near = names_of_values()

    assert {name for name in recorded if masking.is_secret_name(name)} == set()
    assert {name for name in near if masking.is_secret_name(name)} <= NO_SECRETS
    assert len(near) > 60


def test_every_value_that_is_recorded_has_words():
    recorded, _near = names_of_values()

    assert recorded - set(FIELDS) - UNSAID == set()


def test_details_say_what_it_was_before():
    told = history.details(
        event(
            "limits.set",
            stored_bytes={"old": 10**9, "new": None},
            mailboxes={"old": None, "new": 5},
            role={"old": "read_only", "new": "owner"},
            cap_minor={"old": 499, "new": 999},
            currency="EUR",
            is_test=True,
            labels={"b": "2", "a": "1"},
            scopes=[],
            later_value="x" * 400,
            mailbox="uuid",
        )
    )

    shown = {detail.label: (detail.old, detail.new) for detail in told}
    assert shown == {
        "Mail in all": ("1 GB", "none"),
        "Mailboxes": ("none", "5"),
        "Role": ("read only", "owner"),
        "Spend cap": ("4.99 EUR", "9.99 EUR"),
        "Currency": (None, "EUR"),
        "For testing": (None, "yes"),
        "Labels": (None, "a: 1, b: 2"),
        "Allowed": (None, "none"),
        "later value": (None, "x" * 300 + "…"),
    }
