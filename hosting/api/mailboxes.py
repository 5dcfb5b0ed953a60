"""Mailboxes as programs see and order them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.access import Actor
from hosting import ordering, quoting
from hosting.api import cost_previews, devices, domains, expanding, organisations, targets
from hosting.api.contract import PREVIEW, Answer, Call, operation
from hosting.api.cost_previews import OrderPreviewDocument
from hosting.api.endpoint import Endpoint
from hosting.api.expanding import Expansion
from hosting.api.fields import (
    Body,
    ClearableText,
    LabelChanges,
    Labels,
    PublicId,
    Text,
    bytes_count,
)
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Filter, Listing
from hosting.api.loading import Things
from hosting.api.mailbox_documents import (
    STANDING,
    VOLATILE,
    MailboxDocument,
    NewMailboxDocument,
    documents,
    documents_of_new,
    facts_for,
    facts_in,
    facts_of,
    with_plan,
)
from hosting.api.problems import invalid
from hosting.models import Plan
from mailstore import credentials, provisioning, standing
from mailstore.models import Mailbox
from mailstore.models.mailboxes import MailboxQuerySet

# What a document needs beside the row itself.
PEOPLE = ("organisation__parent", "domain", "retention_policy")


def rows(actor: Actor) -> MailboxQuerySet:
    """The actor's mailboxes, saying on which plan they are."""
    return with_plan(Mailbox.objects.visible_to(actor))


def _shown(_call: Call, mailbox: Mailbox) -> MailboxDocument:
    return documents([facts_of(mailbox)])[0]


# An erased mailbox is absent.
MAILBOX: Things[Mailbox] = Things(
    rows=lambda call: rows(call.actor).standing().select_related(*PEOPLE),
    lives_in=lambda mailbox: mailbox.organisation,
    locks=Mailbox.objects.select_for_update(),
    document=_shown,
    volatile=VOLATILE,
)
load = MAILBOX.load


def lock_owner(mailbox: Mailbox) -> None:
    """For verbs that lock the organisation, which comes first everywhere."""
    standing.lock(mailbox.organisation)


EXPAND = expanding.of(organisation=organisations.EXPANSION, domain=domains.EXPANSION)
MAILBOXES: Listing[Mailbox] = Listing(
    read=facts_in,
    shown=documents,
    document=MailboxDocument,
    expand=EXPAND,
    sorts={"created": ("pk",), "address": ("address", "pk")},
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Of one organisation."),
        "domain_id": by_id("dom", "domain__uuid", "Of one domain."),
        "protocol": by_choice("protocol", Mailbox.Protocol.values, "By protocol."),
        "state": by_choice("state", STANDING, "By state."),
        "address": Filter(
            meaning="The one with this address.", condition=lambda text: Q(address=text.lower())
        ),
        "external_ref": Filter(
            meaning="Those with your own reference.", condition=lambda text: Q(external_ref=text)
        ),
    },
)


def _beside(call: Call, uuids: Collection[UUID]) -> list[MailboxDocument]:
    return documents(facts_in(facts_for(call.actor).filter(uuid__in=uuids)))


EXPANSION = Expansion(prefix="mbx", scope="mailboxes:read", read=_beside)


class NewAppPasswordBody(Body):
    """The device that an app password is for."""

    label = Text(max_length=80)  # type: ignore[assignment]  # named like an attribute


class OrderBody(Body):
    """What a new mailbox is to be. With `app_password`, one is made and shown this once."""

    domain_id = PublicId("dom")
    local_part = Text(max_length=64)
    plan = Text(max_length=50)
    label = Text(  # type: ignore[assignment]  # named like an attribute of serializers
        max_length=120, required=False, allow_blank=True
    )
    external_ref = Text(max_length=120, required=False, allow_blank=True)
    labels = Labels(required=False)
    quota_bytes = bytes_count(required=False)
    app_password = NewAppPasswordBody(required=False)


class ChangeBody(Body):
    """What can be changed of a mailbox by itself; null clears what can be empty."""

    label = ClearableText(max_length=120)  # type: ignore[assignment]  # named like an attribute
    external_ref = ClearableText(max_length=120)
    labels = LabelChanges()
    quota_bytes = bytes_count()


