"""Domains: taking one on, and confirming that it belongs to whoever asks."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability, Forbidden
from accounts.models import Organisation
from mailstore import addresses
from mailstore.models import Domain

# RFC 2606 and RFC 6761 set these aside; nobody can own them, so nobody can be robbed.
_NEEDS_NO_PROOF = ("test", "localhost")


class DomainTaken(Exception):
    """The domain is in use here already, by whomever."""


def needs_confirmation(name: str) -> bool:
    """Whether staff must look before this canonical domain can have mailboxes."""
    return name.rpartition(".")[2] not in _NEEDS_NO_PROOF


def add(*, actor: Actor, organisation: Organisation, name: str, at: datetime) -> Domain:
    """Take on a domain for an organisation; raise `InvalidAddress` or `DomainTaken`."""
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    canonical = addresses.domain(name)
    state = Domain.State.WAITING if needs_confirmation(canonical) else Domain.State.CONFIRMED
    domain = Domain(name=canonical, organisation=organisation, state=state, created_at=at)
    try:
        with transaction.atomic():
            domain.save(force_insert=True)
            _record("domain.added", domain=domain, actor=actor, at=at)
    except IntegrityError as error:
        message = f"{addresses.shown(canonical)} is in use here already."
        raise DomainTaken(message) from error
    return domain


@transaction.atomic
def confirm(*, actor: Actor, domain: Domain, at: datetime) -> None:
    """Staff say that the domain belongs to the organisation; saying it twice does no harm."""
    if not actor.is_staff:
        message = "Only staff can confirm a domain."
        raise Forbidden(message)
    confirmed = Domain.objects.filter(pk=domain.pk, state=Domain.State.WAITING).update(
        state=Domain.State.CONFIRMED,
    )
    if confirmed:
        _record("domain.verified", domain=domain, actor=actor, at=at)


def _record(kind: str, *, domain: Domain, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=domain.organisation,
        subject=("domain", str(domain.uuid), domain.name),
    )
