"""The page about the mail server, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext

from mailstore import nodes
from mailstore.engine import engine
from mailstore.quotas import byte_text

_LEAST_FREE_PERCENT = 10
_CERTIFICATE_SOON = timedelta(days=14)
# The log is read every five seconds; so much is minutes of a busy server.
_MUCH_LAG_BYTES = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing about it; `is_bad` where somebody should do something."""

    name: str
    value: str
    note: str = ""
    is_bad: bool = False


def context(*, at: datetime) -> dict[str, Any]:
    """Everything that the page shows, as of a moment."""
    node = nodes.look(engine=engine())
    return {
        "title": gettext("Mail server"),
        "at": at,
        "node": node,
        "facts": [*_running(node, at=at), *_room(node), *_following(node, at=at)],
    }


def _elsewhere() -> str:
    return gettext("not known on this machine")


def _running(node: nodes.Node, *, at: datetime) -> list[Fact]:
    return [
        Fact(name=gettext("Version"), value=node.version or _elsewhere()),
        Fact(
            name=gettext("Running for"),
            value=timesince(node.started_at, at) if node.started_at else _elsewhere(),
        ),
        Fact(
            name=gettext("Signed in"),
            value=intcomma(node.sessions),
            note=gettext("sessions of mail programs"),
        ),
        _certificate(node, at=at),
    ]


def _certificate(node: nodes.Node, *, at: datetime) -> Fact:
    ends_at = node.certificate_ends_at
    name = gettext("Certificate")
    if ends_at is None:
        return Fact(name=name, value=gettext("not shown"), is_bad=True)
    if ends_at <= at:
        return Fact(name=name, value=gettext("expired"), note=f"{ends_at:%Y-%m-%d}", is_bad=True)
    return Fact(
        name=name,
        value=gettext("%(time)s left") % {"time": timeuntil(ends_at, at, depth=1)},
        note=gettext("until %(day)s") % {"day": f"{ends_at:%Y-%m-%d}"},
        is_bad=ends_at - at < _CERTIFICATE_SOON,
    )


def _room(node: nodes.Node) -> list[Fact]:
    room = node.room
    if room is None:
        return [Fact(name=gettext("Disk"), value=_elsewhere())]
    names = gettext("Disk"), gettext("Inodes")
    pairs = (room.free_bytes, room.bytes), (room.free_inodes, room.inodes)
    texts = byte_text(room.free_bytes), intcomma(room.free_inodes)
    return [
        Fact(
            name=name,
            value=gettext("%(free)s free") % {"free": text},
            note=gettext("%(percent)s %% of all") % {"percent": _percent(*pair)},
            # Some file systems make inodes as they need them, and tell of none.
            is_bad=pair[1] > 0 and _percent(*pair) < _LEAST_FREE_PERCENT,
        )
        for name, text, pair in zip(names, texts, pairs, strict=True)
        if pair[1]
    ]


def _percent(free: int, whole: int) -> int:
    return 100 * free // whole if whole else 0


def _following(node: nodes.Node, *, at: datetime) -> list[Fact]:
    lag, sweep = node.log_lag_bytes, node.last_sweep
    return [
        Fact(
            name=gettext("Log not read yet"),
            value=_elsewhere() if lag is None else byte_text(lag),
            is_bad=lag is not None and lag > _MUCH_LAG_BYTES,
        ),
        Fact(
            name=gettext("Last full sweep"),
            value=(
                gettext("%(time)s ago") % {"time": timesince(sweep.finished_at, at, depth=1)}
                if sweep and sweep.finished_at
                else gettext("never yet")
            ),
        ),
    ]