class Mailboxes(Endpoint):
    """All mailboxes."""

    @operation(name="list_mailboxes", scope="mailboxes:read", lists=MAILBOXES)
    def get(self, call: Call) -> Answer:
        """List mailboxes."""
        return MAILBOXES.page(call, facts_for(call.actor))

    @operation(
        name="create_mailbox",
        scope="mailboxes:write",
        takes=OrderBody,
        gives=NewMailboxDocument,
        status=201,
        previews=OrderPreviewDocument,
        parameters=PREVIEW,
        problems=(
            "address-taken",
            "already-exists",
            "limit-reached",
            "quota-over-plan",
            "wrong-state",
        ),
    )
    def post(self, call: Call) -> Answer:
        """Order a mailbox, or preview what it would cost. It can sign in and receive at once.

        With `app_password`, one is made for a first device; this needs `passwords:write` too. A
        preview shows amounts to keys with the scope `invoices:read`.
        """
        asked = call.asked
        if call.is_preview:
            return _quoted(call)
        mailbox = ordering.order(
            actor=call.actor,
            domain=targets.domain(call, asked["domain_id"]),
            local_part=asked["local_part"],
            plan=_plan(asked["plan"]),
            label=asked.get("label", ""),
            external_ref=asked.get("external_ref", ""),
            labels=asked.get("labels"),
            quota_bytes=asked.get("quota_bytes"),
            at=call.at,
        )
        mailbox.organisation = mailbox.domain.organisation
        mailbox.plan_slug = asked["plan"]  # type: ignore[attr-defined]
        shown = documents_of_new([facts_of(mailbox)])[0]
        where = f"/api/v1/mailboxes/{shown['id']}"
        document = {**shown, "app_password": _first_device(call, mailbox)}
        return Answer(document=document, location=where, etag=MAILBOX.version_of(shown))


def _quoted(call: Call) -> Answer:
    """What the order would cost, or why it would be refused."""
    asked, plan = call.asked, _plan(call.asked["plan"])
    if "app_password" in asked:
        call.must_have("passwords:write")
    quote = quoting.order(
        actor=call.actor,
        domain=targets.domain(call, asked["domain_id"]),
        local_part=asked["local_part"],
        plan=plan,
        external_ref=asked.get("external_ref", ""),
        quota_bytes=asked.get("quota_bytes"),
        at=call.at,
    )
    return Answer(document=cost_previews.of_order(call, quote, plan=plan), status=200)


def _first_device(call: Call, mailbox: Mailbox) -> devices.NewAppPasswordDocument | None:
    device = call.asked.get("app_password")
    if device is None:
        return None
    call.must_have("passwords:write")
    issued = credentials.issue(actor=call.actor, mailbox=mailbox, label=device["label"], at=call.at)
    return devices.shown_once(issued)


def _plan(slug: str) -> Plan:
    plan = Plan.objects.on_sale().filter(slug=slug).first()
    if plan is None:
        raise invalid("/plan", "No plan of this name is on sale.")
    return plan


def change(call: Call, mailbox: Mailbox, asked: Mapping[str, Any]) -> None:
    """Change what was sent of `ChangeBody`."""
    words = {name: value for name, value in asked.items() if name != "quota_bytes"}
    if "labels" in words:
        words["labels"] = _merged(mailbox.labels, words["labels"])
    provisioning.describe(actor=call.actor, mailbox=mailbox, at=call.at, **words)
    if "quota_bytes" in asked:
        ordering.change_limit(
            actor=call.actor,
            mailbox=mailbox,
            quota_bytes=asked["quota_bytes"],
            at=call.at,
            now=call.now,
        )


def _merged(labels: Mapping[str, str], changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """What a merge patch (RFC 7396) makes of labels; None takes all of them away."""
    if changes is None:
        return {}
    merged = {name: text for name, text in {**labels, **changes}.items() if text is not None}
    if len(merged) > Labels.MOST:
        raise invalid("/labels", f"A mailbox has at most {Labels.MOST} labels.")
    return merged
