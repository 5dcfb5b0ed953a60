"""One mailbox: shown, changed, stopped, let go on, closed and taken back."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.access import Capability
from hosting import changing, ordering
from hosting.api import cost_previews, mailboxes, pending_changes
from hosting.api.contract import PREVIEW, Answer, Call, Match, operation
from hosting.api.cost_previews import ClosingPreviewDocument
from hosting.api.endpoint import Endpoint
from hosting.api.mailbox_documents import MailboxDocument, documents, facts_for, facts_in
from hosting.api.mailboxes import MAILBOX, ChangeBody
from hosting.api.pending_changes import PendingChangeDocument
from hosting.api.problems import not_found
from mailstore import cooling, provisioning
from mailstore.models import Mailbox


class OneMailbox(Endpoint):
    """One mailbox."""

    @operation(
        name="get_mailbox",
        scope="mailboxes:read",
        gives=MailboxDocument,
        parameters={"expand": mailboxes.EXPAND.meaning},
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Show a mailbox."""
        found = facts_in(facts_for(call.actor).filter(uuid=mailbox))
        if not found:
            raise not_found()
        document = documents(found)[0]
        etag = MAILBOX.version_of(document)
        shown: dict[str, Any] = {**document}
        mailboxes.EXPAND(call, [shown])
        return Answer(document=shown, etag=etag)

    @operation(
        name="update_mailbox",
        scope="mailboxes:write",
        takes=ChangeBody,
        gives=MailboxDocument,
        problems=("quota-over-plan", "already-exists"),
    )
    def patch(self, call: Call, *, mailbox: UUID) -> Answer:
        """Change a mailbox's label, references and limit."""
        found = MAILBOX.locked(call, mailbox)
        mailboxes.change(call, found, call.asked)
        return MAILBOX.answer(call, found)

    @operation(
        name="delete_mailbox",
        scope="mailboxes:delete",
        gives=PendingChangeDocument,
        status=202,
        previews=ClosingPreviewDocument,
        parameters=PREVIEW,
        problems=("wrong-state", "hold-active"),
    )
    def delete(self, call: Call, *, mailbox: UUID) -> Answer:
        """Ask that a mailbox be closed, as `close` does."""
        return _ask_to_close(call, mailbox)


class Suspension(Endpoint):
    """The stop of signing in."""

    @operation(
        name="suspend_mailbox",
        scope="mailboxes:write",
        gives=MailboxDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Stop signing in at once. Mail goes on arriving, and nothing is removed."""
        found = MAILBOX.locked(call, mailbox)
        provisioning.suspend(actor=call.actor, mailbox=found, at=call.at, now=call.now)
        return MAILBOX.answer(call, found)


class Resumption(Endpoint):
    """The end of a suspension."""

    @operation(
        name="resume_mailbox",
        scope="mailboxes:write",
        gives=MailboxDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Let a suspended mailbox sign in again."""
        found = MAILBOX.locked(call, mailbox)
        provisioning.resume(actor=call.actor, mailbox=found, at=call.at)
        return MAILBOX.answer(call, found)


class Closing(Endpoint):
    """The wish that a mailbox be closed."""

    @operation(
        name="close_mailbox",
        scope="mailboxes:delete",
        gives=PendingChangeDocument,
        status=202,
        match=Match.REQUIRED,
        previews=ClosingPreviewDocument,
        parameters=PREVIEW,
        problems=("wrong-state", "hold-active"),
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Ask that a mailbox be closed. Until that takes effect, all goes on as before."""
        return _ask_to_close(call, mailbox)


def _ask_to_close(call: Call, uuid: UUID) -> Answer:
    """The change that waits. Asked for twice, it is the same one, from when it was asked first."""
    if call.is_preview:
        return _closing_foreseen(call, MAILBOX.load(call, uuid))
    change = cooling.ask_to_close(
        actor=call.actor,
        mailbox=MAILBOX.locked(call, uuid, first=mailboxes.lock_owner),
        grace=settings.CLOSING_GRACE,
        wait=settings.COOLING_OFF,
        at=call.at,
    )
    return pending_changes.accepted(change)


def _closing_foreseen(call: Call, mailbox: Mailbox) -> Answer:
    """What the bills would say with the closing and without it."""
    call.actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    if mailbox.state == Mailbox.State.CLOSING:
        message = f"{mailbox} is closing already."
        raise provisioning.WrongState(message)
    closes_at = call.at + settings.COOLING_OFF
    months = changing.cost_of_closing(mailbox=mailbox, closes_at=closes_at, at=call.at)
    document = cost_previews.of_closing(call, mailbox, months, closes_at=closes_at)
    return Answer(document=document, status=200)


class Restoration(Endpoint):
    """The way back from a closing."""

    @operation(
        name="restore_mailbox",
        scope="mailboxes:write",
        gives=MailboxDocument,
        match=Match.REQUIRED,
        problems=("wrong-state", "limit-reached"),
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Take a mailbox back that is closing, with all that is in it; it is charged again.

        It needs a place within the limits again, which another may have taken meanwhile.
        """
        # Limits are locked first everywhere.
        found = MAILBOX.locked(call, mailbox, first=partial(changing.lock, at=call.at))
        ordering.reopen(actor=call.actor, mailbox=found, at=call.at)
        return MAILBOX.answer(call, MAILBOX.load(call, mailbox))
