"""Who signed in, ended a session or failed, in the lines of Dovecot's log, counted by the hour.

Lines that differ in nothing but their moment and session are counted before one of them is taken
apart: a program that looks for mail every five minutes writes the same line again and again. A
name that somebody typed stands behind everything that is matched, or is of letters that forge
nothing, and Dovecot writes no line break of theirs. It cuts names of more than 64 letters where it
tells of wrong passwords; tries at such a mailbox are not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum, auto
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

_MOMENT_BYTES, _HOUR_BYTES = 19, 13
_SERVICE = 20
# `2026-11-23T10:03:36 imap-login: Info: Login: session=<…>, rip=…, device=<…>, why=<>,
# mailbox=<…>, TLS, user=<…>`. Before the right password, `mailbox` is empty.
_SIGNED_IN = b"-login: Info: Login: session=<"
_REFUSED = b" successful auths): session=<"
_FAILED = b"(auth failed, "
# `2026-11-23T10:03:36 pop3(…)<26008><session><address><device>: Info: Disconnected: Logged out
# fetched=2 glanced=0 removed=2; …`
_TEXT, _ENDED = b": Info: ", b": Info: Disconnected: "
_LONGEST_HEAD = 200
_COUNTED, _FETCHED = b"; ", b" fetched="
_MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_WHO = rb"rip=(?P<address>[0-9a-f.:]+), device=<(?P<device>[0-9a-f]*)>, "
_USER = rb"mailbox=<(?P<user>[a-z0-9@._-]+)>, (?:(?P<tls>TLS|secured), )?user=<"
_SIGN_IN = re.compile(rb"(?P<service>imap|pop3)" + _WHO + rb"why=<>, " + _USER)
_REFUSAL = re.compile(
    rb".{20}(?P<service>imap|pop3)-login: Info: [^<>]*, (?P<count>\d+) successful auths\): "
    rb"session=<(?P<session>[^<> ]*)>, " + _WHO + rb"why=<(?P<why>[^<>]*)>, " + _USER
)
_CONNECTION = re.compile(
    rb".{20}(?P<service>imap|pop3)-login: Info: [^<>]*\(auth failed, \d+ attempts in \d+ secs\): "
    rb"session=<(?P<session>[^<> ]*)>, "
)
# On SQLite a worker of the auth process says it. The mailbox password is looked at last, so there
# is one such line for each try; and one of the policy for each try that was held back before.
_FAILURE = re.compile(
    rb".{20}auth(?:-worker\(\d+\): Info: conn [^<>]*: auth-worker<\d+>|: Info): "
    rb"(?P<place>mailbox|policy|apppassword)"
    rb"\((?P<user>[a-z0-9@._-]+),(?P<address>[0-9a-f.:]+),<(?P<session>[^<> ]*)>\): "
    rb"(?:Password mismatch\Z|unknown user\Z|(?P<network>allow_nets check failed)"
    rb"|(?P<policy>Authentication failure due to policy server refusal))"
)
_END = re.compile(
    rb"(?P<service>imap|pop3)\((?P<user>[a-z0-9@._-]+)"
    rb"><(?P<address>[0-9a-f.:]+)><(?P<device>[0-9a-f-]+)>\Z"
)
_COUNTS = re.compile(rb" fetched=(\d+) glanced=(\d+) removed=(\d+)")
# What stands where no app password was used.
MAILBOX_PASSWORD = "-"  # noqa: S105
_PROTOCOLS = {b"imap": "imap", b"pop3": "pop", b"": ""}


class Outcome(StrEnum):
    """How a try to sign in ended."""

    SIGNED_IN = auto()
    WRONG_PASSWORD = auto()
    REFUSED = auto()
    WRONG_NETWORK = auto()
    THROTTLED = auto()


# By what our own views say, and what stands there when tries are held back.
_KINDS = (
    (re.compile(r"\bnetwork"), Outcome.WRONG_NETWORK),
    (re.compile(r"\btoo many\b|\btries\b", re.IGNORECASE), Outcome.THROTTLED),
)


@dataclass(slots=True)
class Attendance:
    """What one credential did from one address in one hour, or how tries from there failed.

    `credential` is an app password's id, `-` for the mailbox password, or nothing where it is
    not known, as the protocol may be. Messages are those of sessions that ended in the hour.
    """

    user: str
    protocol: str
    credential: str
    address: str
    hour_at: datetime
    outcome: Outcome
    first_at: datetime
    last_at: datetime
    sign_ins: int = 0
    without_tls: int = 0
    session: str = ""
    ended: int = 0
    fetched: int = 0
    glanced: int = 0
    removed: int = 0
    # When a session ended that had removed something.
    removed_at: datetime | None = None


class _Seen:
    """Equal lines: how many, and the beginnings of the first and the last of them."""

    __slots__ = ("count", "fetched", "first", "glanced", "last", "removed", "removed_last")

    def __init__(self, line: bytes) -> None:
        self.count = self.fetched = self.glanced = self.removed = 0
        self.first = self.last = self.removed_last = line


class Counting:
    """Takes lines one by one, and says at the end what they come to.

    `take_login`, `take_session` and `take_auth` are for lines of the login services, of the
    sessions, and of the auth process.
    """

    def __init__(self) -> None:
        self._sign_ins: dict[bytes, _Seen] = {}
        self._ends: dict[bytes, _Seen] = {}
        self._counts: dict[bytes, tuple[int, int, int] | None] = {}
        self._refusals: list[bytes] = []
        self._connections: list[bytes] = []
        self._failures: list[bytes] = []

    def take_login(self, line: bytes) -> None:
        """A line of imap-login or pop3-login."""
        if line.startswith(_SIGNED_IN, _SERVICE + 4):
            key = line[:_HOUR_BYTES] + line[_SERVICE : _SERVICE + 4] + line.partition(b">, ")[2]
            seen = self._sign_ins.get(key)
            if seen is None:
                seen = self._sign_ins[key] = _Seen(line)
            seen.count += 1
            seen.last = line
        elif _REFUSED in line:
            self._refusals.append(line)
        elif _FAILED in line:
            self._connections.append(line)

    def take_session(self, line: bytes) -> bool:
        """A line of an imap or pop3 session; whether it tells of its end."""
        session = line.find(b"><")
        whence = line.find(b"><", session + 2)
        text = line.find(_TEXT, whence)
        if whence < 0 or not line.startswith(_ENDED, text):
            return False
        end = line.rfind(_COUNTED)
        counts = self._counted(line[line.rfind(_FETCHED, text, end) : end])
        if counts is None:
            return True
        # Service and user, up to the process id, and what stands between session and text.
        name = line.find(b")<", _SERVICE, session)
        key = line[:_HOUR_BYTES] + line[_SERVICE:name] + line[whence:text]
        seen = self._ends.get(key)
        if seen is None:
            seen = self._ends[key] = _Seen(line)
        seen.count += 1
        seen.last = line
        seen.fetched += counts[0]
        seen.glanced += counts[1]
        if counts[2]:
            seen.removed += counts[2]
            seen.removed_last = line
        return True

    def take_auth(self, line: bytes) -> None:
        """A line of the auth process."""
        if b" mailbox(" in line or b" policy(" in line or b"): allow_nets " in line:
            self._failures.append(line)

    def found(self) -> list[Attendance]:
        """What all of that comes to, each once."""
        whole: dict[tuple[object, ...], Attendance] = {}
        for key, seen in self._sign_ins.items():
            who = _who(_SIGN_IN, key[_HOUR_BYTES:])
            one = who and _one_of(whole, who, first=seen.first, last=seen.last)
            if who and one:
                one.sign_ins += seen.count
                one.without_tls += 0 if who.has_tls else seen.count
                one.session = _session_of(seen.last)
        for key, seen in self._ends.items():
            who = _who(_END, key[_HOUR_BYTES:])
            one = who and _one_of(whole, who, first=seen.first, last=seen.last)
            if one:
                one.ended += seen.count
                one.fetched += seen.fetched
                one.glanced += seen.glanced
                one.removed += seen.removed
                one.removed_at = (
                    _moment(seen.removed_last[:_MOMENT_BYTES]) if seen.removed else None
                )
        self._add_refused(whole)
        self._add_failed(whole)
        return list(whole.values())

    def _counted(self, counts: bytes) -> tuple[int, int, int] | None:
        """Messages fetched, glanced at and removed; sessions mostly did the same as others."""
        if counts not in self._counts:
            match = _COUNTS.fullmatch(counts)
            self._counts[counts] = match and (int(match[1]), int(match[2]), int(match[3]))
        return self._counts[counts]

    def _add_refused(self, whole: dict[tuple[object, ...], Attendance]) -> None:
        for line in self._refusals:
            match = _REFUSAL.match(line)
            who = match and _named(match)
            if match and who:
                one = _one_of(whole, who, first=line, last=line, outcome=_why(match["why"]))
                if one:
                    one.sign_ins += int(match["count"])
                    one.session = _text(match["session"])

    def _add_failed(self, whole: dict[tuple[object, ...], Attendance]) -> None:
        connections = filter(None, map(_CONNECTION.match, self._connections))
        services = {match["session"]: match["service"] for match in connections}
        # Sessions whose app password is right and not for their network.
        elsewhere: set[bytes] = set()
        for match in filter(None, map(_FAILURE.match, self._failures)):
            session = match["session"]
            outcome = _how_it_failed(match, is_elsewhere=session in elsewhere)
            if match["network"]:
                elsewhere.add(session)
            address = _address(match["address"])
            if outcome is None or not address:
                continue
            elsewhere.discard(session)
            protocol = _PROTOCOLS[services.get(session, b"")]
            who = _Who(_text(match["user"]), protocol, "", address)
            one = _one_of(whole, who, first=match[0], last=match[0], outcome=outcome)
            if one:
                one.sign_ins += 1
                one.session = _text(session)


class _Who(NamedTuple):
    user: str
    protocol: str
    credential: str
    address: str
    has_tls: bool = False


def _how_it_failed(match: re.Match[bytes], *, is_elsewhere: bool) -> Outcome | None:
    """What a line says of a try, or None where another line says it."""
    if match["place"] == b"policy":
        return Outcome.THROTTLED if match["policy"] else None
    if match["place"] != b"mailbox" or match["network"]:
        return None
    return Outcome.WRONG_NETWORK if is_elsewhere else Outcome.WRONG_PASSWORD


def _one_of(
    whole: dict[tuple[object, ...], Attendance],
    who: _Who,
    *,
    first: bytes,
    last: bytes,
    outcome: Outcome = Outcome.SIGNED_IN,
) -> Attendance | None:
    """The attendance that lines belong to, which reaches from the first to the last of them."""
    first_at, last_at = _moment(first[:_MOMENT_BYTES]), _moment(last[:_MOMENT_BYTES])
    if first_at is None or last_at is None:
        return None
    hour_at = first_at.replace(minute=0, second=0)
    key = (*who[:4], hour_at, outcome)
    one = whole.get(key)
    if one is None:
        one = whole[key] = Attendance(*key, first_at, last_at)
    elif first_at < one.first_at:
        one.first_at = first_at
    one.last_at = max(one.last_at, last_at)
    return one


@lru_cache(maxsize=65_536)
def _who(pattern: re.Pattern[bytes], text: bytes) -> _Who | None:
    """Who it was; the same come again in every hour."""
    match = pattern.match(text)
    return _named(match) if match else None


def _named(match: re.Match[bytes]) -> _Who | None:
    named, address = match.groupdict(), _address(match["address"])
    if not address:
        return None
    return _Who(
        user=_text(named["user"]),
        protocol=_PROTOCOLS[named["service"]],
        credential=_text(named["device"]) or MAILBOX_PASSWORD,
        address=address,
        has_tls=named.get("tls") == b"TLS",
    )


def _session_of(line: bytes) -> str:
    """The session of a sign-in."""
    return _text(line[:_LONGEST_HEAD].partition(b"=<")[2].partition(b">")[0])


def _why(sentence: bytes) -> Outcome:
    """Of which kind a refusal is, by the sentence that the program was shown."""
    text = _text(sentence)
    return next((kind for words, kind in _KINDS if words.search(text)), Outcome.REFUSED)


@lru_cache(maxsize=8192)
def _moment(raw: bytes) -> datetime | None:
    if not _MOMENT.fullmatch(raw):
        return None
    try:
        return datetime.fromisoformat(raw.decode("ascii")).replace(tzinfo=UTC)
    except ValueError:  # There is no such day.
        return None


@lru_cache(maxsize=8192)
def _address(raw: bytes) -> str:
    """An address in its usual form, or nothing."""
    try:
        found = ip_address(raw.decode("ascii"))
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace")
