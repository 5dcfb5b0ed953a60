"""The life of a mailbox: open, prepare, suspend, resume, close, reopen. `closing` ends it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import addresses, holding, turns
from mailstore.engine import Engine
from mailstore.models import Domain, Mailbox, RetentionPolicy, Usage

logger = logging.getLogger(__name__)

# Somebody who was let in just before can be known as signed in a little after.
_LATECOMERS = timedelta(seconds=5)
_STOPPED = (Organisation.State.SUSPENDED, Organisation.State.CLOSED)


class AddressTaken(Exception):
    """A mailbox with this address stands already."""


class ReferenceTaken(Exception):
    """Another mailbox of the organisation goes by this reference."""


class NoNewMailboxes(Exception):
    """There can be no new mailboxes in this place."""


class DomainNotConfirmed(NoNewMailboxes):
    """The domain cannot have mailboxes yet."""


class OrganisationStopped(NoNewMailboxes):
    """Whoever owns the domain, or sells to them, is suspended or closed."""


class WrongState(Exception):
    """The mailbox is not in a state from which this can be done."""


def check(*, actor: Actor, domain: Domain, local_part: str) -> str:
    """The canonical local part, or why this actor cannot have that address.

    Raises `Forbidden`, `NoNewMailboxes` or `addresses.InvalidAddress`. Whether the address
    is free is known only when the row is written.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=domain.organisation.lineage)
    if domain.state != Domain.State.CONFIRMED:
        message = f"{domain} has not been confirmed yet, so it cannot have mailboxes."
        raise DomainNotConfirmed(message)
    _refuse_if_stopped(domain.organisation)
    canonical = addresses.local_part(local_part)
    addresses.check_length(canonical, domain.name)
    if addresses.is_reserved(canonical) and not actor.can_everywhere(Capability.MANAGE_MAIL):
        message = f"{canonical}@ speaks for the whole domain, so only staff can set it up."
        raise addresses.InvalidAddress(message, code="reserved")
    return canonical


def _refuse_if_stopped(organisation: Organisation) -> None:
    stopped = stopped_at(organisation)
    if stopped is not None:
        message = f"{stopped} is {stopped.get_state_display().lower()}: no mailbox can be added."
        raise OrganisationStopped(message)


def stopped_at(organisation: Organisation) -> Organisation | None:
    """The organisation or its reseller, if it is suspended or closed; nothing is sold then."""
    for each in (organisation, organisation.parent):
        if each is not None and each.state in _STOPPED:
            return each
    return None


def draft(
    *,
    domain: Domain,
    local_part: str,
    protocol: str,
    quota_bytes: int,
    window_days: int,
    retention_policy_id: int | None,
    label: str,
    at: datetime,
) -> Mailbox:
    """An unsaved mailbox for a canonical local part; load `organisation` with the domain.

    Every door comes through here, so what its organisation wants of new mailboxes holds at each.
    """
    return Mailbox(
        address=f"{local_part}@{domain.name}",
        local_part=local_part,
        domain=domain,
        organisation_id=domain.organisation_id,
        label=label,
        protocol=protocol,
        quota_bytes=quota_bytes,
        window_days=window_days,
        retention_policy_id=retention_policy_id,
        app_passwords_only=domain.organisation.app_passwords_only,
        store_bytes=0,
        store_messages=0,
        created_at=at,
    )


def open_mailbox(
    *,
    actor: Actor,
    domain: Domain,
    local_part: str,
    protocol: str,
    quota_bytes: int,
    window_days: int,
    retention_policy: RetentionPolicy | None = None,
    label: str = "",
    external_ref: str = "",
    labels: Mapping[str, str] | None = None,
    at: datetime,
) -> Mailbox:
    """A new mailbox. It can sign in and receive at once; its folders follow in a moment."""
    mailbox = draft(
        domain=domain,
        local_part=check(actor=actor, domain=domain, local_part=local_part),
        protocol=protocol,
        quota_bytes=quota_bytes,
        window_days=window_days,
        retention_policy_id=None if retention_policy is None else retention_policy.pk,
        label=label,
        at=at,
    )
    mailbox.external_ref, mailbox.labels = external_ref, dict(labels or {})
    try:
        with transaction.atomic():
            mailbox.save(force_insert=True)
            outbox.record(**created(mailbox=mailbox, actor=actor, at=at))
            outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)
    except IntegrityError as error:
        raise _taken(mailbox) from error
    return mailbox


def _taken(mailbox: Mailbox) -> AddressTaken | ReferenceTaken:
    """Which of the two names that are given once was not free."""
    standing = Mailbox.objects.standing()
    if standing.filter(address=mailbox.address).exists():
        return AddressTaken(f"{mailbox.address} is taken.")
    return ReferenceTaken("Another mailbox of this organisation has this reference.")


