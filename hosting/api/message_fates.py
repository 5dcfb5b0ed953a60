"""When one message goes, and why."""

from __future__ import annotations

from typing import Literal, TypedDict
from uuid import UUID

from hosting import public_ids
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.listing import LONGEST_VALUE
from hosting.api.mailboxes import MAILBOX
from hosting.api.moments import Moment, optional
from hosting.api.problems import not_found, wrong_parameter
from mailstore import fates
from mailstore.engine import engine

# RFC 3501, section 9: a uid has 32 bits, and none is 0.
_HIGHEST_UID = 2**32 - 1


class MessageFateDocument(TypedDict):
    """One message of a folder. `goes_at` is null where it stays; `sentence` says why.

    `stopped_text` says what keeps it although it is due, such as a hold, and is null otherwise.
    """

    object: Literal["message_fate"]
    mailbox_id: str
    folder: str
    uid: int
    message_id: str
    bytes: int
    arrived_at: Moment
    goes_at: Moment | None
    sentence: str
    stopped_text: str | None


class MessageFate(Endpoint):
    """When one message goes."""

    @operation(
        name="get_message_fate",
        scope="retention:read",
        gives=MessageFateDocument,
        parameters={
            "folder": "The folder that the message lies in.",
            "uid": "Its number there, as IMAP has it.",
        },
        problems=("backend-unavailable",),
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Say when a message goes by the rules, and why. Both parameters are needed."""
        found = MAILBOX.load(call, mailbox)
        folder = call.query.get("folder", "")
        if not (folder.isprintable() and 0 < len(folder) <= LONGEST_VALUE):
            raise wrong_parameter("folder", "This is no folder's name.")
        uid = call.whole("uid", default=0, lowest=1, highest=_HIGHEST_UID)
        try:
            fate = fates.of_message(
                mailbox=found, engine=engine(), folder=folder, uid=uid, at=call.now
            )
        except fates.NoSuchMessage as refusal:
            raise not_found() from refusal
        document: MessageFateDocument = {
            "object": "message_fate",
            "mailbox_id": public_ids.encode("mbx", found.uuid),
            "folder": folder,
            "uid": uid,
            "message_id": fate.message.message_id,
            "bytes": fate.message.bytes,
            "arrived_at": Moment(fate.message.saved_at),
            "goes_at": optional(fate.goes_at),
            "sentence": fate.sentence,
            "stopped_text": fates.stopped_text(found) or None,
        }
        return Answer(document=document)
