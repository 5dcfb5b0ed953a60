"""Lines as Dovecot 2.3.19 was seen to write them, with the configuration that is rendered here."""

from __future__ import annotations

PHONE = "9433ea996ed14482ab9ae9e5777dae85"
WORDS = {
    "user": "hello@alder.test",
    "day": "2026-11-30",
    "at": "09:41:41",
    "service": "imap",
    "session": "sN+XN3th8IV/AAAB",
    "address": "198.51.100.7",
    "device": PHONE,
    "tls": "TLS, ",
}


def login(**words: str) -> str:
    """A sign-in; `device` is empty for the mailbox password."""
    return (
        "{day}T{at} {service}-login: Info: Login: session=<{session}>, rip={address}, "
        "device=<{device}>, why=<>, mailbox=<{user}>, {tls}user=<{user}>\n"
    ).format_map(WORDS | words)


def ended(counts: str, *, how: str = "Logged out", **words: str) -> str:
    """The end of a session."""
    return (
        "{day}T{at} {service}({user})<26008><{session}><{address}><{device}>: Info: Disconnected: "
    ).format_map(WORDS | {"service": "pop3", "at": "09:42:10"} | words) + f"{how} {counts}\n"


def fetched(messages: int, *, removed: int = 0, **words: str) -> str:
    """The end of a POP session."""
    told = f"top=0/0, retr={messages}/393, del={removed}/9, size=754"
    return ended(f"fetched={messages} glanced=0 removed={removed}; {told}", **words)


def failed(why: str = "Password mismatch", **words: str) -> str:
    """A wrong password."""
    words = WORDS | {"address": "203.0.113.9", "session": "a/b"} | words
    return (
        "{day}T{at} auth-worker(26007): Info: conn unix:auth-worker (pid=26002,uid=999): "
        "auth-worker<28>: mailbox({user},{address},<{session}>): "
    ).format_map(words) + f"{why}\n"


def held_back(**words: str) -> str:
    """A try that the guard refused."""
    return (
        "{day}T{at} auth: Info: policy({user},{address},<{session}>): "
        "Authentication failure due to policy server refusal\n"
    ).format_map(WORDS | {"address": "203.0.113.9", "session": "a/b"} | words)


def refused(why: str, *, count: int = 1, **words: str) -> str:
    """The right password, and a sentence why it does not do."""
    words = WORDS | {"why": why, "count": str(count)} | words
    return (
        "{day}T{at} {service}-login: Info: Disconnected: Aborted login by logging out (internal "
        "failure, {count} successful auths): session=<{session}>, rip={address}, "
        "device=<{device}>, why=<{why}>, mailbox=<{user}>, {tls}user=<{user}>\n"
    ).format_map(words)
