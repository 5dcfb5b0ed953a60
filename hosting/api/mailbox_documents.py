"""How mailboxes are shown to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypedDict, cast
from uuid import UUID

from django.db.models import Max, OuterRef, QuerySet, Subquery

from accounts.access import Actor
from accounts.compiled import CompiledQuery, tuples
from accounts.models import Switches
from hosting import public_ids
from hosting.api import devices
from hosting.api.moments import Moment, optional
from hosting.models import Contract
from mailstore import holding, quotas, standing
from mailstore.models import LastLogin, Mailbox, PendingChange, Usage
from mailstore.models.mailboxes import MailboxQuerySet

ProtocolName = Literal["pop", "imap"]
StateName = Literal["pending", "active", "suspended", "closing", "closed"]


class QuotaDocument(TypedDict):
    """Use and limits. `measured_at` is when the use last changed, null before the first mail."""

    used_bytes: int
    message_count: int
    hard_limit_bytes: int
    warn_limit_bytes: int
    measured_at: Moment | None


class SwitchesDocument(TypedDict):
    """What works now, all that can stop it counted in."""

    imap: bool
    pop3: bool
    submission: bool
    receive: bool


class LastLoginDocument(TypedDict):
    """When each protocol was last used to sign in."""

    imap: Moment | None
    pop3: Moment | None


class RetentionDocument(TypedDict):
    """How removed mail is kept; `/mailboxes/{id}/retention` has the rules, folder by folder."""

    policy: str
    window_days: int
    has_tripwire: bool


class RecoverableDocument(TypedDict):
    """What can be brought back, when it was last looked at; null before the first look."""

    message_count: int | None
    bytes: int | None


class WaitingDocument(TypedDict):
    """A change that waits (`/pending-changes/{id}`), and when it takes effect."""

    id: str
    kind: str
    sentence: str
    effective_at: Moment


class MailboxDocument(TypedDict):
    """One address's mail account."""

    object: Literal["mailbox"]
    id: str
    organisation_id: str
    domain_id: str
    address: str
    protocol: ProtocolName
    plan: str | None
    label: str
    external_ref: str
    labels: dict[str, str]
    state: StateName
    is_frozen: bool
    quota: QuotaDocument
    switches: SwitchesDocument
    last_login: LastLoginDocument
    retention: RetentionDocument
    holds_count: int
    recoverable: RecoverableDocument
    pending_changes: list[WaitingDocument]
    created_at: Moment
    closing_since: Moment | None
    erase_after: Moment | None


class NewMailboxDocument(MailboxDocument):
    """The same with the app password that was asked for, which is shown this once."""

    app_password: devices.NewAppPasswordDocument | None


# These change by themselves, so they are no part of the version.
VOLATILE = (
    *("quota.used_bytes", "quota.message_count", "quota.measured_at"),
    *("last_login", "recoverable", "state", "switches"),
)
WARN_PERCENT = quotas.THRESHOLDS[0]


class Facts(NamedTuple):
    """What a document needs to know of a mailbox, read from the tables or taken from a row."""

    pk: int
    uuid: UUID
    organisation_uuid: UUID
    domain_uuid: UUID
    address: str
    protocol: str
    plan: str | None
    label: str
    external_ref: str
    labels: dict[str, str]
    state: str
    frozen_at: datetime | None
    quota_bytes: int
    window_days: int
    store_bytes: int | None
    store_messages: int | None
    policy: str | None
    tripwire_off_at: datetime | None
    domain_id: int
    organisation_id: int
    parent_id: int | None
    grandparent_id: int | None
    created_at: datetime
    closing_since: datetime | None
    erase_after: datetime | None
    sign_in: str
    receiving: str
    sending: str
    sign_in_above: str | None
    receiving_above: str | None
    sending_above: str | None

    @property
    def lineage(self) -> tuple[int, ...]:
        """The keys of the organisation and of those above it."""
        above = (self.parent_id, self.grandparent_id)
        return (self.organisation_id, *(pk for pk in above if pk is not None))


