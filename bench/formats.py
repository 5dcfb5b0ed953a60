"""Dovecot's two formats of many-mailbox storage: how fast each removes, and what repair costs."""

from __future__ import annotations

import subprocess
from typing import Any

from bench import homes, house
from bench.report import Row
from mailstore.models import Mailbox
from tests.factories import make_mailbox

MESSAGES = 4_000
HALF = MESSAGES // 2
_STORE = ".EXPUNGED/INBOX"


def measure() -> list[Row]:
    domain = house.cast().domain
    with house.dovecot() as ours, house.dovecot(_as_mdbox) as other:
        single, many = homes.mailboxes(domain, "box", 1)[0], _unprepared(domain)
        sdbox, mdbox = _figures(ours, single), _figures(other, many)
    return [
        Row(
            bench="formats",
            name=f"mdbox beside sdbox: {name}",
            unit=unit,
            value=value,
            reference=beside,
        )
        for (name, unit, value), (_name, _unit, beside) in zip(mdbox, sdbox, strict=True)
    ]


def _as_mdbox(server: Any) -> None:
    """The store must share the files of the mailbox, or a move would copy."""
    house.rewrite(server, "dovecot.conf", "sdbox:~/mail", "mdbox:~/mail")
    store = "mdbox:~/mail:MAILBOXDIR=expunged:LISTINDEX=expunged.list.index"
    house.rewrite(server, "dovecot.conf", "sdbox:~/expunged", store)


def _unprepared(domain: Any) -> Mailbox:
    """A mailbox whose home the other server makes, in its own format."""
    return make_mailbox(domain, "many", is_ready=False)


def _figures(server: Any, mailbox: Mailbox) -> list[tuple[str, str, float]]:
    user = mailbox.address
    homes.fill(server, mailbox, messages=MESSAGES)
    homes.doveadm(server, "flags", "add", "-u", user, "\\Flagged", "mailbox", "INBOX", "all")
    homes.doveadm(server, "mailbox", "create", "-u", user, _STORE)
    moved = homes.doveadm(
        server, "move", "-u", user, _STORE, "mailbox", "INBOX", "uid", f"1:{HALF}"
    )
    expunged = homes.doveadm(server, "expunge", "-u", user, "mailbox", _STORE, "all")
    before = _stored_bytes(mailbox)
    compacted = homes.doveadm(server, "purge", "-u", user)
    after = _stored_bytes(mailbox)
    # The second half should be in the inbox now, and nothing else anywhere.
    left = _guids(server, user)
    _damage(mailbox)
    repaired = homes.doveadm(server, "force-resync", "-u", user, "*")
    back = _guids(server, user)
    return [
        ("moved into the store", "/s", HALF / moved),
        ("removed from it for good", "/s", HALF / expunged),
        ("the same with the space given back", "/s", HALF / (expunged + compacted)),
        ("an index lost and made anew", "/s", HALF / repaired),
        ("bytes left by the compaction, of those before", "", after / before),
        (f"messages in the inbox before, where {HALF} should be", "", len(left)),
        ("messages in the inbox after that", "", len(back)),
        ("different ones among them", "", len(set(back))),
        ("of these not there before", "", len(set(back) - set(left))),
        ("of them with their flags", "", _count(server, user, "FLAGGED")),
    ]


def _damage(mailbox: Mailbox) -> None:
    """Lose every index, as a crash of the disk would; the mail itself is there."""
    lost = list(homes.home(mailbox).rglob("dovecot*.index*"))
    assert lost
    for path in lost:
        path.unlink()


def _stored_bytes(mailbox: Mailbox) -> int:
    """What the files of messages take; indexes and caches are not among them."""
    mail = [path for path in homes.home(mailbox).rglob("[mu].*") if path.is_file()]
    return sum(path.stat().st_size for path in mail)


def _guids(server: Any, user: str) -> list[str]:
    """The GUID of each message in the inbox: one that stands there twice is there twice."""
    query = ["fetch", "-u", user, "guid", "mailbox", "INBOX", "all"]
    found = subprocess.run(
        ["doveadm", "-c", server.main_file, *query], check=True, capture_output=True
    )
    lines = found.stdout.decode().splitlines()
    return [line.removeprefix("guid: ") for line in lines if line.startswith("guid: ")]


def _count(server: Any, user: str, what: str) -> float:
    found = subprocess.run(
        ["doveadm", "-c", server.main_file, "search", "-u", user, "mailbox", "INBOX", what],
        check=True,
        capture_output=True,
    )
    return len(found.stdout.splitlines())
