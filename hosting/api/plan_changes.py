"""Another plan or protocol for a mailbox: what it costs and means, doing it, and the way back."""

from __future__ import annotations

from typing import Literal, TypedDict
from uuid import UUID

from django.conf import settings
from rest_framework import serializers

from hosting import changing, comparing, ordering, pricing, public_ids
from hosting.api import folder_previews
from hosting.api.contract import PREVIEW, Answer, Call, Match, operation
from hosting.api.cost_previews import MonthDocument, of_month
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag, Text
from hosting.api.folder_previews import AmountDocument, FolderPreviewDocument
from hosting.api.mailbox_documents import MailboxDocument, ProtocolName
from hosting.api.mailboxes import MAILBOX
from hosting.api.moments import Moment, optional
from hosting.api.problems import Problem, invalid
from hosting.changing import Proposal
from hosting.models import Plan, PlanChange
from mailstore.engine import EngineError, engine
from mailstore.models import Mailbox

REFUSED = ("wrong-state", "below-use", "limit-reached", "hold-active")


class TermsDocument(TypedDict):
    """What a mailbox gets."""

    plan: str
    protocol: ProtocolName
    quota_bytes: int
    window_days: int


class MailDocument(TypedDict):
    """What becomes of the mail that is there, as the mail server tells.

    `hidden` is what no POP program would show. `lost` can be brought back now, and not once the
    shorter window holds. `folders` says what goes by the rules within `horizon_days`; nothing
    of it goes before `rules_hold_from`.
    """

    hidden: AmountDocument
    may_gather: bool
    lost: AmountDocument
    going: AmountDocument
    horizon_days: int
    rules_hold_from: Moment
    folders: list[FolderPreviewDocument]


class PlanChangeDocument(TypedDict):
    """A change of plan as it would be, or as it was made.

    What makes mail less safe waits: until `safer_holds_until`, the safer of old and new holds.
    `mail` is null once the change is made, and while the mail server cannot be asked. Without the
    scope `invoices:read` the months are null.
    """

    object: Literal["plan_change"]
    mailbox_id: str
    is_preview: bool
    is_switch: bool
    before: TermsDocument
    after: TermsDocument
    this_month: MonthDocument | None
    full_month: MonthDocument | None
    safer_holds_until: Moment | None
    can_be_taken_back_until: Moment | None
    mail: MailDocument | None


class ChangePlanBody(Body):
    """The plan, and what is to be done where the protocol changes with it.

    `gathers` moves mail of folders that POP does not show into the inbox; `widens` lets every
    app password sign in by the new protocol.
    """

    plan = Text(max_length=50)
    gathers = Flag(required=False)
    widens = Flag(required=False)


class SwitchProtocolBody(Body):
    """The protocol; without a plan, the first one on sale with it."""

    protocol = serializers.ChoiceField(choices=Mailbox.Protocol.values)
    plan = Text(max_length=50, required=False)
    gathers = Flag(required=False)
    widens = Flag(required=False)