# Where the tables have what is not in the mailbox's own row.
_ELSEWHERE = {
    "organisation_uuid": "organisation__uuid",
    "domain_uuid": "domain__uuid",
    "plan": "plan_slug",
    "policy": "retention_policy__slug",
    "parent_id": "organisation__parent_id",
    "grandparent_id": "organisation__parent__parent_id",
    "sign_in": "organisation__sign_in",
    "receiving": "organisation__receiving",
    "sending": "organisation__sending",
    "sign_in_above": "organisation__parent__sign_in_below",
    "receiving_above": "organisation__parent__receiving_below",
    "sending_above": "organisation__parent__sending_below",
}
_COLUMNS = [_ELSEWHERE.get(name, name) for name in Facts._fields]


def with_plan(rows: MailboxQuerySet) -> MailboxQuerySet:
    """Mailboxes that say on which plan they are."""
    running = Contract.objects.filter(mailbox=OuterRef("pk"), ends_at=None)
    return rows.annotate(plan_slug=Subquery(running.values("plan__slug")[:1]))


# Where the columns are found is the same for everybody, and takes a while to find out. The states
# are named one by one: how many rows are *not* in some state cannot be foretold by a database that
# is to keep its plan for all values.
STANDING = [state for state in Mailbox.State.values if state != Mailbox.State.CLOSED]
_ALL = cast(
    "MailboxQuerySet",
    with_plan(Mailbox.objects.filter(state__in=STANDING)).values_list(*_COLUMNS),
)


def facts_for(actor: Actor) -> MailboxQuerySet:
    """The mailboxes of an actor, as rows of which `facts_in` makes facts."""
    return _ALL.visible_to(actor)


def facts_in(rows: QuerySet[Mailbox]) -> list[Facts]:
    """The facts of rows of `facts_for`, in one query and without a model for each."""
    return [Facts(*row) for row in tuples(rows)]


def facts_of(mailbox: Mailbox) -> Facts:
    """The facts of a row that was loaded with its plan, domain, organisation and parent."""
    return Facts(*(_value(mailbox, path) for path in _COLUMNS))


def _value(thing: Any, path: str) -> Any:
    for step in path.split("__"):
        thing = None if thing is None else getattr(thing, step)
    return thing


# What a page of mailboxes has in other tables.
_USE = CompiledQuery(
    lambda addresses: Usage.objects.filter(username__among=addresses).values_list(
        "username", "bytes", "messages", "since"
    )
)
_LAST_LOGINS = CompiledQuery(
    lambda addresses: (
        LastLogin.objects.filter(username__among=addresses)
        .values_list("username", "proto")
        .annotate(last=Max("last_login"))
    )
)
_WAITING = CompiledQuery(
    lambda ids: (
        PendingChange.objects.waiting()
        .filter(mailbox__among=ids)
        .order_by("effective_at", "pk")
        .values_list("mailbox_id", "uuid", "kind", "sentence", "effective_at")
    )
)


class _Around(NamedTuple):
    """What a page of mailboxes has in other tables; by address, or by the mailbox's key."""

    use: Mapping[str, Sequence[int]]
    logins: Mapping[str, Mapping[str, int]]
    holds: Mapping[int, int]
    waiting: Mapping[int, list[WaitingDocument]]


def documents(found: Sequence[Facts]) -> list[MailboxDocument]:
    """The documents of mailboxes, in four more queries."""
    addresses = [facts.address for facts in found]
    around = _Around(
        use={address: report for address, *report in _USE.rows(addresses=addresses)},
        logins=_last_logins(addresses),
        holds=_holds(found),
        waiting=_waiting([facts.pk for facts in found]),
    )
    return [_document(facts, around) for facts in found]


