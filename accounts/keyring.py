"""Keys for programs: making, replacing and revoking them, and telling who holds one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q

from accounts import keys, outbox
from accounts.access import Actor, ActorKind, Capability, Forbidden
from accounts.compiled import CompiledQuery
from accounts.models import ApiKey, ApiKeyQuerySet, Event, Organisation, User, below, standing_of

USE_NOTED_EVERY = timedelta(minutes=1)
LONGEST_OVERLAP = timedelta(days=30)
LABEL_LENGTH = 120


class KeyRefused(Exception):
    """This secret opens nothing. `code` says why to a program."""

    code = "key-unknown"


class UnknownKey(KeyRefused):
    """Nobody was given this secret."""


class KeyExpired(KeyRefused):
    """The key was good for a time that is over."""

    code = "key-expired"


class KeyRevoked(KeyRefused):
    """Somebody revoked the key."""

    code = "key-revoked"


class OrganisationClosed(KeyRefused):
    """Whoever the key was made for is closed."""

    code = "organisation-closed"


class WrongNetwork(KeyRefused):
    """The key may be used from other addresses only."""

    code = "network-not-allowed"


class BeyondOwnReach(Exception):
    """A key cannot make one that may do more than itself, and nobody one for strangers."""


class BadKey(Exception):
    """What was asked for makes no key. `field` names what is wrong."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class KeyGone(Exception):
    """The key does not work any more, so it cannot be replaced."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A new key with its secret, which exists nowhere else."""

    api_key: ApiKey
    secret: str


@transaction.atomic
def make(
    *,
    actor: Actor,
    organisation: Organisation,
    label: str,
    scopes: Iterable[str],
    only_for: Sequence[Organisation] = (),
    networks: Iterable[str] = (),
    expires_at: datetime | None = None,
    is_test: bool = False,
    at: datetime,
) -> Made:
    """A new key for an organisation; the caller shows the secret once.

    A key acts as an owner, so only an owner makes one: staff make none for customers. Raises
    `BadKey`, `keys.UnknownScope`, `keys.BadNetwork`, `BeyondOwnReach` or `Forbidden`.
    """
    must_own(actor, organisation)
    draft = ApiKey(
        organisation=organisation,
        label=_label(label),
        is_test=is_test,
        scopes=_some_scopes(scopes),
        networks=keys.canonical_networks(networks),
        is_narrow=bool(only_for),
        expires_at=_expiry(expires_at, at=at),
        created_by=_person(actor),
        created_at=at,
    )
    _refuse_wider(actor, draft, only_for=only_for, at=at)
    return _store(draft, only_for=only_for, actor=actor, at=at)


def must_own(actor: Actor, organisation: Organisation) -> None:
    """Raise `Forbidden` unless the actor owns it; staff own the house, and no customer of it."""
    is_house = organisation.kind == Organisation.Kind.PROVIDER
    owner = actor if is_house or actor.kind is not ActorKind.USER else actor.as_member()
    owner.must(Capability.MANAGE_KEYS, lineage=organisation.lineage)


def _must_reach(actor: Actor, api_key: ApiKey) -> None:
    """A key for testing has no say over live ones, nor the other way round."""
    actor.must(Capability.MANAGE_KEYS, lineage=api_key.organisation.lineage)
    if actor.is_test not in {None, api_key.is_test}:
        message = "A key for testing and one for real work do not manage each other."
        raise Forbidden(message)


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or len(label) > LABEL_LENGTH:
        message = f"Give the key a name of at most {LABEL_LENGTH} characters."
        raise BadKey(message, field="label")
    return label


def _some_scopes(names: Iterable[str]) -> list[str]:
    scopes = keys.canonical_scopes(names)
    if not scopes:
        message = "Choose at least one thing that the key may do."
        raise BadKey(message, field="scopes")
    return scopes


def _expiry(expires_at: datetime | None, *, at: datetime) -> datetime | None:
    if expires_at is not None and expires_at <= at:
        message = "The key would have expired before it was made."
        raise BadKey(message, field="expires_at")
    return expires_at


def _person(actor: Actor) -> User | None:
    return User.objects.filter(pk=actor.id).first() if actor.kind is ActorKind.USER else None


