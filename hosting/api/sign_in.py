"""How people sign in to a mailbox: by which passwords, who is guessing, and ending sessions."""

from __future__ import annotations

from typing import Literal, TypedDict
from uuid import UUID

from django.utils import timezone

from hosting import public_ids
from hosting.api import versions
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag
from hosting.api.mailboxes import MAILBOX
from hosting.api.moments import Moment
from mailstore import credentials, guessing
from mailstore.models import Mailbox

# Others do that, so it is no part of the version.
VOLATILE = ("guessing",)


class GuessingDocument(TypedDict):
    """Guesses at the mailbox password; all but `looked_at_count` were refused unseen."""

    since: Moment
    last_at: Moment
    try_count: int
    looked_at_count: int
    address_count: int


class SignInRulesDocument(TypedDict):
    """How people sign in. `guessing` is null unless somebody guesses, or did within the hour."""

    object: Literal["sign_in"]
    mailbox_id: str
    has_mailbox_password: bool
    app_passwords_only: bool
    guessing: GuessingDocument | None


class SignInBody(Body):
    """Whether app passwords alone open the mailbox."""

    app_passwords_only = Flag()


class SignIn(Endpoint):
    """How people sign in to one mailbox."""

    @operation(name="get_sign_in", scope="mailboxes:read", gives=SignInRulesDocument)
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Show how people sign in to a mailbox, and whether somebody is guessing its password."""
        return _answer(MAILBOX.load(call, mailbox))

    @operation(
        name="update_sign_in", scope="passwords:write", takes=SignInBody, gives=SignInRulesDocument
    )
    def patch(self, call: Call, *, mailbox: UUID) -> Answer:
        """Let app passwords alone open a mailbox, or its mailbox password again too.

        Switched on, open sessions end. Switched off, the owners are told.
        """
        found = MAILBOX.locked(call, mailbox, version=_version)
        if "app_passwords_only" in call.asked:
            credentials.require_app_passwords(
                actor=call.actor,
                mailbox=found,
                is_on=call.asked["app_passwords_only"],
                at=call.at,
                now=call.now,
            )
        return _answer(found)


class SessionsEnd(Endpoint):
    """The end of whatever sessions are open."""

    @operation(name="end_sessions", scope="passwords:write", gives=SignInRulesDocument)
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """End all open sessions within seconds; who has a good password comes back by it."""
        found = MAILBOX.locked(call, mailbox)
        credentials.end_sessions(actor=call.actor, mailbox=found, at=call.at, now=call.now)
        return _answer(found)


def _answer(mailbox: Mailbox) -> Answer:
    document = _document(mailbox)
    return Answer(document=document, etag=versions.etag(document, without=VOLATILE))


def _version(_call: Call, mailbox: Mailbox) -> str:
    return versions.etag(_document(mailbox), without=VOLATILE)


def _document(mailbox: Mailbox) -> SignInRulesDocument:
    # Guesses are made by the clock of the world, whatever clock the organisation lives by.
    spell = guessing.spell(mailbox, at=timezone.now())
    return {
        "object": "sign_in",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "has_mailbox_password": bool(mailbox.password_hash),
        "app_passwords_only": mailbox.app_passwords_only,
        "guessing": None if spell is None else _guessing(spell),
    }


def _guessing(spell: guessing.Spell) -> GuessingDocument:
    return {
        "since": Moment(spell.since),
        "last_at": Moment(spell.last_at),
        "try_count": spell.tries,
        "looked_at_count": spell.looked_at,
        "address_count": spell.addresses,
    }