def documents_of_new(found: Sequence[Facts]) -> list[MailboxDocument]:
    """The same of mailboxes that were opened a moment ago, in one more query.

    Nobody has used them, and nothing waits for them; a hold above them can reach them already.
    """
    around = _Around(use={}, logins={}, holds=_holds(found), waiting={})
    return [_document(facts, around) for facts in found]


def _holds(found: Sequence[Facts]) -> dict[int, int]:
    return holding.counts([(facts.pk, facts.domain_id, facts.lineage) for facts in found])


def _last_logins(addresses: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for address, proto, last in _LAST_LOGINS.rows(addresses=addresses):
        found.setdefault(address, {})[proto] = last
    return found


def _waiting(ids: Iterable[int]) -> dict[int, list[WaitingDocument]]:
    found: dict[int, list[WaitingDocument]] = {}
    for pk, uuid, kind, sentence, effective_at in _WAITING.rows(ids=ids):
        waiting: WaitingDocument = {
            "id": public_ids.encode("chg", uuid),
            "kind": kind,
            "sentence": sentence,
            "effective_at": Moment(effective_at),
        }
        found.setdefault(pk, []).append(waiting)
    return found


_NOTHING = (0, 0, 0)


def _document(facts: Facts, around: _Around) -> MailboxDocument:
    used_bytes, message_count, since = around.use.get(facts.address, _NOTHING)
    logins = around.logins.get(facts.address, {})
    return {
        "object": "mailbox",
        "id": public_ids.encode("mbx", facts.uuid),
        "organisation_id": public_ids.encode("org", facts.organisation_uuid),
        "domain_id": public_ids.encode("dom", facts.domain_uuid),
        "address": facts.address,
        "protocol": cast("ProtocolName", facts.protocol),
        "plan": facts.plan,
        "label": facts.label,
        "external_ref": facts.external_ref,
        "labels": facts.labels,
        "state": cast("StateName", facts.state),
        "is_frozen": facts.frozen_at is not None,
        "quota": {
            "used_bytes": used_bytes,
            "message_count": message_count,
            "hard_limit_bytes": facts.quota_bytes,
            "warn_limit_bytes": facts.quota_bytes * WARN_PERCENT // 100,
            "measured_at": _of_unix(since),
        },
        "switches": _switches(facts),
        "last_login": {"imap": _of_unix(logins.get("imap")), "pop3": _of_unix(logins.get("pop3"))},
        "retention": {
            "policy": facts.policy or facts.protocol,
            "window_days": facts.window_days,
            "has_tripwire": facts.tripwire_off_at is None,
        },
        "holds_count": around.holds[facts.pk],
        "recoverable": {"message_count": facts.store_messages, "bytes": facts.store_bytes},
        "pending_changes": around.waiting.get(facts.pk, []),
        "created_at": Moment(facts.created_at),
        "closing_since": optional(facts.closing_since),
        "erase_after": optional(facts.erase_after),
    }


def _switches(facts: Facts) -> SwitchesDocument:
    stricter = standing.stricter
    is_open = facts.state in {Mailbox.State.PENDING, Mailbox.State.ACTIVE}
    signs_in = (
        is_open
        and facts.frozen_at is None
        and stricter("sign_in", facts.sign_in, facts.sign_in_above) != Switches.SignIn.SHUT
    )
    sending = stricter("sending", facts.sending, facts.sending_above)
    receiving = stricter("receiving", facts.receiving, facts.receiving_above)
    return {
        "imap": signs_in and facts.protocol == Mailbox.Protocol.IMAP,
        "pop3": signs_in and facts.protocol == Mailbox.Protocol.POP,
        "submission": signs_in and sending != Switches.Sending.SHUT,
        "receive": facts.state in _RECEIVING and receiving == Switches.Receiving.OPEN,
    }


_RECEIVING = (Mailbox.State.PENDING, Mailbox.State.ACTIVE, Mailbox.State.SUSPENDED)


def _of_unix(seconds: int | None) -> Moment | None:
    return Moment(datetime.fromtimestamp(seconds, tz=UTC)) if seconds else None
