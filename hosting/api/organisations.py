"""Organisations: a reseller's customers, and what is known of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from accounts.models import Organisation, OrganisationQuerySet
from hosting import capping, limits, pricing, public_ids, reselling
from hosting.api import targets
from hosting.api.contract import Answer, Call, Match, operation
from hosting.api.endpoint import Endpoint
from hosting.api.expanding import Expansion
from hosting.api.fields import Body, ClearableText, Flag, Text, Whole, bytes_count
from hosting.api.filters import by_id
from hosting.api.listing import Filter, Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.problems import invalid
from hosting.models import Limits
from mailstore import sign_in_policy
from mailstore.models import PendingChange

_HIGHEST = 2**31 - 1
_MOST_MINOR = 2**53
# These change by themselves, so they are no part of the version.
VOLATILE = ("use", "state", "state_since")


class LimitsDocument(TypedDict):
    """How far an organisation may go with all below it; null stands for no limit.

    `spend_cap_minor` was set from above and `own_spend_cap_minor` by itself, for a month before
    tax, in the currency that it buys in.
    """

    mailbox_count: int | None
    domain_count: int | None
    stored_bytes: int | None
    spend_cap_minor: int | None
    own_spend_cap_minor: int | None


class OrganisationUseDocument(TypedDict):
    """How far a customer has gone, as it was counted a short time ago."""

    mailbox_count: int
    domain_count: int
    stored_bytes: int


class OrganisationDocument(TypedDict):
    """Who owns domains and mailboxes, which begin with its `app_passwords_only`.

    `parent_id` is null where it is not one of the key's.
    """

    object: Literal["organisation"]
    id: str
    kind: Literal["provider", "reseller", "customer"]
    name: str
    external_ref: str
    parent_id: str | None
    mode: Literal["live", "test"]
    state: Literal["active", "past_due", "suspended", "closed"]
    state_since: Moment | None
    closes_at: Moment | None
    limits: LimitsDocument
    use: OrganisationUseDocument | None
    app_passwords_only: bool
    created_at: Moment


class LimitsBody(Body):
    """Null stands for no limit; what is left out stays."""

    mailbox_count = Whole(min_value=0, max_value=_HIGHEST, allow_null=True, required=False)
    domain_count = Whole(min_value=0, max_value=_HIGHEST, allow_null=True, required=False)
    stored_bytes = bytes_count(allow_null=True, required=False)
    spend_cap_minor = Whole(min_value=0, max_value=_MOST_MINOR, allow_null=True, required=False)


class NewCustomerBody(Body):
    """A new customer. Its owner, if one is named, is invited by a letter."""

    name = Text(max_length=120)
    external_ref = Text(max_length=120, required=False, allow_blank=True)
    owner_email = Text(max_length=254, required=False)
    app_passwords_only = Flag(required=False)
    limits = LimitsBody(required=False)


class CustomerBody(Body):
    """What can be changed of a customer; null clears the reference."""

    name = Text(max_length=120)
    external_ref = ClearableText(max_length=120)
    app_passwords_only = Flag()
    limits = LimitsBody()


class ReasonBody(Body):
    """Why, in the customer's own audit trail."""

    reason = Text(max_length=500)


def rows(call: Call) -> OrganisationQuerySet:
    """The key's organisations with their limits and figures."""
    visible = Organisation.objects.visible_to(call.actor)
    return visible.select_related("parent__parent", "limits", "figures")


def documents(call: Call, found: Sequence[Organisation]) -> list[OrganisationDocument]:
    """Organisations that `rows` gave, in one more query."""
    closing = _closings(found)
    return [_document(call, each, closes_at=closing.get(each.pk)) for each in found]


def _closings(found: Sequence[Organisation]) -> dict[int, datetime]:
    waiting = PendingChange.objects.waiting().filter(
        kind=PendingChange.Kind.CLOSE_ALL, organisation__in=found
    )
    return dict(waiting.values_list("organisation_id", "effective_at"))


