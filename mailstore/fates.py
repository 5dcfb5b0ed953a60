"""When one message goes, and why: what a person asks of a single letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mailstore import holding, policy, retention
from mailstore.engine import Engine, StoredMessage
from mailstore.models import Mailbox

# Beyond the oldest age that a rule can say, nothing is left to fall due.
_FAR = timedelta(days=2 * policy.LONGEST_DAYS)


class NoSuchMessage(Exception):
    """The folder has no such message; the text says which."""


@dataclass(frozen=True, kw_only=True)
class MessageFate:
    """One message and when it goes by the rules: None for never. `sentence` says why."""

    message: StoredMessage
    goes_at: datetime | None
    sentence: str


def of_message(
    *, mailbox: Mailbox, engine: Engine, folder: str, uid: int, at: datetime
) -> MessageFate:
    """When a message goes. Raises `NoSuchMessage`, and `EngineError`."""
    found = engine.messages(user=mailbox.address, folder=folder, uids=[uid])
    if not found:
        message = f"There is no message {uid} in {folder} of {mailbox}."
        raise NoSuchMessage(message)
    return _fates(mailbox, found, engine=engine, folder=folder, at=at)[0]


def of_arrivals(
    *, mailbox: Mailbox, engine: Engine, folder: str, day: date, at: datetime
) -> list[MessageFate]:
    """When the messages go that arrived in a folder on one day (UTC), by uid.

    Raises `EngineError`.
    """
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    until = begin + timedelta(days=1)
    found = engine.messages(user=mailbox.address, folder=folder, saved_before=until)
    arrived = [message for message in found if begin <= message.saved_at < until]
    return _fates(mailbox, arrived, engine=engine, folder=folder, at=at) if arrived else []


def stopped_text(mailbox: Mailbox) -> str:
    """What keeps all mail of a mailbox from going now, in a sentence; or nothing."""
    try:
        holding.refuse_if_stopped(mailbox)
    except holding.Stopped as reason:
        return str(reason)
    return ""


def _fates(
    mailbox: Mailbox,
    messages: Sequence[StoredMessage],
    *,
    engine: Engine,
    folder: str,
    at: datetime,
) -> list[MessageFate]:
    decision = retention.decide(mailbox, folder, retention.layers_of(mailbox))
    only = {folder: [message.uid for message in messages]}
    outlooks = retention.outlook(mailbox=mailbox, engine=engine, until=at + _FAR, only=only)
    known: Mapping[int, datetime] = {
        fate.message.uid: fate.goes_at for found in outlooks for fate in found.fates
    }
    return [
        MessageFate(
            message=message,
            goes_at=known.get(message.uid),
            sentence=_sentence(known.get(message.uid), decision, at=at),
        )
        for message in messages
    ]


def _sentence(goes_at: datetime | None, decision: policy.Decision, *, at: datetime) -> str:
    if decision.days is None:
        return decision.sentence
    if goes_at is None:
        return f"No program has fetched it yet, so it stays whatever its age. {decision.sentence}"
    if goes_at <= at:
        return f"It is due since {goes_at:%-d %B %Y}. {decision.sentence}"
    return f"It goes on {goes_at:%-d %B %Y}. {decision.sentence}"
