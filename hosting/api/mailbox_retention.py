"""What holds for one mailbox: each folder's rule with its reason, and the safeguards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypedDict
from uuid import UUID

from django.conf import settings

from accounts.access import Capability
from hosting import public_ids
from hosting.api import cost_previews, folder_previews, mailboxes, pending_changes, versions
from hosting.api.contract import PREVIEW, Answer, Call, operation
from hosting.api.cost_previews import SavingDocument
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag, Whole
from hosting.api.folder_previews import AmountDocument
from hosting.api.listing import LONGEST_VALUE
from hosting.api.mailboxes import MAILBOX
from hosting.api.moments import Moment
from hosting.api.pending_changes import PendingChangeDocument
from hosting.api.problems import wrong_parameter
from hosting.api.retention_rules import CountedFromName
from mailstore import cooling, policy, previewing, retention, thresholds
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox, PendingChange

# Beyond that the tripwire would never fire; what else makes no sense the verb refuses.
_MOST = 1_000_000
# What the thresholds are called here.
_SHOWN_AS = {
    "messages": "message_count",
    "percent": "percent",
    "minutes": "minutes",
    "fewest": "least_message_count",
}


class FolderRuleDocument(TypedDict):
    """When mail leaves one folder; `days` is null where nothing is removed. `sentence` says why."""

    folder: str
    days: int | None
    counted_from: CountedFromName
    sentence: str


class TripwireDocument(TypedDict):
    """It fires at so many messages, or such a share of the mailbox, removed within minutes.

    Fewer than `least_message_count` never fire it, whatever share of a mailbox or folder they are.
    `has_own_thresholds` is false where all of them come from the plan.
    """

    is_on: bool
    message_count: int
    percent: int
    minutes: int
    least_message_count: int
    has_own_thresholds: bool


class MailboxRetentionDocument(TypedDict):
    """What holds for one mailbox.

    `former_policy` also holds until a change of plan has cooled off: mail goes by the safer.
    """

    object: Literal["mailbox_retention"]
    mailbox_id: str
    policy: str
    former_policy: str | None
    window_days: int
    tripwire: TripwireDocument
    folders: list[FolderRuleDocument]


class RetentionOutcome(TypedDict):
    """What holds now, and what waits because it makes mail less safe."""

    object: Literal["outcome"]
    holds_now: bool
    pending_changes: list[PendingChangeDocument]
    retention: MailboxRetentionDocument


class RetentionPreviewOfMailbox(TypedDict):
    """What another window would do; a tripwire removes nothing and costs nothing.

    `going_now` is the removed mail that is gone for good by `takes_effect_at` as it is, `going`
    what is gone by then with the other window; both are null while the mail server cannot be asked.
    Removed mail that can be brought back is not charged, so `monthly_savings` has no amount; it
    needs the scope `invoices:read`.
    """

    object: Literal["mailbox_retention_preview"]
    mailbox_id: str
    window_days: int
    takes_effect_at: Moment
    going_now: AmountDocument | None
    going: AmountDocument | None
    monthly_savings: list[SavingDocument] | None


class TripwireBody(Body):
    """The switch, and the mailbox's own thresholds; null stands for what the plan says.

    What is left out stays, as in all of a merge patch.
    """

    is_on = Flag(required=False)
    message_count = Whole(min_value=1, max_value=_MOST, allow_null=True, required=False)
    percent = Whole(min_value=1, max_value=100, allow_null=True, required=False)
    minutes = Whole(min_value=1, max_value=_MOST, allow_null=True, required=False)
    least_message_count = Whole(min_value=1, max_value=_MOST, allow_null=True, required=False)


class SafeguardsBody(Body):
    """For how long removed mail can be brought back, and the tripwire."""

    window_days = Whole(min_value=1, max_value=policy.LONGEST_DAYS)
    tripwire = TripwireBody()


class MailboxRetention(Endpoint):
    """What holds for the mail of one mailbox."""

    @operation(
        name="get_mailbox_retention",
        scope="retention:read",
        gives=MailboxRetentionDocument,
        parameters={"folder": "Only this folder, whether or not the mailbox has it."},
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """Show each folder's rule and its reason, the window and the tripwire."""
        document = _document(MAILBOX.load(call, mailbox))
        if "folder" in call.query:
            document["folders"] = [_asked_folder(call, mailbox)]
            return Answer(document=document)
        return Answer(document=document, etag=versions.etag(document))

    @operation(
        name="update_mailbox_retention",
        scope="retention:write",
        takes=SafeguardsBody,
        gives=RetentionOutcome,
        may_wait=True,
        previews=RetentionPreviewOfMailbox,
        parameters=PREVIEW,
    )
    def patch(self, call: Call, *, mailbox: UUID) -> Answer:
        """Change the window and the tripwire: 202 if some of it waits, since it is less safe.

        A preview says what another window would do.
        """
        if call.is_preview:
            return _foreseen(call, MAILBOX.load(call, mailbox))
        found = MAILBOX.locked(
            call,
            mailbox,
            first=mailboxes.lock_owner,
            version=lambda _call, each: versions.etag(_document(each)),
        )
        waiting = [
            change
            for change in (_ask_window(call, found), *_ask_tripwire(call, found))
            if change is not None
        ]
        document: RetentionOutcome = {
            "object": "outcome",
            "holds_now": not waiting,
            "pending_changes": [pending_changes.document(change) for change in waiting],
            "retention": _document(MAILBOX.load(call, mailbox)),
        }
        return Answer(document=document, status=202 if waiting else 200)


