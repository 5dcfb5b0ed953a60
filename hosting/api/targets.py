"""What a body names by its id; a stranger's is pointed at like one that does not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Organisation
from hosting import public_ids
from hosting.api import loading
from hosting.api.contract import Call
from hosting.api.fields import Body, PublicId
from hosting.api.problems import invalid
from mailstore.models import Domain, Mailbox

Target = Organisation | Domain | Mailbox
_NAMES = ("organisation_id", "domain_id", "mailbox_id")


M = TypeVar("M", Organisation, Domain, Mailbox)


class TargetIds(TypedDict):
    """What something is about: one of the three, and the others are null."""

    organisation_id: str | None
    domain_id: str | None
    mailbox_id: str | None


class TargetBody(Body):
    """An organisation with all below it, a domain or a mailbox: exactly one of them."""

    organisation_id = PublicId("org", required=False)
    domain_id = PublicId("dom", required=False)
    mailbox_id = PublicId("mbx", required=False)


def named(call: Call) -> Target:
    """What a `TargetBody` names."""
    asked = [name for name in _NAMES if name in call.asked]
    if len(asked) != 1:
        message = f"Name exactly one of {', '.join(_NAMES)}."
        raise invalid("", message, code="one_of")
    uuid = call.asked[asked[0]]
    if asked == ["organisation_id"]:
        return organisation(call, uuid)
    return domain(call, uuid) if asked == ["domain_id"] else mailbox(call, uuid)


def own_organisation(call: Call) -> Organisation:
    """The key's own organisation, with those above it; a narrow key opens no other."""
    found = Organisation.objects.select_related("parent__parent")
    return found.get(pk=call.api_key.organisation_id)


def organisation_or_own(call: Call) -> Organisation:
    """The organisation that a body may name, or else the key's own."""
    if "organisation_id" in call.asked:
        return organisation(call, call.asked["organisation_id"])
    return own_organisation(call)


def organisation(call: Call, uuid: UUID) -> Organisation:
    """The organisation that a body names."""
    visible = Organisation.objects.visible_to(call.actor).select_related("parent")
    return _one(call, visible, uuid, noun="organisation", lives_in=lambda each: each)


def domain(call: Call, uuid: UUID) -> Domain:
    """The domain that a body names."""
    visible = Domain.objects.visible_to(call.actor).select_related("organisation__parent")
    return _one(call, visible, uuid, noun="domain", lives_in=lambda each: each.organisation)


def mailbox(call: Call, uuid: UUID) -> Mailbox:
    """The mailbox that a body names."""
    visible = Mailbox.objects.visible_to(call.actor).standing()
    people = visible.select_related("organisation__parent", "domain")
    return _one(call, people, uuid, noun="mailbox", lives_in=lambda each: each.organisation)


def _one(
    call: Call,
    rows: QuerySet[M],
    uuid: UUID,
    *,
    noun: str,
    lives_in: Callable[[M], Organisation],
) -> M:
    found = loading.one(call, rows, uuid, lives_in=lives_in)
    if found is None:
        pointer, message = f"/{noun}_id", f"There is no such {noun}, or none that you may use."
        raise invalid(pointer, message)
    return found


def owner_of(target: Target | None) -> Organisation:
    """The organisation that has it, by whose clock it lives."""
    assert target is not None  # noqa: S101  # Each row that says what it is about names one.
    return target if isinstance(target, Organisation) else target.organisation


def ids_of(
    *, organisation: Organisation | None, domain: Domain | None, mailbox: Mailbox | None
) -> TargetIds:
    """The three ids of a document about one of them; the others are null."""
    return {
        "organisation_id": public_ids.encode("org", organisation.uuid) if organisation else None,
        "domain_id": public_ids.encode("dom", domain.uuid) if domain else None,
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid) if mailbox else None,
    }
