"""Facts go into the event table; nudges go to the workers after the commit."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from accounts import masking
from accounts.access import Actor, Origin
from accounts.models import Event, Organisation

logger = logging.getLogger(__name__)

# The task that tells whoever follows the facts.
FOLLOWERS = "hosting.send_webhooks"
_LOOKS_EVERY_SECONDS = 1.0
# A broker that is away takes six seconds to say so, and the sweeps do the work meanwhile.
_LEFT_ALONE_SECONDS = 5.0
_SALT_BYTES = 16


@dataclass
class _Followers:
    """Until when a worker has been asked already; each process asks for itself."""

    looked_for_until: float = 0.0


@dataclass
class _Broker:
    """Until when nobody is nudged, because the broker did not answer; for each process."""

    left_alone_until: float = 0.0


_followers = _Followers()
_broker = _Broker()


def event(
    *,
    kind: str,
    at: datetime,
    actor: Actor,
    organisation: Organisation,
    subject: tuple[str, str, str],
    data: dict[str, Any] | None = None,
) -> Event:
    """An event that is not stored yet. `subject` is its kind, public id and name.

    `data` never holds a secret: it is shown to customers and sent to resellers. What has the
    name or the form of one is masked.
    """
    subject_kind, subject_id, subject_name = subject
    standing, role = actor.standing_to(organisation.pk, parent_id=organisation.parent_id)
    origin = actor.origin
    salt = secrets.token_bytes(_SALT_BYTES) if origin.address or origin.session else None
    return Event(
        kind=kind,
        at=at,
        organisation_id=organisation.pk,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=masking.masked_text(actor.name),
        door=origin.door,
        standing=standing,
        role=role,
        address=origin.address,
        session=origin.session,
        salt=salt,
        commitment=commitment(salt, origin) if salt else "",
        subject_kind=subject_kind,
        subject_id=subject_id,
        subject_name=masking.masked_text(subject_name),
        belongs_to=thing_of(subject_kind, subject_id, data or {}),
        data=masking.masked(data or {}),
        visit_id=actor.visit_id,
    )


def commitment(salt: bytes, origin: Origin) -> str:
    """What the chain holds of address and session; without the salt nobody can try them out."""
    text = f"{origin.address}\n{origin.session}"
    return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()


def thing_of(subject_kind: str, subject_id: str, data: Mapping[str, Any]) -> str:
    """The id of the mailbox that a fact is about, by its subject or by what was recorded."""
    named = data.get("mailbox")
    if subject_kind == "mailbox":
        return subject_id
    return named if isinstance(named, str) else ""


def record(
    *,
    kind: str,
    at: datetime,
    actor: Actor,
    organisation: Organisation,
    subject: tuple[str, str, str],
    data: dict[str, Any] | None = None,
) -> Event:
    """Store one fact; call it inside the transaction that makes the fact true."""
    fact = event(
        kind=kind,
        at=at,
        actor=actor,
        organisation=organisation,
        subject=subject,
        data=data,
    )
    fact.save(force_insert=True)
    transaction.on_commit(_tell_followers)
    return fact


def record_all(facts: Sequence[Event]) -> None:
    """Store many facts in one statement, in their order; call it in the same way."""
    if facts:
        Event.objects.bulk_create(facts)
        transaction.on_commit(_tell_followers)


def _tell_followers() -> None:
    """Have a worker look soon for whoever follows the feed: once a second, for all there was.

    It begins when the second is over, so it finds what came after the first of them too.
    """
    now = time.monotonic()
    if now < _followers.looked_for_until:
        return
    _followers.looked_for_until = now + _LOOKS_EVERY_SECONDS
    _send(FOLLOWERS, {}, countdown=_LOOKS_EVERY_SECONDS)


def nudge(task_name: str, **ids: Any) -> None:
    """Ask a worker to look soon, after the commit.

    The row is the queue and a sweep will find it, so a broker that is away costs time only
    and is no reason to fail what the person did.
    """
    transaction.on_commit(lambda: _send(task_name, ids))


def _send(task_name: str, ids: dict[str, Any], *, countdown: float = 0) -> None:
    if time.monotonic() < _broker.left_alone_until:
        return
    try:
        current_app.send_task(task_name, kwargs=ids, expires=600, countdown=countdown or None)
    except (OperationalError, OSError) as error:
        logger.warning("No worker was nudged for %s: %s", task_name, error)
        _broker.left_alone_until = time.monotonic() + _LEFT_ALONE_SECONDS