def _document(
    call: Call, organisation: Organisation, *, closes_at: datetime | None
) -> OrganisationDocument:
    return {
        "object": "organisation",
        "id": public_ids.encode("org", organisation.uuid),
        "kind": cast("Any", organisation.kind),
        "name": organisation.name,
        "external_ref": organisation.external_ref,
        "parent_id": _parent_id(call, organisation),
        "mode": "test" if organisation.is_test else "live",
        "state": cast("Any", organisation.state),
        "state_since": optional(organisation.state_since),
        "closes_at": optional(closes_at),
        "limits": _limits(getattr(organisation, "limits", None) or Limits()),
        "use": _use(organisation),
        "app_passwords_only": organisation.app_passwords_only,
        "created_at": Moment(organisation.created_at),
    }


def _shown(call: Call, organisation: Organisation) -> OrganisationDocument:
    return documents(call, [organisation])[0]


def _parent_id(call: Call, organisation: Organisation) -> str | None:
    parent = organisation.parent
    is_own = parent is not None and bool(set(parent.lineage) & call.actor.organisation_ids)
    return public_ids.encode("org", parent.uuid) if parent and is_own else None


def _limits(most: Limits) -> LimitsDocument:
    return {
        "mailbox_count": most.mailboxes,
        "domain_count": most.domains,
        "stored_bytes": most.stored_bytes,
        "spend_cap_minor": most.spend_cap_minor,
        "own_spend_cap_minor": most.own_cap_minor,
    }


def _use(organisation: Organisation) -> OrganisationUseDocument | None:
    figures = getattr(organisation, "figures", None)
    if figures is None:
        return None
    return {
        "mailbox_count": figures.mailboxes,
        "domain_count": figures.domains,
        "stored_bytes": figures.stored_bytes,
    }


ORGANISATION: Things[Organisation] = Things(
    rows=rows,
    lives_in=lambda organisation: organisation,
    locks=Organisation.objects.select_for_update(no_key=True),
    document=_shown,
    volatile=VOLATILE,
)
load = ORGANISATION.load


def _beside(call: Call, uuids: Collection[UUID]) -> list[OrganisationDocument]:
    return documents(call, list(rows(call).filter(uuid__in=uuids)))


EXPANSION = Expansion(prefix="org", scope="organisations:read", read=_beside)
ORGANISATIONS: Listing[Organisation] = Listing(
    shown=list,
    document=OrganisationDocument,
    sorts={"created": ("pk",), "name": ("name", "pk")},
    filters={
        "parent_id": by_id("org", "parent__uuid", "Below one seller."),
        "state": Filter(
            meaning="By state.",
            condition=lambda text: Q(state=text),
            choices=tuple(Organisation.State.values),
        ),
        "external_ref": Filter(
            meaning="The one with your own reference.",
            condition=lambda text: Q(external_ref=text),
        ),
    },
)


class Organisations(Endpoint):
    """All organisations."""

    @operation(name="list_organisations", scope="organisations:read", lists=ORGANISATIONS)
    def get(self, call: Call) -> Answer:
        """List organisations."""
        return ORGANISATIONS.page(call, rows(call), shown=lambda found: documents(call, found))

    @operation(
        name="create_organisation",
        scope="organisations:write",
        takes=NewCustomerBody,
        gives=OrganisationDocument,
        status=201,
        problems=("already-exists", "wrong-state"),
    )
    def post(self, call: Call) -> Answer:
        """Open a customer below the organisation of the key.

        A test key opens customers for testing: they have a clock of their own and cost nothing.
        """
        asked = call.asked
        customer = reselling.open_customer(
            actor=call.actor,
            reseller=targets.own_organisation(call),
            name=asked["name"],
            owner_email=asked.get("owner_email"),
            external_ref=asked.get("external_ref", ""),
            is_test=call.api_key.is_test,
            at=call.at,
        )
        _set_terms(call, customer)
        return ORGANISATION.created(call, load(call, customer.uuid), below="organisations")


