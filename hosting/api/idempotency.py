"""The same request sent again does nothing again, and is answered as the first time.

An answer is stored in the transaction that did the work, so there is either both or neither,
whatever is killed when. Two at once are kept apart by a lock that ends with the transaction.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.access import Actor
from hosting.api.problems import Problem, wrong_header
from hosting.models import KeptAnswer

LONGEST_KEY = 255


class AlreadyKept(Exception):
    """An answer to the same request was stored a moment ago, and that one counts."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request by its key. `organisation_id` is the API key's own, so its successor goes on."""

    organisation_id: int
    is_test: bool
    key: str
    fingerprint: str

    @property
    def digest(self) -> str:
        """What is stored of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()

    def own(self) -> dict[str, Any]:
        """By what its answer is found."""
        return {
            "organisation_id": self.organisation_id,
            "is_test": self.is_test,
            "key_digest": self.digest,
        }


def fingerprint(
    *, actor: Actor, method: str, path: str, query: Mapping[str, str], body: Any
) -> str:
    """What makes two requests the same one, however their JSON is laid out.

    It says how far the sender reaches: whoever may do less is not answered with what others got.
    """
    reach = [sorted(actor.organisation_ids), sorted(actor.scopes or ())]
    parts = [reach, method, path, sorted(query.items()), body]
    # This one takes whole numbers of any length, which are refused later, by their name.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def checked_key(text: str) -> str:
    """The key as it was sent; raises a problem for what is none."""
    if not 1 <= len(text) <= LONGEST_KEY or not text.isascii() or not text.isprintable():
        message = f"An Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters."
        raise wrong_header("Idempotency-Key", message)
    return text


def claim(request: Request) -> KeptAnswer | None:
    """The answer to the same request before, if there was one; call it in the transaction.

    Raises a problem while the first one is being worked on, or if it was another request.
    """
    if not _lock(request):
        raise in_flight()
    kept = KeptAnswer.objects.filter(**request.own()).first()
    if kept is not None and kept.fingerprint != request.fingerprint:
        detail = (
            "This Idempotency-Key was sent with another method, path or body before, "
            "or with an API key that may do something else."
        )
        raise Problem(code="idempotency-mismatch", detail=detail)
    return kept


def is_kept(request: Request) -> bool:
    """Whether a request with this key was answered before, so that nothing needs to be prepared."""
    return KeptAnswer.objects.filter(**request.own()).exists()


def in_flight() -> Problem:
    """The same request came before, and has no answer yet."""
    return wrong_header(
        "Idempotency-Key",
        "The first request with this Idempotency-Key is still being worked on.",
        code="idempotency-in-flight",
        headers={"Retry-After": "1"},
    )


def _lock(request: Request) -> bool:
    """Whether nobody else works on this request. SQLite lets one transaction write at a time."""
    if connection.vendor != "postgresql":
        return True
    name = f"{request.organisation_id}:{request.is_test}:{request.digest}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return bool(cursor.fetchone()[0])


def keep(
    request: Request, *, status: int, headers: Mapping[str, str], body: bytes, at: datetime
) -> None:
    """Store an answer, or raise `AlreadyKept`. It may hold a secret, so it is sealed.

    A refusal is stored after its transaction came to nothing, without the lock that went with
    it; so somebody who got the lock meanwhile may be faster, or slower.
    """
    try:
        with transaction.atomic():
            KeptAnswer.objects.create(
                **request.own(),
                fingerprint=request.fingerprint,
                status=status,
                headers=dict(headers),
                sealed_body=_seal(request).encrypt(body),
                created_at=at,
            )
    except IntegrityError as error:
        raise AlreadyKept from error


def body_of(kept: KeptAnswer, request: Request) -> bytes:
    """The body of a stored answer; raises a problem where its house key is gone."""
    try:
        return _seal(request).decrypt(bytes(kept.sealed_body))
    except InvalidToken as error:
        detail = (
            "This was answered before, and that answer cannot be opened any more. Look for what "
            "was made, by your own reference, before you send it with another Idempotency-Key."
        )
        raise Problem(code="idempotency-mismatch", detail=detail) from error


def _seal(request: Request) -> MultiFernet:
    """A cipher that nobody has without the sender's key, which is not stored.

    What was sealed under a former key of the house opens while that stands behind the new one.
    """
    house_keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(_derived(request, house_key)) for house_key in house_keys])


def _derived(request: Request, house_key: str) -> bytes:
    derived = HKDF(
        algorithm=SHA256(),
        length=32,
        salt=house_key.encode(),
        info=f"idempotency:{request.organisation_id}:{request.key}".encode(),
    ).derive(b"restante")
    return base64.urlsafe_b64encode(derived)
