"""What was kept over time, by day or by month; the same use that is billed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Literal, TypedDict
from uuid import UUID

from hosting import public_ids, usage
from hosting.api import mailboxes, organisations
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.moments import Moment, day_in
from hosting.api.problems import wrong_parameter
from hosting.periods import Period
from hosting.usage import Bucket, Grain

_PARAMETERS = {
    "grain": "`day` (the default) or `month`. The meter keeps one figure a day, so no hours.",
    "since": "The first day, such as 2026-11-01. By default the first of this month.",
    "until": f"The day after the last, at most {usage.MOST_DAYS} days later. By default the next.",
}


class BucketDocument(TypedDict):
    """One day or month, so far as it has gone by. The integral is a decimal string.

    `message_count` is known of the present only.
    """

    starts_at: Moment
    ends_at: Moment
    byte_seconds: str
    mean_bytes: int
    most_bytes: int
    message_count: int | None


class UsageDocument(TypedDict):
    """The use of one mailbox, or of all of one organisation without those below it."""

    object: Literal["usage"]
    of_id: str
    grain: Literal["day", "month"]
    items: list[BucketDocument]


Read = Callable[[str, date, date], Sequence[Bucket]]


def _document(call: Call, of_id: str, read: Read) -> UsageDocument:
    grain = call.query.get("grain", Grain.DAY.value)
    if grain not in set(Grain):
        raise wrong_parameter("grain", "One of: day, month.")
    today = call.at.date()
    month = Period.of(call.at)
    next_day = month.next.first_day if grain == Grain.MONTH else today + timedelta(days=1)
    since = _day(call, "since", default=month.first_day)
    until = _day(call, "until", default=next_day)
    try:
        buckets = read(grain, since, until)
    except usage.UsageRefused as refusal:
        raise wrong_parameter("until", str(refusal)) from refusal
    return {
        "object": "usage",
        "of_id": of_id,
        "grain": "month" if grain == Grain.MONTH else "day",
        "items": [_bucket(each) for each in buckets],
    }


def _day(call: Call, name: str, *, default: date) -> date:
    text = call.query.get(name)
    if text is None:
        return default
    day = day_in(text)
    if day is None:
        raise wrong_parameter(name, "A day such as 2026-11-03.")
    return day


def _bucket(bucket: Bucket) -> BucketDocument:
    return {
        "starts_at": Moment(bucket.starts_at),
        "ends_at": Moment(bucket.ends_at),
        "byte_seconds": str(bucket.byte_seconds),
        "mean_bytes": bucket.mean_bytes,
        "most_bytes": bucket.most_bytes,
        "message_count": bucket.messages_count,
    }


class MailboxUsage(Endpoint):
    """The use of one mailbox."""

    @operation(
        name="get_mailbox_usage",
        scope="usage:read",
        gives=UsageDocument,
        parameters=_PARAMETERS,
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Show what a mailbox kept over time."""
        found = mailboxes.load(call, mailbox)

        def read(grain: str, since: date, until: date) -> Sequence[Bucket]:
            return usage.of_mailbox(found, grain=grain, since=since, until=until, at=call.at)

        return Answer(document=_document(call, public_ids.encode("mbx", found.uuid), read))


class OrganisationUsage(Endpoint):
    """The use of one organisation."""

    @operation(
        name="get_organisation_usage",
        scope="usage:read",
        gives=UsageDocument,
        parameters=_PARAMETERS,
    )
    def get(self, call: Call, *, organisation: UUID) -> Answer:
        """Show what all mailboxes of an organisation kept over time."""
        found = organisations.load(call, organisation)

        def read(grain: str, since: date, until: date) -> Sequence[Bucket]:
            return usage.of_organisation(found, grain=grain, since=since, until=until, at=call.at)

        return Answer(document=_document(call, public_ids.encode("org", found.uuid), read))