@transaction.atomic
def describe(*, actor: Actor, mailbox: Mailbox, at: datetime, **changes: Any) -> None:
    """Change how people and programs call it: `label`, `external_ref`, `labels`.

    Raises `ReferenceTaken`.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    changed = {name: value for name, value in changes.items() if getattr(mailbox, name) != value}
    if not changed:
        return
    try:
        with transaction.atomic():
            Mailbox.objects.filter(pk=mailbox.pk).update(**changed)
    except IntegrityError as error:
        message = "Another mailbox of this organisation has this reference."
        raise ReferenceTaken(message) from error
    outbox.record(
        kind="mailbox.updated",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={
            name: {"old": getattr(mailbox, name), "new": value} for name, value in changed.items()
        },
    )
    for name, value in changed.items():
        setattr(mailbox, name, value)


def created(*, mailbox: Mailbox, actor: Actor, at: datetime) -> dict[str, Any]:
    """What the event about a new mailbox says."""
    return {
        "kind": "mailbox.created",
        "at": at,
        "actor": actor,
        "organisation": mailbox.domain.organisation,
        "subject": mailbox.subject,
        "data": {"protocol": mailbox.protocol, "quota_bytes": mailbox.quota_bytes},
    }


def prepare(*, mailbox: Mailbox, engine: Engine) -> None:
    """Make the folders on the mail server; run twice, it makes nothing twice."""
    engine.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    Mailbox.objects.filter(pk=mailbox.pk, state=Mailbox.State.PENDING).update(
        state=Mailbox.State.ACTIVE,
    )


def prepare_pending(*, engine: Engine, at: datetime, limit: int = 500) -> int:
    """Prepare what is waiting, oldest first; returns how many were prepared."""
    pending = Mailbox.objects.filter(state=Mailbox.State.PENDING).select_related("organisation")
    return turns.each(
        pending.order_by("id"),
        lambda mailbox: prepare(mailbox=mailbox, engine=engine),
        named="preparing mailboxes",
        at=at,
        limit=limit,
    )


@transaction.atomic
def suspend(*, actor: Actor, mailbox: Mailbox, at: datetime, now: datetime | None = None) -> None:
    """Stop signing in at once. Mail goes on arriving, and nothing is removed.

    `now` is what time it really is, where `at` is by the clock of a test organisation: sessions
    end by that one.
    """
    move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.ACTIVE, Mailbox.State.PENDING),
        target=Mailbox.State.SUSPENDED,
        kind="mailbox.suspended",
        sessions_end_asked_at=now or at,
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)


@transaction.atomic
def resume(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Let a suspended mailbox sign in again."""
    move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.SUSPENDED,),
        target=Mailbox.State.PENDING,
        kind="mailbox.resumed",
    )
    outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)


@transaction.atomic
def close(
    *,
    actor: Actor,
    mailbox: Mailbox,
    grace: timedelta,
    at: datetime,
    now: datetime | None = None,
) -> None:
    """Stop receiving and signing in. Until the grace is over, `reopen` brings all back.

    Not under a hold, nor while an alarm of the tripwire waits for its answer. `now` is as
    for `suspend`.
    """
    holding.refuse_if_kept(holding.lock(mailbox))
    move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.ACTIVE, Mailbox.State.PENDING, Mailbox.State.SUSPENDED),
        target=Mailbox.State.CLOSING,
        kind="mailbox.closing",
        sessions_end_asked_at=now or at,
        closing_since=at,
        closing_mark=_mark(mailbox, at=at),
        erase_after=at + grace,
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)


def _mark(mailbox: Mailbox, *, at: datetime) -> int:
    report = Usage.objects.filter(username=mailbox.address).first()
    return report.mark(int(at.timestamp())) if report else 0


@transaction.atomic
def reopen(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Take back a closing, as long as nothing was erased and the organisation is not closed."""
    if mailbox.organisation.state == Organisation.State.CLOSED:
        message = f"{mailbox.organisation} is closed, and its mailboxes with it."
        raise WrongState(message)
    move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.CLOSING,),
        target=Mailbox.State.PENDING,
        kind="mailbox.restored",
        closing_since=None,
        closing_mark=None,
        erase_after=None,
        # No rule was looked at while it was closing.
        retention_due_at=None,
    )
    outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)


def end_sessions(*, mailbox: Mailbox, engine: Engine, at: datetime) -> None:
    """End open sessions if somebody asked for it; what is asked meanwhile stays asked.

    It stays asked for a while, too, because of those who were let in just before.
    """
    asked_at = mailbox.sessions_end_asked_at
    if asked_at is None:
        return
    engine.end_sessions(user=mailbox.address)
    if asked_at <= at < asked_at + _LATECOMERS:
        return
    Mailbox.objects.filter(pk=mailbox.pk, sessions_end_asked_at=asked_at).update(
        sessions_end_asked_at=None,
    )


def end_due_sessions(*, engine: Engine, at: datetime, limit: int = 500) -> int:
    """End the sessions that still have to be ended; returns of how many mailboxes."""
    due = Mailbox.objects.filter(sessions_end_asked_at__isnull=False).select_related("organisation")
    return turns.each(
        due.order_by("id"),
        lambda mailbox: end_sessions(mailbox=mailbox, engine=engine, at=at),
        named="ending sessions",
        at=at,
        limit=limit,
    )


def move(
    mailbox: Mailbox,
    *,
    actor: Actor,
    at: datetime,
    sources: tuple[str, ...],
    target: str,
    kind: str,
    **changes: Any,
) -> None:
    """Take a mailbox from one of `sources` to `target`; raise `WrongState` if it is elsewhere."""
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    moved = Mailbox.objects.filter(pk=mailbox.pk, state__in=sources).update(
        state=target,
        **changes,
    )
    if not moved:
        message = f"{mailbox.address} has changed meanwhile, so this cannot be done now."
        raise WrongState(message)
    mailbox.refresh_from_db(fields=["state", *changes])
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
    )
