"""One fact as a document, the same in the feed and in a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from accounts import numbering
from accounts.models import Event
from hosting import public_ids
from hosting.feed.catalogue import TYPES, EventType, type_of

_NUMBER_BYTES = 8
_HIGHEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Names:
    """Public ids of what has no UUID: its row's key, enciphered, so that nobody counts with them.

    The prefix is enciphered with the key, so two kinds of things have no id in common.
    """

    key: bytes

    def encode(self, seq: int) -> str:
        """The public id of the event with this key."""
        return self.encode_of("evt", seq)

    def decode(self, text: str) -> int:
        """The key of the event with this public id; raises `public_ids.NoSuchId`."""
        return self.decode_of("evt", text)

    def encode_of(self, prefix: str, number: int) -> str:
        """The public id of the thing of this kind whose row has this key."""
        block = self._encryptor.update(_tag(prefix) + number.to_bytes(_NUMBER_BYTES, "big"))
        return public_ids.encode(prefix, UUID(bytes=block))

    def decode_of(self, prefix: str, text: str) -> int:
        """The key in a public id of this kind; raises `public_ids.NoSuchId`."""
        block = self._decryptor.update(public_ids.decode(prefix, text).bytes)
        number = int.from_bytes(block[_NUMBER_BYTES:], "big")
        if block[:_NUMBER_BYTES] != _tag(prefix) or number > _HIGHEST_KEY:
            message = f"No {public_ids.KINDS[prefix]} has this id."
            raise public_ids.NoSuchId(message)
        return number

    @cached_property
    def _encryptor(self) -> CipherContext:
        return self._cipher().encryptor()

    @cached_property
    def _decryptor(self) -> CipherContext:
        return self._cipher().decryptor()

    def _cipher(self) -> Cipher[ECB]:
        # Each id is one block of its own, so there are no blocks to be chained.
        return Cipher(AES(self.key), ECB())  # noqa: S305


def _tag(prefix: str) -> bytes:
    return prefix.encode().ljust(_NUMBER_BYTES, b"\0")


def names() -> Names:
    """The public ids of this installation."""
    return Names(bytes(numbering.counter().cipher_key))


def document(event: Event, *, names: Names) -> dict[str, Any] | None:
    """What the outside is told of a fact that has its place in the feed, or None.

    Load `organisation` with it. It says the same whenever it is asked.
    """
    name = type_of(event.kind, event.data)
    if name is None or not _is_whole(TYPES[name], event.data):
        return None
    return {
        "id": names.encode(event.seq),
        "type": name,
        "seq": event.position,
        "created_at": _moment(event.at),
        "organisation_id": public_ids.encode("org", event.organisation.uuid),
        "is_test": bool(event.organisation.is_test or event.data.get("is_test")),
        "data": _data(TYPES[name], event.data, subject=UUID(event.subject_id)),
    }


def body(document: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent; the same for the same document."""
    return orjson.dumps(document)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_whole(about: EventType, facts: Mapping[str, Any]) -> bool:
    """Facts that were recorded before the outside was told of them may lack an id."""
    return not about.id_from or bool(facts.get(about.id_from))


def _data(about: EventType, facts: Mapping[str, Any], *, subject: UUID) -> dict[str, Any]:
    own = UUID(facts[about.id_from]) if about.id_from else subject
    said: dict[str, Any] = {
        "object": about.object,
        "id": public_ids.encode(about.prefix, own),
    }
    if about.state:
        said["state"] = about.state
    if about.subject_as is not None:
        said[about.subject_as.name] = public_ids.encode(about.subject_as.prefix, subject)
    for recorded, named in about.ids.items():
        if facts.get(recorded):
            said[named.name] = public_ids.encode(named.prefix, UUID(facts[recorded]))
    said |= {name: facts[recorded] for recorded, name in about.says.items() if recorded in facts}
    return said | about.more(facts) if about.more else said
