"""Sweeps over mailboxes take them in turns: one that fails waits, and holds up nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from accounts import setbacks
from mailstore import holding
from mailstore.engine import EngineUnavailable
from mailstore.models import Mailbox
from mailstore.models.mailboxes import MailboxQuerySet

logger = logging.getLogger(__name__)


def each(
    mailboxes: MailboxQuerySet,
    work: Callable[[Mailbox], None],
    *,
    named: str,
    at: datetime,
    limit: int,
) -> int:
    """Do the work for the first of them, until the mail server is away; returns for how many."""
    turn = list(mailboxes.exclude(pk__in=setbacks.waiting(work=named, at=at))[:limit])
    done = 0
    try:
        for mailbox in turn:
            with apart(mailbox, named=named, at=at):
                work(mailbox)
                done += 1
    except EngineUnavailable as error:
        logger.warning("The mail server cannot be reached: %s", error)
        return done
    if len(turn) < limit:
        setbacks.forget(work=named, at=at)
    return done


@contextmanager
def apart(mailbox: Mailbox, *, named: str, at: datetime) -> Iterator[None]:
    """What fails in here for the mailbox is written down as a setback of the work so named.

    A hold stops it, which is no failure. A mail server that is away is told to the caller.
    """
    with (
        suppress(holding.Stopped),
        setbacks.apart(
            work=named,
            row_id=mailbox.pk,
            name=mailbox.address,
            organisation=mailbox.organisation,
            at=at,
            but=(EngineUnavailable, holding.Stopped),
        ),
    ):
        yield
