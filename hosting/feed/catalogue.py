"""What the outside is told: each type of event, and what may be said with it.

Facts are recorded with names, addresses and reasons, for the people of the organisation. A type
lists what of it goes outside: ids, states and figures. Whatever is not listed stays inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]
# What an endpoint is sent when somebody tries it out; nobody else hears of it.
PING = "ping"


@dataclass(frozen=True, kw_only=True)
class Named:
    """How a thing is called outside: the name of the value, and the prefix of its id."""

    name: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class EventType:
    """One type of event: what it is about, and what is said of that.

    `says` maps what was recorded to the name outside, and `ids` maps recorded UUIDs. The object
    is the recorded subject, unless `id_from` names where else its UUID stands.
    """

    object: str
    prefix: str
    says: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, Named] = field(default_factory=dict)
    state: str = ""
    id_from: str = ""
    subject_as: Named | None = None
    more: Callable[[Facts], dict[str, Any]] | None = None


def _changed(facts: Facts) -> dict[str, Any]:
    """Which properties of a mailbox changed, and the new value of those that are figures."""
    told = ("quota_bytes", "window_days", "tripwire", *_THRESHOLDS)
    new = {name: _new(facts[name]) for name in told if name in facts}
    return {"changed": sorted(facts) or ["password"], **new}


def _new(value: Any) -> Any:
    return value["new"] if isinstance(value, dict) else value


_THRESHOLDS = ("trip_messages", "trip_percent", "trip_minutes", "trip_fewest")
_MAILBOX_ID = Named(name="mailbox_id", prefix="mbx")
_OF_MAILBOX = {"mailbox": _MAILBOX_ID}
_COUNTS = {"messages": "message_count", "bytes": "size_bytes"}
_FULLNESS = {"percent": "percent", "quota_bytes": "quota_bytes"}


def _mailbox(**more: Any) -> EventType:
    return EventType(object="mailbox", prefix="mbx", **more)


def _password() -> EventType:
    return EventType(object="app_password", prefix="pwd", ids=_OF_MAILBOX)


def _hold() -> EventType:
    scopes = {
        "organisation": Named(name="organisation_on_hold_id", prefix="org"),
        "domain": Named(name="domain_id", prefix="dom"),
        "mailbox": _MAILBOX_ID,
    }
    return EventType(object="hold", prefix="hld", ids=scopes)


def _purge(state: str) -> EventType:
    says = {"kind": "kind", **_COUNTS}
    return EventType(object="purge_run", prefix="prg", says=says, ids=_OF_MAILBOX, state=state)


def _import(state: str) -> EventType:
    says = {"rows": "row_count", "done": "done_count", "problems": "problem_count"}
    return EventType(object="import", prefix="imp", says=says, state=state)


def _invoice(state: str) -> EventType:
    return EventType(object="invoice", prefix="inv", state=state)


def _organisation(state: str = "", **more: Any) -> EventType:
    return EventType(object="organisation", prefix="org", state=state, **more)


def _key() -> EventType:
    return EventType(object="api_key", prefix="key", says={"scopes": "scopes"})


def _endpoint(**more: Any) -> EventType:
    return EventType(object="webhook_endpoint", prefix="whe", **more)


# What long work is called outside, by what waits: an operation has a kind of its own.
OPERATIONS: Mapping[str, str] = {
    "close": "close_mailbox",
    "close_all": "close_organisation",
    "destroy": "destroy_messages",
    "empty_store": "empty_recoverable",
    "plan": "change_plan",
    "rule": "change_retention_rule",
    "thresholds": "change_tripwire",
    "tripwire": "switch_off_tripwire",
    "window": "shorten_window",
}
ENDS: Mapping[str, str] = {"made": "done", "called_off": "cancelled", "failed": "failed"}


def _operation(facts: Facts) -> dict[str, Any]:
    if "now" in facts:
        problems = len(facts.get("problems", ()))
        return {"kind": "advance_test_clock", "state": "done", "problem_count": problems}
    kind, state = facts.get("kind", ""), facts.get("state", "made")
    return {"kind": OPERATIONS.get(kind, kind), "state": ENDS.get(state, state)}


TYPES: Mapping[str, EventType] = {
    "mailbox.created": _mailbox(says={"protocol": "protocol", "quota_bytes": "quota_bytes"}),
    "mailbox.updated": _mailbox(more=_changed),
    "mailbox.suspended": _mailbox(state="suspended"),
    "mailbox.resumed": _mailbox(state="active"),
    "mailbox.closing": _mailbox(state="closing"),
    "mailbox.restored": _mailbox(state="active"),
    "mailbox.closed": _mailbox(state="closed"),
    "mailbox.erased": _mailbox(
        says=_COUNTS, ids={"receipt": Named(name="purge_run_id", prefix="prg")}, state="closed"
    ),
    "mailbox.protocol_switched": _mailbox(says={"new": "protocol", "old": "previous_protocol"}),
    "mailbox.plan_changed": _mailbox(says={"plan": "plan", "previous_plan": "previous_plan"}),
    "mailbox.quota_warning": _mailbox(says=_FULLNESS),
    "mailbox.quota_exceeded": _mailbox(says=_FULLNESS),
    "mailbox.quota_recovered": _mailbox(says={"quota_bytes": "quota_bytes"}),
    "mailbox.tripwire_fired": _mailbox(
        says=_COUNTS, ids={"alarm": Named(name="alarm_id", prefix="alm")}, state="frozen"
    ),
    "mailbox.rolled_back": _mailbox(
        says={"messages": "message_count"},
        ids={"restore": Named(name="restore_run_id", prefix="rst")},
    ),
    "app_password.created": _password(),
    "app_password.revoked": _password(),
    "app_password.loosened": _password(),
    "app_password.tightened": _password(),
    "mailbox.guessing_noticed": _mailbox(says={"tries": "try_count", "addresses": "address_count"}),
    "mailbox.app_passwords_only": _mailbox(),
    "mailbox.mailbox_password_allowed": _mailbox(),
    "domain.verified": EventType(object="domain", prefix="dom", state="confirmed"),
    "domain.dns_failing": EventType(object="domain", prefix="dom", says={"problem": "problem"}),
    "domain.dns_recovered": EventType(object="domain", prefix="dom"),
    "domain.cohosted": EventType(object="domain", prefix="dom"),
    "hold.placed": _hold(),
    "hold.released": _hold(),
    "purge.planned": _purge("planned"),
    "purge.completed": _purge("done"),
    "purge.held_back": _purge("held_back"),
    "purge.failed": _purge("failed"),
    "recovery.restored": EventType(
        object="restore_run",
        prefix="rst",
        id_from="restore",
        subject_as=_MAILBOX_ID,
        says={"messages": "message_count"},
        state="done",
    ),
    "import.completed": _import("finished"),
    "import.failed": _import("cancelled"),
    "export.ready": EventType(
        object="export",
        prefix="exp",
        says={"kind": "kind", "lines": "line_count", "bytes": "size_bytes"},
        state="ready",
    ),
    "invoice.finalized": _invoice("open"),
    "invoice.paid": _invoice("paid"),
    "invoice.overdue": _invoice("overdue"),
    "invoice.voided": EventType(
        object="invoice",
        prefix="inv",
        id_from="invoice",
        subject_as=Named(name="credit_note_id", prefix="crn"),
        state="voided",
    ),
    "organisation.past_due": _organisation("past_due"),
    "organisation.suspended": _organisation("suspended"),
    "organisation.closed": _organisation("closed"),
    "organisation.resumed": _organisation("active"),
    "spend_cap.approaching": _organisation(says={"percent": "percent"}),
    "spend_cap.reached": _organisation(says={"percent": "percent"}),
    "api_key.created": _key(),
    "api_key.revoked": _key(),
    "webhook_endpoint.disabled": _endpoint(state="disabled", says={"cause": "cause"}),
    "operation.finished": EventType(object="operation", prefix="opn", more=_operation),
    PING: _endpoint(),
}

# What is recorded under another name, because more is said of it inside.
_RENAMED: Mapping[str, str] = {
    "mailbox.password_set": "mailbox.updated",
    "mailbox.password_removed": "mailbox.updated",
    "tripwire.fired": "mailbox.tripwire_fired",
    "purge.finished": "purge.completed",
    "invoice.issued": "invoice.finalized",
    "invoice.credited": "invoice.voided",
    "test_clock.advanced": "operation.finished",
    "change.made": "operation.finished",
    "change.called_off": "operation.finished",
    "change.failed": "operation.finished",
}


def _restored(facts: Facts) -> str:
    return "mailbox.rolled_back" if facts["moment"] else "recovery.restored"


def _spending(facts: Facts) -> str:
    return "spend_cap.reached" if facts["percent"] >= 100 else "spend_cap.approaching"  # noqa: PLR2004


def _standing(facts: Facts) -> str | None:
    """A change of the switches alone is nobody's new state."""
    state = facts["state"]
    if facts.get("was") == state:
        return None
    return "organisation.resumed" if state == "active" else f"organisation.{state}"


_CHOSEN: Mapping[str, Callable[[Facts], str | None]] = {
    "mailbox.mail_restored": _restored,
    "spend_cap.reached": _spending,
    "organisation.standing_changed": _standing,
}
# Of what is recorded, the kinds that the outside may hear of.
RECORDED_KINDS = frozenset({*TYPES, *_RENAMED, *_CHOSEN})


def type_of(kind: str, facts: Facts) -> str | None:
    """The type under which a recorded fact is told outside, or None if it stays inside."""
    if kind in _CHOSEN:
        return _CHOSEN[kind](facts)
    name = _RENAMED.get(kind, kind)
    return name if name in TYPES else None
