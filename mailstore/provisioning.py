"""The life of a mailbox: open, prepare, suspend, resume, close, reopen, erase."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability
from mailstore import addresses
from mailstore.engine import Engine, EngineError, EngineUnavailable
from mailstore.models import AppPassword, Domain, LastLogin, Mailbox, Usage

logger = logging.getLogger(__name__)


class AddressTaken(Exception):
    """A mailbox with this address stands already."""


class DomainNotConfirmed(Exception):
    """The domain cannot have mailboxes yet."""


class WrongState(Exception):
    """The mailbox is not in a state from which this can be done."""


def check(*, actor: Actor, domain: Domain, local_part: str) -> str:
    """The canonical local part, or why this actor cannot have that address.

    Raises `Forbidden`, `DomainNotConfirmed` or `addresses.InvalidAddress`. Whether the
    address is free is known only when the row is written.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=domain.organisation.lineage)
    if domain.state != Domain.State.CONFIRMED:
        message = f"{domain} has not been confirmed yet, so it cannot have mailboxes."
        raise DomainNotConfirmed(message)
    canonical = addresses.local_part(local_part)
    addresses.check_length(canonical, domain.name)
    if addresses.is_reserved(canonical) and not actor.is_staff:
        message = f"{canonical}@ speaks for the whole domain, so only staff can set it up."
        raise addresses.InvalidAddress(message, code="reserved")
    return canonical


def draft(
    *,
    domain: Domain,
    local_part: str,
    protocol: str,
    quota_bytes: int,
    window_days: int,
    label: str,
    at: datetime,
) -> Mailbox:
    """An unsaved mailbox for a canonical local part."""
    return Mailbox(
        address=f"{local_part}@{domain.name}",
        local_part=local_part,
        domain=domain,
        organisation_id=domain.organisation_id,
        label=label,
        protocol=protocol,
        quota_bytes=quota_bytes,
        window_days=window_days,
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
    label: str = "",
    at: datetime,
) -> Mailbox:
    """A new mailbox. It can sign in and receive at once; its folders follow in a moment."""
    mailbox = draft(
        domain=domain,
        local_part=check(actor=actor, domain=domain, local_part=local_part),
        protocol=protocol,
        quota_bytes=quota_bytes,
        window_days=window_days,
        label=label,
        at=at,
    )
    try:
        with transaction.atomic():
            mailbox.save(force_insert=True)
            outbox.record(**created(mailbox=mailbox, actor=actor, at=at))
            outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)
    except IntegrityError as error:
        message = f"{mailbox.address} is taken."
        raise AddressTaken(message) from error
    return mailbox


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


def prepare_pending(*, engine: Engine, limit: int = 500) -> int:
    """Prepare what is waiting, oldest first; returns how many were prepared."""
    pending = Mailbox.objects.filter(state=Mailbox.State.PENDING).order_by("id")[:limit]
    return _each(pending, lambda mailbox: prepare(mailbox=mailbox, engine=engine))


@transaction.atomic
def suspend(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Stop signing in at once. Mail goes on arriving, and nothing is removed."""
    _move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.ACTIVE, Mailbox.State.PENDING),
        target=Mailbox.State.SUSPENDED,
        kind="mailbox.suspended",
        sessions_end_asked_at=at,
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)


@transaction.atomic
def resume(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Let a suspended mailbox sign in again."""
    _move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.SUSPENDED,),
        target=Mailbox.State.PENDING,
        kind="mailbox.resumed",
    )
    outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)


@transaction.atomic
def close(*, actor: Actor, mailbox: Mailbox, grace: timedelta, at: datetime) -> None:
    """Stop receiving and signing in. Until the grace is over, `reopen` brings all back."""
    _move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.ACTIVE, Mailbox.State.PENDING, Mailbox.State.SUSPENDED),
        target=Mailbox.State.CLOSING,
        kind="mailbox.closing",
        sessions_end_asked_at=at,
        erase_after=at + grace,
    )
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)


@transaction.atomic
def reopen(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """Take back a closing, as long as nothing was erased."""
    _move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.CLOSING,),
        target=Mailbox.State.PENDING,
        kind="mailbox.restored",
        erase_after=None,
    )
    outbox.nudge("mailstore.provision_mailbox", mailbox_id=mailbox.pk)


def close_for_good(*, actor: Actor, at: datetime, limit: int = 100) -> int:
    """End the grace of mailboxes whose time has come; their addresses are free again."""
    due = Mailbox.objects.filter(state=Mailbox.State.CLOSING, erase_after__lte=at)
    closed = 0
    for mailbox in due.select_related("organisation__parent").order_by("erase_after")[:limit]:
        try:
            give_up_address(actor=actor, mailbox=mailbox, at=at)
        except WrongState:
            continue  # It was reopened a moment ago.
        closed += 1
    return closed


@transaction.atomic
def give_up_address(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """The step that cannot be taken back: from here on the home is found by its uuid only."""
    _move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.CLOSING,),
        target=Mailbox.State.CLOSED,
        kind="mailbox.closed",
    )
    AppPassword.objects.filter(mailbox=mailbox).delete()


def erase(*, mailbox: Mailbox, engine: Engine, at: datetime) -> None:
    """Remove everything of a closed mailbox from the mail server; run twice, it does no harm."""
    engine.erase(user=mailbox.tombstone)
    _forget_reports(mailbox)
    Mailbox.objects.filter(pk=mailbox.pk, state=Mailbox.State.CLOSED).update(erased_at=at)


def erase_closed(*, engine: Engine, at: datetime, limit: int = 100) -> int:
    """Erase the homes of closed mailboxes, oldest first; returns how many."""
    due = Mailbox.objects.filter(state=Mailbox.State.CLOSED, erased_at__isnull=True)
    return _each(
        due.order_by("id")[:limit],
        lambda mailbox: erase(mailbox=mailbox, engine=engine, at=at),
    )


def end_sessions(*, mailbox: Mailbox, engine: Engine) -> None:
    """End open sessions if somebody asked for it; what is asked meanwhile stays asked."""
    asked_at = mailbox.sessions_end_asked_at
    if asked_at is None:
        return
    engine.end_sessions(user=mailbox.address)
    Mailbox.objects.filter(pk=mailbox.pk, sessions_end_asked_at=asked_at).update(
        sessions_end_asked_at=None,
    )


def end_due_sessions(*, engine: Engine, limit: int = 500) -> int:
    """End the sessions that still have to be ended; returns of how many mailboxes."""
    due = Mailbox.objects.filter(sessions_end_asked_at__isnull=False).order_by("id")[:limit]
    return _each(due, lambda mailbox: end_sessions(mailbox=mailbox, engine=engine))


def _move(
    mailbox: Mailbox,
    *,
    actor: Actor,
    at: datetime,
    sources: tuple[str, ...],
    target: str,
    kind: str,
    **changes: Any,
) -> None:
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


def _forget_reports(mailbox: Mailbox) -> None:
    """Drop what Dovecot reported, unless a new mailbox has the address by now."""
    names = [mailbox.tombstone]
    if not Mailbox.objects.standing().filter(address=mailbox.address).exists():
        names.append(mailbox.address)
    Usage.objects.filter(username__in=names).delete()
    LastLogin.objects.filter(username__in=names).delete()


def _each(mailboxes: Iterable[Mailbox], work: Any) -> int:
    """Do the work for each; one that fails does not hold up the rest, a dead server does."""
    done = 0
    for mailbox in mailboxes:
        try:
            work(mailbox)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server refused work on mailbox %s", mailbox.uuid)
        else:
            done += 1
    return done
