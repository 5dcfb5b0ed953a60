"""Facts go into the event table; nudges go to the workers after the commit."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from accounts.access import Actor
from accounts.models import Event, Organisation

logger = logging.getLogger(__name__)


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

    `data` never holds a secret: it is shown to customers and sent to resellers.
    """
    subject_kind, subject_id, subject_name = subject
    return Event(
        kind=kind,
        at=at,
        organisation_id=organisation.pk,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        subject_kind=subject_kind,
        subject_id=subject_id,
        subject_name=subject_name,
        data=data or {},
    )


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
    return fact


def nudge(task_name: str, **ids: Any) -> None:
    """Ask a worker to look soon, after the commit.

    The row is the queue and a sweep will find it, so a broker that is away costs time only
    and is no reason to fail what the person did.
    """
    transaction.on_commit(lambda: _send(task_name, ids))


def _send(task_name: str, ids: dict[str, Any]) -> None:
    try:
        current_app.send_task(task_name, kwargs=ids, expires=600)
    except (OperationalError, OSError) as error:
        logger.warning("No worker was nudged for %s: %s", task_name, error)