class OneOrganisation(Endpoint):
    """One organisation."""

    @operation(name="get_organisation", scope="organisations:read", gives=OrganisationDocument)
    def get(self, call: Call, *, organisation: UUID) -> Answer:
        """Show an organisation."""
        return ORGANISATION.answer(call, load(call, organisation))

    @operation(
        name="update_organisation",
        scope="organisations:write",
        takes=CustomerBody,
        gives=OrganisationDocument,
        match=Match.REQUIRED,
        problems=("already-exists",),
    )
    def patch(self, call: Call, *, organisation: UUID) -> Answer:
        """Change a customer's name, reference and limits, and how new mailboxes are opened.

        Limits decide what may be spent, so the version that is meant must be named.
        """
        asked = call.asked
        # Limits are locked first everywhere.
        first = (lambda each: limits.lock_rows([each])) if "limits" in asked else None
        found = ORGANISATION.locked(call, organisation, first=first)
        if {"name", "external_ref"} & asked.keys():
            reselling.rename(
                actor=call.actor,
                customer=found,
                name=asked.get("name", found.name),
                external_ref=asked.get("external_ref", found.external_ref),
                at=call.at,
            )
        _set_terms(call, found)
        return ORGANISATION.answer(call, load(call, organisation))

    @operation(
        name="close_organisation",
        scope="organisations:write",
        gives=OrganisationDocument,
        status=202,
        problems=("wrong-state", "hold-active"),
    )
    def delete(self, call: Call, *, organisation: UUID) -> Answer:
        """Ask for the end of a customer.

        It begins at `closes_at`, is announced to the customer's owners, and can be called off by
        them, or taken back by `keep`. `Location` leads to its operation.
        """
        found = ORGANISATION.locked(call, organisation)
        change = reselling.close(
            actor=call.actor, customer=found, wait=settings.COOLING_OFF, at=call.at
        )
        where = f"/api/v1/operations/{public_ids.encode('opn', change.uuid)}"
        return replace(ORGANISATION.answer(call, load(call, organisation)), location=where)


class Suspension(Endpoint):
    """Stopping a customer."""

    @operation(
        name="suspend_organisation",
        scope="organisations:write",
        takes=ReasonBody,
        gives=OrganisationDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, organisation: UUID) -> Answer:
        """Stop signing in and sending. Mail still arrives, and nothing is removed."""
        reason = call.asked["reason"]
        found = ORGANISATION.locked(call, organisation)
        reselling.suspend(actor=call.actor, customer=found, reason=reason, at=call.now)
        return ORGANISATION.answer(call, load(call, organisation))


class Resumption(Endpoint):
    """Letting a customer go on."""

    @operation(
        name="resume_organisation",
        scope="organisations:write",
        takes=ReasonBody,
        gives=OrganisationDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, organisation: UUID) -> Answer:
        """Take back what `suspend` stopped, and only that."""
        reason = call.asked["reason"]
        found = ORGANISATION.locked(call, organisation)
        reselling.resume(actor=call.actor, customer=found, reason=reason, at=call.now)
        return ORGANISATION.answer(call, load(call, organisation))


class Keeping(Endpoint):
    """Taking an end back."""

    @operation(
        name="keep_organisation",
        scope="organisations:write",
        gives=OrganisationDocument,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, organisation: UUID) -> Answer:
        """Take a closing back, as long as nothing was erased."""
        found = ORGANISATION.locked(call, organisation)
        reselling.keep(actor=call.actor, customer=found, at=call.now)
        return ORGANISATION.answer(call, load(call, organisation))


def _set_terms(call: Call, customer: Organisation) -> None:
    is_on = call.asked.get("app_passwords_only")
    if is_on is not None:
        sign_in_policy.set_default(actor=call.actor, organisation=customer, is_on=is_on, at=call.at)
    _set_limits(call, customer, call.asked.get("limits", {}))


def _set_limits(call: Call, customer: Organisation, asked: Mapping[str, Any]) -> None:
    now = getattr(customer, "limits", None) or Limits()
    counts = {"mailbox_count", "domain_count", "stored_bytes"}
    if counts & asked.keys():
        reselling.set_limits(
            actor=call.actor,
            customer=customer,
            mailboxes=asked.get("mailbox_count", now.mailboxes),
            domains=asked.get("domain_count", now.domains),
            stored_bytes=asked.get("stored_bytes", now.stored_bytes),
            at=call.at,
        )
    if "spend_cap_minor" in asked:
        _set_cap(call, customer, asked["spend_cap_minor"])


def _set_cap(call: Call, customer: Organisation, cap_minor: int | None) -> None:
    try:
        currency = pricing.list_for(customer).currency
    except pricing.NoPrice as error:
        raise invalid("/limits/spend_cap_minor", "Nothing has a price yet.") from error
    capping.set_above(
        actor=call.actor,
        organisation=customer,
        cap_minor=cap_minor,
        currency=currency,
        at=call.at,
    )
