"""What a mail program signs in with: app passwords, and an optional mailbox password."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from argon2 import PasswordHasher
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from accounts import keys, notices, outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import holding
from mailstore.models import AppPassword, Mailbox

# 28 characters out of 32 are 140 bits. No l, o, 0 or 1: people read these from a screen.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS = 4
_GROUP_LENGTH = 7

# OWASP's smallest Argon2id: 19 MiB, two passes. On PostgreSQL Dovecot checks hashes in one
# process, where Django's 100 MiB would hold up every sign-in on the machine.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class NoProtocol(ValidationError):
    """An app password must be good for something."""


class Revoked(Exception):
    """This app password opens nothing any more, so nothing about it can be changed."""


class AppPasswordsOnly(Exception):
    """No mailbox password opens this mailbox, so there is no use in setting one."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """By which protocols an app password may be used, and from where; no networks: everywhere.

    `networks` are in the form of `keys.canonical_networks`.
    """

    allows_pop: bool = True
    allows_imap: bool = True
    networks: tuple[str, ...] = ()

    @classmethod
    def of(cls, app_password: AppPassword) -> Reach:
        """The reach that an app password has."""
        return cls(
            allows_pop=app_password.allows_pop,
            allows_imap=app_password.allows_imap,
            networks=tuple(app_password.networks),
        )

    def goes_beyond(self, other: Reach) -> bool:
        """Whether it lets somebody in whom the other does not."""
        more_protocols = (self.allows_pop and not other.allows_pop) or (
            self.allows_imap and not other.allows_imap
        )
        if more_protocols or not other.networks:
            return more_protocols
        return not self.networks or not keys.covers(other.networks, self.networks)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A new app password with its secret, which exists nowhere else."""

    app_password: AppPassword
    secret: str


def new_secret() -> str:
    """A random secret of 140 bits in four groups."""
    # 256 is a multiple of 32, so that each character is as likely as any other.
    random = secrets.token_bytes(_GROUPS * _GROUP_LENGTH)
    text = "".join(_ALPHABET[octet % len(_ALPHABET)] for octet in random)
    return "-".join(text[i : i + _GROUP_LENGTH] for i in range(0, len(text), _GROUP_LENGTH))


def digest(secret: str) -> str:
    """What is stored and compared: SHA-256 in lower-case hexadecimal, as Dovecot computes it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def draft(
    *,
    mailbox: Mailbox,
    label: str,
    allows_pop: bool,
    allows_imap: bool,
    networks: Iterable[str] = (),
    at: datetime,
) -> Issued:
    """An unsaved app password and its secret; raises `keys.BadNetwork`."""
    secret = new_secret()
    app_password = AppPassword(
        mailbox=mailbox,
        label=label,
        digest=digest(secret),
        allows_pop=allows_pop,
        allows_imap=allows_imap,
        allow_nets=",".join(keys.canonical_networks(networks)),
        created_at=at,
    )
    return Issued(app_password=app_password, secret=secret)


@transaction.atomic
def issue(
    *,
    actor: Actor,
    mailbox: Mailbox,
    label: str,
    allows_pop: bool = True,
    allows_imap: bool = True,
    networks: Iterable[str] = (),
    at: datetime,
) -> Issued:
    """A new app password for one device; the caller shows the secret once.

    Raises `NoProtocol` or `keys.BadNetwork`.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    _need_a_protocol(allows_pop=allows_pop, allows_imap=allows_imap)
    issued = draft(
        mailbox=mailbox,
        label=label,
        allows_pop=allows_pop,
        allows_imap=allows_imap,
        networks=networks,
        at=at,
    )
    issued.app_password.save(force_insert=True)
    _record(
        "app_password.created", mailbox=mailbox, password=issued.app_password, actor=actor, at=at
    )
    return issued


def _need_a_protocol(*, allows_pop: bool, allows_imap: bool) -> None:
    if not (allows_pop or allows_imap):
        message = "Choose at least one protocol."
        raise NoProtocol(message, code="no_protocol")


