"""How app passwords are shown: without their secret, but once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from hosting import public_ids
from hosting.api.moments import Moment, optional
from mailstore.credentials import Issued
from mailstore.models import AppPassword

PROTOCOLS = ("pop", "imap")


class AppPasswordDocument(TypedDict):
    """A secret for one device, without the secret. No `networks` mean from anywhere."""

    object: Literal["app_password"]
    id: str
    mailbox_id: str
    label: str
    protocols: list[Literal["pop", "imap"]]
    networks: list[str]
    created_at: Moment
    revoked_at: Moment | None


class NewAppPasswordDocument(AppPasswordDocument):
    """The same with the secret, which is shown this once."""

    secret: str


def documents(found: Sequence[AppPassword]) -> list[AppPasswordDocument]:
    """App passwords whose mailbox was loaded with them."""
    return [document(each) for each in found]


def document(password: AppPassword) -> AppPasswordDocument:
    allowed = {"pop": password.allows_pop, "imap": password.allows_imap}
    return {
        "object": "app_password",
        "id": public_ids.encode("pwd", password.uuid),
        "mailbox_id": public_ids.encode("mbx", password.mailbox.uuid),
        "label": password.label,
        "protocols": [name for name in PROTOCOLS if allowed[name]],  # type: ignore[misc]
        "networks": password.networks,
        "created_at": Moment(password.created_at),
        "revoked_at": optional(password.revoked_at),
    }


def shown_once(issued: Issued | None) -> NewAppPasswordDocument | None:
    """A new app password with its secret."""
    if issued is None:
        return None
    return {**document(issued.app_password), "secret": issued.secret}
