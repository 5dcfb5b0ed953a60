"""The open sessions of a person: how long they last, listing them and ending them.

A session is a row. Once that is gone, the next request of its browser is a stranger's, whatever
cookie it shows, and a request that is under way cannot write it back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts import personal_facts
from accounts.access import Actor, Capability, Origin
from accounts.models import OpenSession, User

# How many a page lists; "end all others" ends the rest too.
MOST_LISTED = 100
_SALT = "accounts.sessions"
_LONGEST_AGENT = 300
# No browser says more of itself, and no more is looked at.
_LONGEST_HEADER = 2000
# A visit is written down this often at most, so that reading pages costs no writing.
_NOTED_EVERY = timedelta(minutes=1)


class NoSuchSession(Exception):
    """The person has no such session, or not any more."""


def ends_at(*, signed_in_at: datetime | None, seen_at: datetime) -> datetime:
    """When a session is over unless its browser comes again before."""
    idle = seen_at + settings.SESSION_IDLE
    return idle if signed_in_at is None else min(idle, signed_in_at + settings.SESSION_LONGEST)


def is_over(session: OpenSession, *, at: datetime) -> bool:
    """Whether it has lasted too long, or was not used for too long, by the settings of now."""
    return ends_at(signed_in_at=session.signed_in_at, seen_at=session.seen_at) <= at


def is_worth_noting(session: OpenSession, *, address: str, at: datetime) -> bool:
    """Whether a visit tells something that the row does not say yet."""
    has_moved = bool(session.address) and session.address != address
    return has_moved or not session.seen_at <= at < session.seen_at + _noted_every()


def note_use(session: OpenSession, *, address: str, user_agent: str, at: datetime) -> None:
    """Write down that the browser came. It brings back no session that was ended meanwhile."""
    OpenSession.objects.filter(pk=session.pk).update(
        address=address,
        user_agent=user_agent,
        seen_at=at,
        expire_date=ends_at(signed_in_at=session.signed_in_at, seen_at=at),
    )


def _noted_every() -> timedelta:
    return min(_NOTED_EVERY, settings.SESSION_IDLE / 10)


def readable_agent(header: str) -> str:
    """What a browser says of itself, cut, and without characters that nobody can see."""
    seen = "".join(each if each.isprintable() else " " for each in header[:_LONGEST_HEADER])
    return " ".join(seen.split())[:_LONGEST_AGENT]


def name_of(session: OpenSession) -> str:
    """What the pages call a session: its own key would open it."""
    return salted_hmac(_SALT, session.session_key, algorithm="sha256").hexdigest()[:32]


@transaction.atomic
def end(*, user: User, name: str, at: datetime, origin: Origin | None = None) -> None:
    """End one session of the person, by its name; raises `NoSuchSession`."""
    _end_named(user, name)
    _record(user, 1, at=at, origin=origin)


@transaction.atomic
def end_others(*, user: User, kept: str, at: datetime, origin: Origin | None = None) -> int:
    """End all sessions of the person but the one with the key `kept`; returns how many."""
    ended = OpenSession.objects.filter(user=user).exclude(pk=kept).delete()[0]
    if ended:
        _record(user, ended, at=at, origin=origin)
    return ended


@transaction.atomic
def end_by_staff(*, actor: Actor, user: User, name: str = "", at: datetime) -> int:
    """End all sessions of somebody, or the one of that name; returns how many.

    Staff who look after people do it, and to other staff operators alone. Raises `Forbidden` or
    `NoSuchSession`.
    """
    if user.is_staff:
        refusal = "Only operators end the sessions of other staff."
        actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
    refusal = "Only staff who look after people end their sessions."
    actor.must_everywhere(Capability.MANAGE_PEOPLE, refusal=refusal)
    ended = _end_named(user, name) if name else drop_all(user)
    if ended:
        personal_facts.record(
            kind="user.sessions_ended_by_staff",
            user=user,
            actor=actor,
            at=at,
            data={"sessions": ended},
        )
    return ended


def _end_named(user: User, name: str) -> int:
    keys = [
        each.session_key
        for each in OpenSession.objects.filter(user=user).only("session_key").iterator()
        if constant_time_compare(name_of(each), name)
    ]
    ended: int = OpenSession.objects.filter(pk__in=keys).delete()[0]
    if not ended:
        message = "This session has ended already."
        raise NoSuchSession(message)
    return ended


def drop_all(user: User, *, but: str | None = None) -> int:
    """The same as part of something else, which says itself that it was done."""
    return OpenSession.objects.filter(user=user).exclude(pk=but or "").delete()[0]


def _record(user: User, ended: int, *, at: datetime, origin: Origin | None) -> None:
    data = {"sessions": ended}
    personal_facts.record(kind="user.sessions_ended", user=user, at=at, origin=origin, data=data)
