"""How things are named outside: a typed prefix and a UUID (`mbx_0f…`), never a row's key."""

from __future__ import annotations

import re
from uuid import UUID

# What each prefix stands for. Plans have none: whoever sells them gives each a word of its own,
# which orders name.
KINDS = {
    "alm": "alarm",
    "blk": "bulk request",
    "chg": "pending change",
    "crn": "credit note",
    "dev": "device",
    "dom": "domain",
    "dun": "course of dunning",
    "evt": "event",
    "exp": "export",
    "hld": "hold",
    "imp": "import",
    "inv": "invoice",
    "ivt": "invitation",
    "key": "API key",
    "mbx": "mailbox",
    "mem": "member",
    "ntc": "letter",
    "opn": "operation",
    "org": "organisation",
    "pay": "payment",
    "prc": "price",
    "prg": "purge run",
    "prl": "price list",
    "pwd": "app password",
    "rst": "restore run",
    "rtp": "retention rule",
    "sub": "statement",
    "usr": "person",
    "vat": "VAT rate",
    "vis": "visit",
    "whd": "webhook delivery",
    "whe": "webhook endpoint",
}
PATTERN = "[0-9a-f]{32}"


class NoSuchId(Exception):
    """The text is no id of this kind."""


def encode(prefix: str, uuid: UUID) -> str:
    """The public id of a thing."""
    return f"{prefix}_{uuid.hex}"


def decode(prefix: str, text: str) -> UUID:
    """The UUID in a public id of one kind; raises `NoSuchId`."""
    if re.fullmatch(f"{prefix}_{PATTERN}", text) is None:
        message = f"{text[:60]!r} is no id of a {KINDS[prefix]}."
        raise NoSuchId(message)
    return UUID(text.removeprefix(f"{prefix}_"))
