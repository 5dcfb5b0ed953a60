"""Mail domains: which an organisation has, and whether they can have mailboxes yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypedDict, cast
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from hosting import ordering, public_ids
from hosting.api import expanding, organisations, targets
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.expanding import Expansion
from hosting.api.fields import Body, PublicId, Text
from hosting.api.filters import by_choice, by_id
from hosting.api.listing import Filter, Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment, optional
from hosting.api.problems import invalid
from mailstore import dns_watch, domains, mail_routes
from mailstore.addresses import ADDRESS_OCTETS, InvalidAddress
from mailstore.models import Domain, DomainDns, Mailbox
from mailstore.models.domains import DomainQuerySet

# They change by themselves, so they are no part of the version.
VOLATILE = ("mailbox_count", "dns")
_WAITING = (
    "We confirm by hand that the domain is its owner's. Ask for it with `verify`; the event "
    "domain.verified says when it is done. Until then the domain has no mailboxes."
)


_PROBLEMS = frozenset({"no_mx", "null_mx", "elsewhere"})


class DnsDocument(TypedDict):
    """Where the records of a domain lead its mail.

    `state` is `ok` where mail comes here, `not_here` where the last look found that it does not,
    and `failing` once several looks over a while did: then `domain.dns_failing` was told, and
    `domain.dns_recovered` will be. `mx_seen` is what stands in the DNS, shortened.
    `cohosted_since` is since when the web site of the domain lies at an address that takes mail.
    """

    state: Literal["unknown", "ok", "not_here", "failing"]
    problem: Literal["no_mx", "null_mx", "elsewhere"] | None
    mx_hosts: list[str]
    mx_seen: str
    checked_at: Moment | None
    failing_since: Moment | None
    cohosted_since: Moment | None


class DomainDocument(TypedDict):
    """A mail domain. `what_to_do` is null once it is confirmed.

    `dns` is null while its records are not looked at: before it is confirmed, and for names that
    are for tests alone. `dns.mx_hosts` are the hosts to which its MX records should lead.
    """

    object: Literal["domain"]
    id: str
    organisation_id: str
    name: str
    shown_name: str
    state: Literal["waiting", "confirmed"]
    what_to_do: str | None
    mailbox_count: int
    dns: DnsDocument | None
    created_at: Moment


class DomainBody(Body):
    """A domain in any spelling, international ones as well."""

    organisation_id = PublicId("org")
    name = Text(max_length=ADDRESS_OCTETS)


def documents(found: Sequence[Domain]) -> list[DomainDocument]:
    """Domains whose organisation and DNS were loaded with them, in one more query."""
    standing = Mailbox.objects.standing().filter(domain__in=found).order_by()
    counts = dict(standing.values_list("domain").annotate(Count("pk")))
    return [_document(domain, mailbox_count=counts.get(domain.pk, 0)) for domain in found]


def _document(domain: Domain, *, mailbox_count: int) -> DomainDocument:
    is_waiting = domain.state == Domain.State.WAITING
    return {
        "object": "domain",
        "id": public_ids.encode("dom", domain.uuid),
        "organisation_id": public_ids.encode("org", domain.organisation.uuid),
        "name": domain.name,
        "shown_name": domain.shown_name,
        "state": cast("Literal['waiting', 'confirmed']", domain.state),
        "what_to_do": _WAITING if is_waiting else None,
        "mailbox_count": mailbox_count,
        "dns": _dns(getattr(domain, "dns", None)),
        "created_at": Moment(domain.created_at),
    }


def _dns(dns: DomainDns | None) -> DnsDocument | None:
    hosts = mail_routes.hosts()
    if dns is None or not hosts:
        return None
    is_wrong = dns.finding in _PROBLEMS
    problem = cast("Literal['no_mx', 'null_mx', 'elsewhere']", dns.finding) if is_wrong else None
    return {
        "state": cast("Literal['unknown', 'ok', 'not_here', 'failing']", dns.state.value),
        "problem": problem,
        "mx_hosts": hosts,
        "mx_seen": dns.seen,
        "checked_at": optional(dns.checked_at),
        "failing_since": optional(dns.failing_since),
        "cohosted_since": optional(dns.cohosted_since),
    }


def rows(call: Call) -> DomainQuerySet:
    """The domains that the caller may know of."""
    return Domain.objects.visible_to(call.actor).select_related("organisation__parent", "dns")


def _beside(call: Call, uuids: Collection[UUID]) -> list[DomainDocument]:
    return documents(list(rows(call).filter(uuid__in=uuids)))


EXPANSION = Expansion(prefix="dom", scope="domains:read", read=_beside)
DOMAINS: Listing[Domain] = Listing(
    shown=documents,
    document=DomainDocument,
    expand=expanding.of(organisation=organisations.EXPANSION),
    sorts={"created": ("pk",), "name": ("name",)},
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Of one organisation."),
        "state": by_choice("state", Domain.State.values, "By state."),
        "name": Filter(
            meaning="The one with this name.", condition=lambda text: Q(name=text.lower())
        ),
    },
)


# Who changes a domain changes its one row by its state, and needs no lock of the key.
DOMAIN: Things[Domain] = Things(
    rows=rows,
    lives_in=lambda domain: domain.organisation,
    locks=Domain.objects.select_for_update(no_key=True),
    document=lambda _call, domain: documents([domain])[0],
    volatile=VOLATILE,
)
load = DOMAIN.load


class Domains(Endpoint):
    """All domains."""

    @operation(name="list_domains", scope="domains:read", lists=DOMAINS)
    def get(self, call: Call) -> Answer:
        """List domains."""
        return DOMAINS.page(call, rows(call))

    @operation(
        name="create_domain",
        scope="domains:write",
        takes=DomainBody,
        gives=DomainDocument,
        status=201,
        problems=("domain-taken", "limit-reached"),
    )
    def post(self, call: Call) -> Answer:
        """Take on a domain. It can have mailboxes once it is confirmed."""
        organisation = targets.organisation(call, call.asked["organisation_id"])
        try:
            domain = ordering.add_domain(
                actor=call.actor, organisation=organisation, name=call.asked["name"], at=call.at
            )
        except InvalidAddress as refusal:
            code = str(refusal.code or "invalid")
            raise invalid("/name", " ".join(refusal.messages), code=code) from refusal
        return DOMAIN.created(call, domain, below="domains")


class OneDomain(Endpoint):
    """One domain."""

    @operation(name="get_domain", scope="domains:read", gives=DomainDocument)
    def get(self, call: Call, *, domain: UUID) -> Answer:
        """Show a domain."""
        return DOMAIN.answer(call, load(call, domain))


class DomainCheck(Endpoint):
    """The check that a domain is its owner's."""

    @operation(name="verify_domain", scope="domains:write", gives=DomainDocument, may_wait=True)
    def post(self, call: Call, *, domain: UUID) -> Answer:
        """Ask that a domain be confirmed: 202 while we look, 200 if it is confirmed already.

        Of a confirmed one, the DNS is looked at again within a minute.
        """
        found = DOMAIN.locked(call, domain)
        domains.ask_to_confirm(actor=call.actor, domain=found, at=call.at)
        dns_watch.look_soon(actor=call.actor, domain=found, at=timezone.now())
        status = 202 if found.state == Domain.State.WAITING else 200
        return DOMAIN.answer(call, found, status=status)