class PlanOfMailbox(Endpoint):
    """The plan that a mailbox is on."""

    @operation(
        name="change_plan",
        scope="mailboxes:write",
        takes=ChangePlanBody,
        gives=PlanChangeDocument,
        match=Match.REQUIRED,
        parameters=PREVIEW,
        problems=REFUSED,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Put a mailbox on another plan, or preview what that would do and cost."""
        return _change(call, mailbox, _plan(call.asked["plan"]))


class ProtocolOfMailbox(Endpoint):
    """How a mailbox is read."""

    @operation(
        name="switch_protocol",
        scope="mailboxes:write",
        takes=SwitchProtocolBody,
        gives=PlanChangeDocument,
        match=Match.REQUIRED,
        parameters=PREVIEW,
        problems=REFUSED,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Put a mailbox on a plan with the other protocol, or preview that."""
        found = MAILBOX.load(call, mailbox)
        protocol = call.asked["protocol"]
        if found.protocol == protocol:
            detail = f"{found} is read by {found.get_protocol_display()} already."
            raise Problem(code="wrong-state", detail=detail)
        plan = _plan(call.asked["plan"]) if "plan" in call.asked else _first(call, found, protocol)
        if plan.protocol != protocol:
            message = f"This plan is read by {plan.get_protocol_display()}."
            raise invalid("/plan", message)
        return _change(call, mailbox, plan)


class TakingBack(Endpoint):
    """The way back to the plan before the last change."""

    @operation(
        name="take_back_plan",
        scope="mailboxes:write",
        gives=MailboxDocument,
        match=Match.REQUIRED,
        problems=REFUSED,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Go back to the plan before the last change, as if there had been none."""
        found = _locked(call, mailbox)
        changing.take_back(actor=call.actor, mailbox=found, wait=settings.COOLING_OFF, at=call.now)
        return MAILBOX.answer(call, MAILBOX.load(call, mailbox))


def _plan(slug: str) -> Plan:
    plan = Plan.objects.filter(slug=slug).select_related("retention_policy").first()
    if plan is None:
        raise invalid("/plan", "There is no plan of this name.")
    return plan


def _first(call: Call, mailbox: Mailbox, protocol: str) -> Plan:
    offers = ordering.offers(pricing.list_for(mailbox.organisation), at=call.at)
    if protocol not in offers:
        detail = "No plan with this protocol is on sale here."
        raise Problem(code="wrong-state", detail=detail)
    return offers[protocol].plan


def _locked(call: Call, uuid: UUID) -> Mailbox:
    """The mailbox in the version that was meant; nothing that decides changes meanwhile."""
    return MAILBOX.locked(call, uuid, first=lambda mailbox: changing.lock(mailbox, at=call.at))


def _change(call: Call, uuid: UUID, plan: Plan) -> Answer:
    mailbox = MAILBOX.load(call, uuid) if call.is_preview else _locked(call, uuid)
    proposal = changing.propose(mailbox=mailbox, plan=plan, at=call.at)
    if call.is_preview:
        return Answer(document=_document(call, proposal, made=None))
    before = _before(proposal)
    made = changing.change(
        actor=call.actor,
        mailbox=mailbox,
        plan=plan,
        gathers=call.asked.get("gathers", False),
        widens=call.asked.get("widens", False),
        wait=settings.COOLING_OFF,
        at=call.now,
    )
    document = _document(call, proposal, made=made) | {"before": before}
    return Answer(document=document, etag=MAILBOX.version(call, MAILBOX.load(call, uuid)))


def _document(call: Call, proposal: Proposal, *, made: PlanChange | None) -> PlanChangeDocument:
    settled, later = proposal.settled, proposal.at + settings.COOLING_OFF
    return {
        "object": "plan_change",
        "mailbox_id": public_ids.encode("mbx", settled.contract.mailbox.uuid),
        "is_preview": made is None,
        "is_switch": settled.effect.is_switch,
        "before": _before(proposal),
        "after": {
            "plan": settled.plan.slug,
            "protocol": settled.effect.terms.protocol,  # type: ignore[typeddict-item]
            "quota_bytes": settled.effect.terms.quota_bytes,
            "window_days": settled.effect.terms.window_days,
        },
        "this_month": of_month(call, proposal.this_month),
        "full_month": of_month(call, proposal.full_month),
        "safer_holds_until": Moment(later) if settled.effect.waits else None,
        "can_be_taken_back_until": optional(made.undo_until if made else later),
        "mail": _mail(proposal) if made is None else None,
    }


def _before(proposal: Proposal) -> TermsDocument:
    settled = proposal.settled
    mailbox = settled.contract.mailbox
    return {
        "plan": settled.old_plan.slug,
        "protocol": mailbox.protocol,  # type: ignore[typeddict-item]
        "quota_bytes": mailbox.quota_bytes,
        "window_days": mailbox.window_days,
    }


def _mail(proposal: Proposal) -> MailDocument | None:
    try:
        found = comparing.letters(proposal, engine=engine(), wait=settings.COOLING_OFF)
    except EngineError:
        return None
    return {
        "hidden": {
            "message_count": sum(folder.messages for folder in found.hidden),
            "bytes": sum(folder.bytes for folder in found.hidden),
        },
        "may_gather": found.may_gather,
        "lost": {
            "message_count": len(found.lost),
            "bytes": sum(message.bytes for message in found.lost),
        },
        "going": {
            "message_count": found.preview.going,
            "bytes": found.preview.going_bytes,
        },
        "horizon_days": comparing.HORIZON.days,
        "rules_hold_from": Moment(found.rules_hold_from),
        "folders": folder_previews.documents(found.preview.folders),
    }