def _foreseen(call: Call, mailbox: Mailbox) -> Answer:
    """What would be gone for good on the day on which another window takes effect."""
    call.actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    days = call.asked.get("window_days", mailbox.window_days)
    wait = settings.COOLING_OFF if days < mailbox.window_days else timedelta(0)
    document: RetentionPreviewOfMailbox = {
        "object": "mailbox_retention_preview",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "window_days": days,
        "takes_effect_at": Moment(call.at + wait),
        "going_now": _gone_for_good(mailbox, mailbox.window_days, at=call.now + wait),
        "going": _gone_for_good(mailbox, days, at=call.now + wait),
        # Nothing of what a window ends was charged.
        "monthly_savings": cost_previews.savings(call, {}),
    }
    return Answer(document=document)


def _gone_for_good(mailbox: Mailbox, window_days: int, *, at: datetime) -> AmountDocument | None:
    try:
        found = previewing.of_window(
            mailbox=mailbox, window_days=window_days, engine=engine(), at=at
        )
    except EngineError:
        return None
    return folder_previews.amount(found)


def _ask_window(call: Call, mailbox: Mailbox) -> PendingChange | None:
    days = call.asked.get("window_days", mailbox.window_days)
    if days == mailbox.window_days:
        return None
    return cooling.ask_window(
        actor=call.actor,
        mailbox=mailbox,
        window_days=days,
        wait=settings.COOLING_OFF,
        at=call.at,
        now=call.now,
    )


def _ask_tripwire(call: Call, mailbox: Mailbox) -> list[PendingChange | None]:
    asked = call.asked.get("tripwire", {})
    wait, found = settings.COOLING_OFF, []
    is_on = asked.get("is_on", mailbox.tripwire_off_at is None)
    if is_on != (mailbox.tripwire_off_at is None):
        found.append(
            cooling.ask_tripwire(
                actor=call.actor, mailbox=mailbox, is_on=is_on, wait=wait, at=call.at
            )
        )
    own = _own_thresholds(mailbox)
    chosen = {name: asked.get(_SHOWN_AS[name], value) for name, value in own.items()}
    if chosen != own:
        found.append(
            cooling.ask_thresholds(
                actor=call.actor,
                target=mailbox,
                **chosen,
                wait=wait,
                at=call.at,
            )
        )
    return found


def _document(mailbox: Mailbox) -> MailboxRetentionDocument:
    layers = retention.layers_of(mailbox)
    former = mailbox.former_policy
    return {
        "object": "mailbox_retention",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "policy": retention.policy_of(mailbox).slug,
        "former_policy": former.slug if former else None,
        "window_days": mailbox.window_days,
        "tripwire": _tripwire(mailbox),
        "folders": [
            _folder(retention.decide(mailbox, name, layers)) for name in _names(mailbox, layers)
        ],
    }


def _names(mailbox: Mailbox, layers: list[policy.Layer]) -> list[str]:
    """The folders that every such mailbox has, and those that a rule names."""
    named = {rule.folder for layer in layers for rule in layer.rules}
    usual = ["INBOX", *mailbox.special_folders]
    special = {policy.EVERY_FOLDER, *policy.SPECIAL_USES.values(), *usual}
    return [*usual, *sorted(named - special)]


def _asked_folder(call: Call, mailbox: UUID) -> FolderRuleDocument:
    name = call.query["folder"]
    if not (name.isprintable() and 0 < len(name) <= LONGEST_VALUE):
        raise wrong_parameter("folder", "This is no folder's name.")
    found = MAILBOX.load(call, mailbox)
    return _folder(retention.decide(found, name, retention.layers_of(found)))


def _folder(decision: policy.Decision) -> FolderRuleDocument:
    return {
        "folder": decision.folder,
        "days": decision.days,
        "counted_from": decision.counted_from.value,
        "sentence": decision.sentence,
    }


def _tripwire(mailbox: Mailbox) -> TripwireDocument:
    found = thresholds.of(mailbox)
    return {
        "is_on": mailbox.tripwire_off_at is None,
        "message_count": found.messages,
        "percent": found.percent,
        "minutes": found.minutes,
        "least_message_count": found.fewest,
        "has_own_thresholds": any(each is not None for each in _own_thresholds(mailbox).values()),
    }


def _own_thresholds(mailbox: Mailbox) -> dict[str, int | None]:
    return {name: getattr(mailbox, f"trip_{name}") for name in _SHOWN_AS}