def _refuse_wider(
    actor: Actor, draft: ApiKey, *, only_for: Sequence[Organisation], at: datetime
) -> None:
    """Organisations lie below the key's own; a key passes on no more than it has."""
    asked = {each.pk for each in only_for}
    reached = Organisation.objects.filter(_reach(draft), pk__in=asked)
    if asked.difference(reached.values_list("pk", flat=True)):
        message = "A key reaches its organisation and those below it that are in its mode."
        raise BeyondOwnReach(message)
    if actor.kind is ActorKind.API_KEY and _is_wider(draft, _own(actor, at=at), asked=asked):
        message = "A key cannot make another one that may do more than itself."
        raise BeyondOwnReach(message)


def _own(actor: Actor, *, at: datetime) -> ApiKey:
    """The key by which somebody acts. Its row stays locked, so none is made while it is revoked."""
    own = ApiKey.objects.select_for_update().get(uuid=actor.id)
    if not own.works(at=at):
        message = "The key that asked for this does not work any more."
        raise BeyondOwnReach(message)
    return own


def _is_wider(draft: ApiKey, own: ApiKey, *, asked: set[int]) -> bool:
    """Whether a new key could do anything that the key which makes it cannot."""
    within = set(own.narrowed_to.values_list("pk", flat=True))
    if own.is_narrow and not (draft.is_narrow and asked <= within):
        return True
    if own.networks and not (draft.networks and keys.covers(own.networks, draft.networks)):
        return True
    outlives = own.expires_at is not None and (
        draft.expires_at is None or draft.expires_at > own.expires_at
    )
    has_more = own.is_test != draft.is_test or not set(draft.scopes) <= set(own.scopes)
    return outlives or has_more


@transaction.atomic
def rotate(*, actor: Actor, api_key: ApiKey, overlap: timedelta, at: datetime) -> Made:
    """A new secret for the same rights; the old one works on until the overlap is over.

    Raises `KeyGone` unless the key still works and has no successor yet.
    """
    must_own(actor, api_key.organisation)
    _must_reach(actor, api_key)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        message = f"The old key can go on for {LONGEST_OVERLAP.days} days at most."
        raise BadKey(message, field="overlap_seconds")
    old = ApiKey.objects.select_for_update().get(pk=api_key.pk)
    if not old.works(at=at) or old.successor_id is not None:
        message = "This key does not work any more, or has been replaced already."
        raise KeyGone(message)
    draft = ApiKey(
        organisation=api_key.organisation,
        label=old.label,
        is_test=old.is_test,
        scopes=old.scopes,
        networks=old.networks,
        is_narrow=old.is_narrow,
        expires_at=old.expires_at,
        created_by=_person(actor),
        created_at=at,
    )
    # What has left the tree since is not passed on.
    only_for = list(old.narrowed_to.filter(_reach(old)))
    _refuse_wider(actor, draft, only_for=only_for, at=at)
    made = _store(draft, only_for=only_for, actor=actor, at=at)
    last = at + overlap
    old.successor = made.api_key
    old.expires_at = last if old.expires_at is None else min(last, old.expires_at)
    old.save(update_fields=["successor", "expires_at"])
    _record("api_key.rotated", old, actor=actor, at=at)
    return made


@transaction.atomic
def revoke(*, actor: Actor, api_key: ApiKey, with_made: bool = False, at: datetime) -> int:
    """Make a key worthless at once, if asked also those that were made with it.

    Returns how many keys ceased to work; saying it twice does no harm.
    """
    _must_reach(actor, api_key)
    count = _revoke_one(api_key, actor=actor, at=at)
    # One of them may have made another until it was revoked itself, so look until none is left.
    while with_made and (left := list(_working_made_with(api_key, actor))):
        for each in left:
            _must_reach(actor, each)
            count += _revoke_one(each, actor=actor, at=at)
    return count


def _working_made_with(api_key: ApiKey, actor: Actor) -> ApiKeyQuerySet:
    made = made_with(api_key).visible_to(actor).filter(revoked_at=None)
    return made.select_related("organisation__parent")


def _revoke_one(api_key: ApiKey, *, actor: Actor, at: datetime) -> int:
    count = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=at)
    if count:
        _record("api_key.revoked", api_key, actor=actor, at=at)
    return count


def made_with(api_key: ApiKey) -> ApiKeyQuerySet:
    """The keys that were made with a key, and with those in turn, as the events tell."""
    found: set[str] = set()
    makers = {str(api_key.uuid)}
    while makers:
        made = Event.objects.filter(
            kind="api_key.created", actor_kind=ActorKind.API_KEY, actor_id__in=makers
        )
        makers = set(made.values_list("subject_id", flat=True)) - found
        found |= makers
    return ApiKey.objects.filter(uuid__in=found)


