"""What stops all removal: holds, the freeze of a mailbox whose tripwire fired, and closing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Q

from accounts import keyring, outbox
from accounts.access import Actor, Capability, Forbidden
from accounts.compiled import CompiledQuery
from accounts.models import ApiKey, Organisation, User
from mailstore.models import Domain, Hold, Mailbox, MessageCopy, PurgeRun, WorkState
from mailstore.models.mailboxes import MailboxQuerySet

Scope = Organisation | Domain | Mailbox
# What a key must be allowed; nobody gets it by default.
KEY_SCOPE = "holds:write"


class Stopped(Exception):
    """Nothing may be removed from the mailbox now; the text says why."""


class HoldRefused(Exception):
    """The hold cannot be placed or released in this way."""


def refuse_if_stopped(mailbox: Mailbox) -> None:
    """Raise `Stopped` under a hold or a freeze, and while the mailbox is closing.

    Whoever opens it again finds all that there was. Call it with the mailbox's row locked.
    """
    if mailbox.state == Mailbox.State.CLOSING:
        message = f"{mailbox.address} is closing, and all of it is kept until it is erased."
        raise Stopped(message)
    refuse_if_kept(mailbox)


def refuse_if_kept(mailbox: Mailbox) -> None:
    """Raise `Stopped` if the mailbox has to stay: under a hold, or until an alarm is answered."""
    if mailbox.frozen_at is not None:
        message = f"{mailbox.address} is frozen since {mailbox.frozen_at:%Y-%m-%d %H:%M} UTC."
        raise Stopped(message)
    refuse_if_held(mailbox)


def refuse_if_held(mailbox: Mailbox) -> None:
    """Raise `Stopped` under a hold."""
    hold = Hold.objects.standing().on(mailbox).order_by("placed_at").first()
    if hold is not None:
        message = f"{mailbox.address} is held: {hold.matter}."
        raise Stopped(message)


def held() -> MailboxQuerySet:
    """Every mailbox that a standing hold reaches; closed ones are not among them."""
    return held_with_closed().standing()


def held_with_closed() -> MailboxQuerySet:
    """The same with those whose address was given up, and whose home may still be there."""
    standing = Hold.objects.standing()
    organisations = standing.exclude(organisation=None).values("organisation")
    return Mailbox.objects.filter(
        Q(pk__in=standing.exclude(mailbox=None).values("mailbox"))
        | Q(domain__in=standing.exclude(domain=None).values("domain"))
        | Q(organisation__in=organisations)
        | Q(organisation__parent__in=organisations)
        | Q(organisation__parent__parent__in=organisations)
    )


def stopped_work() -> Q:
    """Which runs wait because nothing may be removed from their mailbox now."""
    return (
        Q(mailbox__frozen_at__isnull=False)
        | Q(mailbox__state=Mailbox.State.CLOSING)
        | Q(mailbox__in=held())
    )


_REACHING = CompiledQuery(
    lambda mailboxes, domains, organisations: (
        Hold.objects.standing()
        .filter(
            Q(mailbox__among=mailboxes)
            | Q(domain__among=domains)
            | Q(organisation__among=organisations)
        )
        .values_list("mailbox", "domain", "organisation")
    )
)


def counts(places: Iterable[tuple[int, int, Sequence[int]]]) -> dict[int, int]:
    """How many standing holds reach each of some mailboxes, by its key, in one query.

    A place has the keys of the mailbox, of its domain, and of its organisation's lineage.
    """
    found = list(places)
    rows = _REACHING.rows(
        mailboxes=[mailbox for mailbox, _domain, _lineage in found],
        domains={domain for _mailbox, domain, _lineage in found},
        organisations={pk for _mailbox, _domain, lineage in found for pk in lineage},
    )
    on_mailbox, on_domain, on_organisation = (
        Counter(row[index] for row in rows) for index in range(3)
    )
    return {
        mailbox: on_mailbox[mailbox]
        + on_domain[domain]
        + sum(on_organisation[pk] for pk in lineage)
        for mailbox, domain, lineage in found
    }


def lock(mailbox: Mailbox) -> Mailbox:
    """The mailbox's row as it is now, locked until the transaction ends.

    Placing a hold takes the same lock, so it waits for the batch that is being removed and
    stands before the next one begins. Whoever locks the mailbox's runs too does so after it.
    """
    rows = Mailbox.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("organisation__parent", "domain").get(pk=mailbox.pk)


def place(
    *, actor: Actor, by: User | ApiKey, scope: Scope, matter: str, reason: str, at: datetime
) -> Hold:
    """Stop all removal below `scope`: from the commit on, nothing more is removed.

    A program places holds with the scope for it, on what its key reaches.
    """
    _must_hold(actor, by, owner=scope if isinstance(scope, Organisation) else scope.organisation)
    if not matter.strip() or not reason.strip():
        message = "A hold needs a matter and a reason."
        raise HoldRefused(message)
    with transaction.atomic():
        hold = Hold.objects.create(
            matter=matter.strip(),
            reason=reason.strip(),
            placed_at=at,
            **{"placed_by_key" if isinstance(by, ApiKey) else "placed_by": by},
            **{type(scope).__name__.lower(): scope},
        )
        _record("hold.placed", hold=hold, actor=actor, at=at)
        # Workers look at holds again before each batch, and see it once it is committed.
        transaction.on_commit(partial(_wait_for_running, scope))
    return hold


def release(*, actor: Actor, by: User | ApiKey, hold: Hold, reason: str, at: datetime) -> None:
    """Let removal go on; somebody else than who placed the hold must say so."""
    _must_hold(actor, by, owner=hold.owner)
    _refuse_first_person(by, hold)
    if not reason.strip():
        message = "Say why the hold ends."
        raise HoldRefused(message)
    releaser = {"released_by_key" if isinstance(by, ApiKey) else "released_by": by}
    with transaction.atomic():
        released = Hold.objects.standing().filter(pk=hold.pk)
        if not released.update(**releaser, released_at=at, release_reason=reason.strip()):
            message = "This hold has been released already."
            raise HoldRefused(message)
        _record("hold.released", hold=hold, actor=actor, at=at)


def _must_hold(actor: Actor, by: User | ApiKey, *, owner: Organisation) -> None:
    if isinstance(by, User):
        refusal = "Only operators of the house place and release holds."
        actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
        return
    if KEY_SCOPE not in by.scopes:
        message = f"This needs a key with the scope {KEY_SCOPE}."
        raise Forbidden(message)
    actor.must(Capability.MANAGE_MAIL, lineage=owner.lineage)


def _refuse_first_person(by: User | ApiKey, hold: Hold) -> None:
    """Raise `HoldRefused` if one person, by whatever key, could place and release the hold.

    A key's secret is known to whoever made it, so the two must have makers that are known
    and not the same. Staff's holds are ended by staff alone, and those of a key by keys of the
    same organisation or of one above it.
    """
    if isinstance(by, User):
        people = _makers(hold.placed_by_key) if hold.placed_by_key else {hold.placed_by_id}
        if by.pk in people:
            message = "Somebody else than the person who placed a hold releases it."
            raise HoldRefused(message)
        return
    placing = hold.placed_by_key
    if placing is None or by.organisation_id not in placing.organisation.lineage:
        message = "This hold was placed by somebody above you, and is released there."
        raise Forbidden(message)
    first, second = _makers(placing), _makers(by)
    if first & second or None in first | second:
        message = (
            "A key releases a hold only if known people made both keys, and not the same. "
            "Ask the staff of the house otherwise."
        )
        raise HoldRefused(message)


def _makers(api_key: ApiKey) -> set[int | None]:
    """Who made the key, those before it and those after it; None where nobody knows."""
    return {key.created_by_id for key in keyring.line_of(api_key)}


def _wait_for_running(scope: Scope) -> None:
    """Take, for a moment, the lock of each mailbox below that a worker may be removing from."""
    # The erasure of a closed mailbox has a plan, but no lease.
    at_work = PurgeRun.objects.filter(
        Q(state=WorkState.RUNNING) | Q(state=WorkState.PLANNED, kind=PurgeRun.Kind.CLOSING)
    )
    # Second copies of what was copied leave the store without a plan.
    is_at_work = Q(pk__in=at_work.values("mailbox")) | Q(
        pk__in=MessageCopy.objects.values("mailbox")
    )
    with transaction.atomic():
        Mailbox.objects.filter(_below(scope)).filter(is_at_work).lock()


def _below(scope: Scope) -> Q:
    if isinstance(scope, Mailbox):
        return Q(pk=scope.pk)
    if isinstance(scope, Domain):
        return Q(domain=scope)
    return Q(
        organisation__in=Organisation.objects.filter(
            Q(pk=scope.pk) | Q(parent=scope) | Q(parent__parent=scope)
        ).values("pk")
    )


def _record(kind: str, *, hold: Hold, actor: Actor, at: datetime) -> None:
    scope = hold.organisation or hold.domain or hold.mailbox
    assert scope is not None  # noqa: S101  # A constraint of the table says so.
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=hold.owner,
        subject=hold.subject,
        data={"scope": str(scope), type(scope).__name__.lower(): str(scope.uuid)},
    )
