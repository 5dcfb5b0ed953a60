"""What a mail program signs in with: app passwords, and an optional mailbox password."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from accounts import outbox
from accounts.access import Actor, Capability
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
    *, mailbox: Mailbox, label: str, allows_pop: bool, allows_imap: bool, at: datetime
) -> Issued:
    """An unsaved app password and its secret."""
    secret = new_secret()
    app_password = AppPassword(
        mailbox=mailbox,
        label=label,
        digest=digest(secret),
        allows_pop=allows_pop,
        allows_imap=allows_imap,
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
    at: datetime,
) -> Issued:
    """A new app password for one device; the caller shows the secret once."""
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    if not (allows_pop or allows_imap):
        message = "Choose at least one protocol."
        raise NoProtocol(message, code="no_protocol")
    issued = draft(
        mailbox=mailbox,
        label=label,
        allows_pop=allows_pop,
        allows_imap=allows_imap,
        at=at,
    )
    issued.app_password.save(force_insert=True)
    _record(
        "app_password.created", mailbox=mailbox, password=issued.app_password, actor=actor, at=at
    )
    return issued


@transaction.atomic
def revoke(*, actor: Actor, app_password: AppPassword, at: datetime) -> None:
    """Make the secret worthless at once and end open sessions; twice does no harm."""
    mailbox = app_password.mailbox
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    revoked = AppPassword.objects.filter(pk=app_password.pk, revoked_at__isnull=True).update(
        revoked_at=at,
    )
    if revoked:
        _record("app_password.revoked", mailbox=mailbox, password=app_password, actor=actor, at=at)
        _ask_to_end_sessions(mailbox, at=at)


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
def set_mailbox_password(*, actor: Actor, mailbox: Mailbox, password: str, at: datetime) -> None:
    """Let the mailbox sign in by a password a person chose; an empty one switches that off."""
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    password_hash = "{ARGON2ID}" + _HASHER.hash(password) if password else ""
    Mailbox.objects.filter(pk=mailbox.pk).update(password_hash=password_hash)
    mailbox.password_hash = password_hash
    outbox.record(
        kind="mailbox.password_set" if password else "mailbox.password_removed",
        at=at,
        actor=actor,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
    )
    _ask_to_end_sessions(mailbox, at=at)


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