@transaction.atomic
def set_reach(
    *,
    actor: Actor,
    app_password: AppPassword,
    allows_pop: bool,
    allows_imap: bool,
    networks: Iterable[str],
    at: datetime,
    now: datetime | None = None,
) -> None:
    """Change by which protocols, and from where, an app password may be used.

    Whatever becomes narrower ends open sessions; whatever becomes wider is told to the owners.
    `now` is what time it really is, where `at` is by the clock of a test organisation: sessions
    end by that one. Raises `NoProtocol`, `keys.BadNetwork` or `Revoked`.
    """
    mailbox = app_password.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    _need_a_protocol(allows_pop=allows_pop, allows_imap=allows_imap)
    new = Reach(
        allows_pop=allows_pop,
        allows_imap=allows_imap,
        networks=tuple(keys.canonical_networks(networks)),
    )
    holding.lock(mailbox)
    locked = AppPassword.objects.select_for_update().get(pk=app_password.pk)
    if locked.revoked_at is not None:
        message = "This app password is revoked."
        raise Revoked(message)
    old = Reach.of(locked)
    if new == old:
        return
    changes = {"allows_pop": new.allows_pop, "allows_imap": new.allows_imap}
    AppPassword.objects.filter(pk=locked.pk).update(allow_nets=",".join(new.networks), **changes)
    app_password.refresh_from_db(fields=["allow_nets", *changes])
    _record_reach(app_password, old=old, new=new, actor=actor, at=at)
    if old.goes_beyond(new):
        _ask_to_end_sessions(mailbox, at=now or at)
    if new.goes_beyond(old):
        _tell_owners("app_password_loosened", mailbox, actor=actor, at=at, label=app_password.label)


def _record_reach(
    app_password: AppPassword, *, old: Reach, new: Reach, actor: Actor, at: datetime
) -> None:
    mailbox = app_password.mailbox
    is_wider = new.goes_beyond(old)
    outbox.record(
        kind="app_password.loosened" if is_wider else "app_password.tightened",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=app_password.subject,
        data={
            "mailbox": str(mailbox.uuid),
            "address": mailbox.address,
            "protocols": {"old": _protocols(old), "new": _protocols(new)},
            "networks": {"old": list(old.networks), "new": list(new.networks)},
        },
    )


def _protocols(reach: Reach) -> list[str]:
    protocols = [("pop", reach.allows_pop), ("imap", reach.allows_imap)]
    return [name for name, is_allowed in protocols if is_allowed]


@transaction.atomic
def revoke(
    *, actor: Actor, app_password: AppPassword, at: datetime, now: datetime | None = None
) -> None:
    """Make the secret worthless at once and end open sessions; twice does no harm.

    `now` is as for `set_reach`.
    """
    mailbox = app_password.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    holding.lock(mailbox)
    revoked = AppPassword.objects.filter(pk=app_password.pk, revoked_at__isnull=True).update(
        revoked_at=at,
    )
    if revoked:
        _record("app_password.revoked", mailbox=mailbox, password=app_password, actor=actor, at=at)
        _ask_to_end_sessions(mailbox, at=now or at)


@transaction.atomic
def widen(*, actor: Actor, mailbox: Mailbox, protocol: str, at: datetime) -> int:
    """Let app passwords that were meant for the other protocol sign in by this one as well.

    Returns how many they were.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    narrow = list(narrow_for(mailbox, protocol=protocol))
    AppPassword.objects.filter(pk__in=[password.pk for password in narrow]).update(
        **{f"allows_{protocol}": True}
    )
    for password in narrow:
        _record("app_password.widened", mailbox=mailbox, password=password, actor=actor, at=at)
    return len(narrow)


def narrow_for(mailbox: Mailbox, *, protocol: str) -> QuerySet[AppPassword]:
    """The app passwords in use that cannot sign in by a protocol."""
    in_use = AppPassword.objects.filter(mailbox=mailbox, revoked_at__isnull=True)
    return in_use.filter(**{f"allows_{protocol}": False}).order_by("pk")


@transaction.atomic
def set_mailbox_password(
    *, actor: Actor, mailbox: Mailbox, password: str, at: datetime, now: datetime | None = None
) -> None:
    """Let the mailbox sign in by a password a person chose; an empty one switches that off.

    `now` is as for `set_reach`. Raises `AppPasswordsOnly`.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    locked = holding.lock(mailbox)
    if password and locked.app_passwords_only:
        message = "Only app passwords open this mailbox. Allow mailbox passwords first."
        raise AppPasswordsOnly(message)
    password_hash = "{ARGON2ID}" + _HASHER.hash(password) if password else ""
    Mailbox.objects.filter(pk=mailbox.pk).update(password_hash=password_hash)
    mailbox.password_hash = password_hash
    kind = "mailbox.password_set" if password else "mailbox.password_removed"
    _record_of_mailbox(kind, mailbox=mailbox, actor=actor, at=at)
    _ask_to_end_sessions(mailbox, at=now or at)


