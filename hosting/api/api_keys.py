"""API keys: a key with `keys:write` makes others that may do no more than itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Literal, TypedDict
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers

from accounts import keyring
from accounts.access import Actor
from accounts.keys import SCOPES
from accounts.models import ApiKey, Organisation
from hosting import public_ids
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag, PublicId, Text, Whole
from hosting.api.fields import Moment as MomentField
from hosting.api.filters import by_id
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.problems import invalid

_DAY_SECONDS = 86_400
# It changes by itself, so it is no part of the version.
VOLATILE = ("last_used_at", "last_used_from")


class ApiKeyDocument(TypedDict):
    """A key without its secret. `only_for` is null if it reaches all below its organisation.

    `last_used_from` is told to keys of its own organisation alone.
    """

    object: Literal["api_key"]
    id: str
    organisation_id: str
    label: str
    ends_with: str
    mode: Literal["live", "test"]
    scopes: list[str]
    only_for: list[str] | None
    networks: list[str]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    last_used_from: str | None


class NewApiKeyDocument(ApiKeyDocument):
    """The same with the secret, which is shown this once."""

    secret: str


class NewKeyBody(Body):
    """What a new key may do. Left out, the organisation is the key's own."""

    organisation_id = PublicId("org", required=False)
    label = Text(max_length=keyring.LABEL_LENGTH)  # type: ignore[assignment]  # like an attribute
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES), min_length=1, max_length=len(SCOPES)
    )
    only_for = serializers.ListField(child=PublicId("org"), required=False, max_length=100)
    networks = serializers.ListField(child=Text(max_length=50), required=False, max_length=50)
    expires_at = MomentField(required=False, allow_null=True)
    is_test = Flag(required=False)


class RotateBody(Body):
    """How long the old secret goes on."""

    overlap_seconds = Whole(
        min_value=0,
        max_value=keyring.LONGEST_OVERLAP.days * _DAY_SECONDS,
        required=False,
    )


def documents(found: Sequence[ApiKey], *, reader: Actor) -> list[ApiKeyDocument]:
    """Keys that `rows` gave, as this reader may know them."""
    return [_document(each, reader=reader) for each in found]


def _document(key: ApiKey, *, reader: Actor) -> ApiKeyDocument:
    only_for = [public_ids.encode("org", each.uuid) for each in key.narrowed_to.all()]
    return {
        "object": "api_key",
        "id": public_ids.encode("key", key.uuid),
        "organisation_id": public_ids.encode("org", key.organisation.uuid),
        "label": key.label,
        "ends_with": key.hint,
        "mode": "test" if key.is_test else "live",
        "scopes": key.scopes,
        "only_for": only_for if key.is_narrow else None,
        "networks": key.networks,
        "created_at": Moment(key.created_at),
        "expires_at": optional(key.expires_at),
        "revoked_at": optional(key.revoked_at),
        "last_used_at": optional(key.last_used_at),
        "last_used_from": key.used_from(reader),
    }


def rows(call: Call) -> QuerySet[ApiKey]:
    """The keys of the key's organisations, in its mode."""
    visible = ApiKey.objects.visible_to(call.actor).select_related("organisation__parent__parent")
    return visible.prefetch_related("narrowed_to")


# Keys open the real doors, so they live by the real time, whosever they are.
API_KEY: Things[ApiKey] = Things(
    rows=rows,
    lives_in=lambda _key: None,
    locks=ApiKey.objects.select_for_update(),
    document=lambda call, key: _document(key, reader=call.actor),
    volatile=VOLATILE,
)
# What is shown of a key depends on who reads, so each page says how.
API_KEYS: Listing[ApiKey] = Listing(
    shown=list,
    document=ApiKeyDocument,
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Of one organisation."),
    },
)


class ApiKeys(Endpoint):
    """All keys."""

    @operation(name="list_api_keys", scope="keys:write", lists=API_KEYS)
    def get(self, call: Call) -> Answer:
        """List keys, revoked ones as well."""
        shown = partial(documents, reader=call.actor)
        return API_KEYS.page(call, rows(call), shown=shown)

    @operation(
        name="create_api_key",
        scope="keys:write",
        takes=NewKeyBody,
        gives=NewApiKeyDocument,
        status=201,
    )
    def post(self, call: Call) -> Answer:
        """Make a key. It may do no more than the key that makes it; its secret is shown once."""
        asked = call.asked
        made = keyring.make(
            actor=call.actor,
            organisation=_organisation(call, asked.get("organisation_id")),
            label=asked["label"],
            scopes=asked["scopes"],
            only_for=_organisations(call, asked.get("only_for", [])),
            networks=asked.get("networks", []),
            expires_at=asked.get("expires_at"),
            is_test=asked.get("is_test", call.api_key.is_test),
            at=call.at,
        )
        return _shown_once(call, made)


class OneApiKey(Endpoint):
    """One key."""

    @operation(name="get_api_key", scope="keys:write", gives=ApiKeyDocument)
    def get(self, call: Call, *, key: UUID) -> Answer:
        """Show a key."""
        return API_KEY.answer(call, API_KEY.load(call, key))

    @operation(name="revoke_api_key", scope="keys:write", gives=ApiKeyDocument)
    def delete(self, call: Call, *, key: UUID) -> Answer:
        """Revoke a key: it is worthless at once."""
        found = API_KEY.locked(call, key)
        keyring.revoke(actor=call.actor, api_key=found, at=call.at)
        return API_KEY.answer(call, API_KEY.load(call, key))


class ApiKeyRotation(Endpoint):
    """A new secret for a key."""

    @operation(
        name="rotate_api_key",
        scope="keys:write",
        takes=RotateBody,
        gives=NewApiKeyDocument,
        status=201,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, key: UUID) -> Answer:
        """Replace a key by one with the same rights; the old one goes on for the overlap."""
        overlap = timedelta(seconds=call.asked.get("overlap_seconds", _DAY_SECONDS))
        found = API_KEY.locked(call, key)
        made = keyring.rotate(actor=call.actor, api_key=found, overlap=overlap, at=call.at)
        return _shown_once(call, made)


def _shown_once(call: Call, made: keyring.Made) -> Answer:
    return API_KEY.created(call, made.api_key, below="api-keys", more={"secret": made.secret})


def _organisation(call: Call, uuid: UUID | None) -> Organisation:
    if uuid is None:
        return call.api_key.organisation
    found = _visible(call, [uuid])
    if not found:
        raise invalid("/organisation_id", "There is no such organisation, or none of yours.")
    return found[0]


def _organisations(call: Call, uuids: Sequence[UUID]) -> list[Organisation]:
    found = _visible(call, uuids)
    if len(found) != len(set(uuids)):
        raise invalid("/only_for", "There is no such organisation, or none of yours.")
    return found


def _visible(call: Call, uuids: Sequence[UUID]) -> list[Organisation]:
    visible = Organisation.objects.visible_to(call.actor).select_related("parent__parent")
    return list(visible.filter(uuid__in=uuids))