# What each call needs to know of a key and of whose it is.
_OF_KEY = [field.attname for field in ApiKey._meta.concrete_fields]  # noqa: SLF001  # It is public.
_OF_OWNER = ["id", "kind", "state"]
_BY_DIGEST = CompiledQuery(
    lambda digests: ApiKey.objects.filter(digest__among=digests).values_list(
        *_OF_KEY, *(f"organisation__{name}" for name in _OF_OWNER)
    )
)


def authenticate(*, secret: str, address: str, at: datetime) -> ApiKey:
    """The key with this secret, if it may be used now and from `address`.

    Raises a `KeyRefused`.
    """
    if not keys.is_well_formed(secret):
        message = "This is not an API key."
        raise UnknownKey(message)
    api_key = _by_digest(keys.digest(secret))
    if api_key is None:
        message = "There is no such API key."
        raise UnknownKey(message)
    _refuse_if_over(api_key, at=at)
    if api_key.networks and not keys.is_inside(address, api_key.networks):
        message = "This API key cannot be used from this address."
        raise WrongNetwork(message)
    _note_use(api_key, address=address, at=at)
    return api_key


def _by_digest(digest: str) -> ApiKey | None:
    for row in _BY_DIGEST.rows(digests=[digest]):
        api_key = ApiKey.from_db(DEFAULT_DB_ALIAS, _OF_KEY, row[: len(_OF_KEY)])
        api_key.organisation = Organisation.from_db(
            DEFAULT_DB_ALIAS, _OF_OWNER, row[len(_OF_KEY) :]
        )
        return api_key
    return None


def _refuse_if_over(api_key: ApiKey, *, at: datetime) -> None:
    if api_key.revoked_at is not None:
        message = "This API key has been revoked."
        raise KeyRevoked(message)
    if not api_key.works(at=at):
        message = "This API key has expired."
        raise KeyExpired(message)
    if api_key.organisation.state == Organisation.State.CLOSED:
        message = "The organisation of this API key is closed."
        raise OrganisationClosed(message)


def _note_use(api_key: ApiKey, *, address: str, at: datetime) -> None:
    noted_at = api_key.last_used_at
    if noted_at is not None and at - noted_at < USE_NOTED_EVERY:
        return
    # A peer without an address, such as a socket in the file system, is noted as none.
    plain = keys.plain_address(address)
    source = None if plain is None else str(plain)
    ApiKey.objects.filter(pk=api_key.pk).update(last_used_at=at, last_used_from=source)


def actor_with(api_key: ApiKey) -> Actor:
    """The program that holds the key, as an actor. A narrow key costs one query."""
    reached = {api_key.organisation_id: api_key.organisation.kind}
    if api_key.is_narrow:
        narrowed = api_key.narrowed_to.filter(_reach(api_key))
        reached = dict(narrowed.values_list("pk", "kind"))
    return Actor(
        kind=ActorKind.API_KEY,
        id=str(api_key.uuid),
        name=str(api_key),
        roles=dict.fromkeys(reached, "owner"),
        scopes=frozenset(api_key.scopes),
        is_test=api_key.is_test,
        key_of=api_key.organisation_id,
        **standing_of(reached),
    )


def line_of(api_key: ApiKey) -> list[ApiKey]:
    """The key, those that it came to replace, and those that replaced it."""
    found = [api_key]
    while before := ApiKey.objects.filter(successor=found[0]).first():
        found.insert(0, before)
    while after := ApiKey.objects.filter(predecessor=found[-1]).first():
        found.append(after)
    return found


def _reach(api_key: ApiKey) -> Q:
    """The condition on organisations that lie in the key's tree and are in its mode."""
    whole = Actor(
        kind=ActorKind.API_KEY,
        id="",
        name="",
        roles={api_key.organisation_id: "owner"},
        is_test=api_key.is_test,
        **standing_of({api_key.organisation_id: api_key.organisation.kind}),
    )
    return below(whole)


def _store(draft: ApiKey, *, only_for: Sequence[Organisation], actor: Actor, at: datetime) -> Made:
    secret = keys.new_secret(is_test=draft.is_test)
    draft.digest = keys.digest(secret)
    draft.hint = secret[-keys.HINT_LENGTH :]
    draft.save(force_insert=True)
    draft.narrowed_to.set(only_for)
    _record("api_key.created", draft, actor=actor, at=at)
    return Made(api_key=draft, secret=secret)


def _record(kind: str, api_key: ApiKey, *, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=api_key.organisation,
        subject=api_key.subject,
        data=api_key.facts,
    )