@transaction.atomic
def require_app_passwords(
    *, actor: Actor, mailbox: Mailbox, is_on: bool, at: datetime, now: datetime | None = None
) -> None:
    """Let app passwords alone open the mailbox, or its mailbox password again too.

    A mailbox password that is set stays, and works again afterwards. Sessions that may have been
    opened by it end. `now` is as for `set_reach`.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    others = Mailbox.objects.filter(pk=mailbox.pk, app_passwords_only=not is_on)
    if not others.update(app_passwords_only=is_on):
        return
    mailbox.refresh_from_db(fields=["app_passwords_only", "password_hash"])
    outbox.record(**_other_rule(mailbox, actor=actor, is_on=is_on, at=at))
    if is_on and mailbox.password_hash:
        _ask_to_end_sessions(mailbox, at=now or at)
    if not is_on:
        _tell_owners("mailbox_password_allowed", mailbox, actor=actor, at=at)


@transaction.atomic
def require_app_passwords_of(
    *, actor: Actor, organisation: Organisation, mailboxes: Sequence[Mailbox], at: datetime
) -> int:
    """The same for many mailboxes of one organisation in a few statements; returns how many.

    The caller holds the lock of the organisation. Open sessions end with the next sweep.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    rows = Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes]).lock()
    locked = list(rows.filter(app_passwords_only=False).order_by("pk"))
    keys = [mailbox.pk for mailbox in locked]
    Mailbox.objects.filter(pk__in=keys).update(app_passwords_only=True)
    opened = [mailbox.pk for mailbox in locked if mailbox.password_hash]
    Mailbox.objects.filter(pk__in=opened).update(sessions_end_asked_at=at)
    for mailbox in locked:
        mailbox.organisation = organisation
    facts = [_other_rule(mailbox, actor=actor, is_on=True, at=at) for mailbox in locked]
    outbox.record_all([outbox.event(**fact) for fact in facts])
    outbox.nudge("mailstore.end_due_sessions")
    return len(locked)


def _other_rule(mailbox: Mailbox, *, actor: Actor, is_on: bool, at: datetime) -> dict[str, Any]:
    return {
        "kind": "mailbox.app_passwords_only" if is_on else "mailbox.mailbox_password_allowed",
        "at": at,
        "actor": actor,
        "organisation": mailbox.organisation,
        "subject": mailbox.subject,
        "data": {"app_passwords_only": {"old": not is_on, "new": is_on}},
    }


@transaction.atomic
def end_sessions(
    *, actor: Actor, mailbox: Mailbox, at: datetime, now: datetime | None = None
) -> None:
    """Throw out whoever is signed in; programs with a good password come back by themselves.

    `now` is as for `set_reach`.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    _record_of_mailbox("mailbox.sessions_ended", mailbox=mailbox, actor=actor, at=at)
    _ask_to_end_sessions(mailbox, at=now or at)


def _tell_owners(
    letter: str, mailbox: Mailbox, *, actor: Actor, at: datetime, label: str = ""
) -> None:
    """What makes a mailbox easier to enter is news, whoever did it."""
    notices.announce(
        organisations=[mailbox.organisation],
        name=letter,
        context={
            "address": mailbox.address,
            "mailbox": str(mailbox.uuid),
            "label": label,
            "by": actor.name,
            "at_text": f"{at:%Y-%m-%d %H:%M} UTC",
        },
        at=at,
    )


def _record_of_mailbox(kind: str, *, mailbox: Mailbox, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind, at=at, actor=actor, organisation=mailbox.organisation, subject=mailbox.subject
    )


def _ask_to_end_sessions(mailbox: Mailbox, *, at: datetime) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(sessions_end_asked_at=at)
    outbox.nudge("mailstore.end_sessions", mailbox_id=mailbox.pk)


def _record(
    kind: str, *, mailbox: Mailbox, password: AppPassword, actor: Actor, at: datetime
) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=password.subject,
        data={"mailbox": str(mailbox.uuid), "address": mailbox.address},
    )
