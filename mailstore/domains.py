"""Domains: taking one on, and confirming that it belongs to whoever asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import addresses
from mailstore.models import Domain, DomainDns


class NotForTests(addresses.InvalidAddress):
    """A test organisation takes on no name that somebody could own."""


class DomainTaken(Exception):
    """The domain is in use here already, by whomever."""


def needs_confirmation(name: str) -> bool:
    """Whether staff must look before this canonical domain can have mailboxes."""
    # Where nobody can own the name, nobody can be robbed of it.
    return not addresses.is_for_tests(name)


def refuse_outside_of_tests(organisation: Organisation, name: str) -> None:
    """Raise `NotForTests` where a test organisation asks for a name that somebody could own."""
    if organisation.is_test and needs_confirmation(name):
        message = "For testing, take a name that ends with .test or .localhost."
        raise NotForTests(message)


def add(*, actor: Actor, organisation: Organisation, name: str, at: datetime) -> Domain:
    """Take on a domain for an organisation; raise `InvalidAddress` or `DomainTaken`.

    A test organisation takes on none that could be anybody's (`NotForTests`).
    """
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    canonical = addresses.domain(name)
    refuse_outside_of_tests(organisation, canonical)
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


def ask_to_confirm(*, actor: Actor, domain: Domain, at: datetime) -> None:
    """Have staff look at a domain that waits; of one that is confirmed nothing is asked."""
    actor.must(Capability.MANAGE_MAIL, lineage=domain.organisation.lineage)
    if domain.state == Domain.State.WAITING:
        _record("domain.check_asked", domain=domain, actor=actor, at=at)


@transaction.atomic
def confirm(*, actor: Actor, domain: Domain, at: datetime) -> None:
    """Staff say that the domain belongs to the organisation; saying it twice does no harm."""
    refusal = "Only staff who look after mail can confirm a domain."
    actor.must_everywhere(Capability.MANAGE_MAIL, refusal=refusal)
    confirmed = Domain.objects.filter(pk=domain.pk, state=Domain.State.WAITING).update(
        state=Domain.State.CONFIRMED,
    )
    if confirmed:
        DomainDns.objects.get_or_create(domain=domain, defaults={"due_at": at})
        _record("domain.verified", domain=domain, actor=actor, at=at)


def _record(kind: str, *, domain: Domain, actor: Actor, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=domain.organisation,
        subject=("domain", str(domain.uuid), domain.name),
    )


def inside(addresses: Iterable[str]) -> frozenset[str]:
    """Those of some addresses whose mail this house keeps: what stops a mailbox stops them."""
    hosts = {address: address.rpartition("@")[2].lower() for address in addresses}
    ours = set(Domain.objects.filter(name__in=hosts.values()).values_list("name", flat=True))
    return frozenset(address for address, host in hosts.items() if host in ours)
