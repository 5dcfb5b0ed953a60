"""Whether the mail of domains comes here: looked at in turns, told once, and told to be over.

A bad answer alarms nobody. A domain fails when several looks in a row, over a while, found its
mail to go elsewhere; silence of name servers is not known, and counts for nothing.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from accounts import notices, outbox
from accounts.access import Actor, Capability, system
from accounts.models import Organisation
from mailstore import mail_routes
from mailstore.mail_routes import House, Route
from mailstore.models import Domain, DomainDns
from mailstore.models.dns import DomainDnsQuerySet
from mailstore.resolver import NoAnswer, Resolver

logger = logging.getLogger(__name__)

SWEEP = "mailstore.watch_domain_dns"
# The sweep looks every half minute; an hour is many lost turns.
LATE = timedelta(hours=1)
# A look waits for name servers and computes next to nothing, so many wait together.
_AT_ONCE = 20
_LONGEST_RUN_SECONDS = 20.0
_LEASE = timedelta(minutes=10)
_LOOK_AGAIN = timedelta(days=1)
_LOOK_AT_SILENT = timedelta(hours=1)
# What is missing is looked for often at first, and ever less.
_LOOKS_AT_MISSING = (
    (timedelta(days=1), timedelta(minutes=20)),
    (timedelta(days=14), timedelta(hours=6)),
)
# Two looks so far apart are needed before it is said that a web site lies with the mail.
_COHOSTED_AFTER = timedelta(hours=1)
# Whoever asks for a look gets no other one right after the last.
_BETWEEN_LOOKS = timedelta(seconds=30)
_LETTER_EVERY = timedelta(days=1)
_MOST_LETTERS = 100
_MOST_NAMED = 20
_WATCH = system("DNS")


def look_soon(*, actor: Actor, domain: Domain, at: datetime) -> None:
    """Have a worker look now; of a domain that is not looked at nothing is asked."""
    actor.must(Capability.MANAGE_MAIL, lineage=domain.organisation.lineage)
    just_now = Q(checked_at__gt=at - _BETWEEN_LOOKS, checked_at__lte=at)
    rows = DomainDns.objects.filter(domain=domain, due_at__gt=at).exclude(just_now)
    if mail_routes.hosts() and rows.update(due_at=at):
        outbox.nudge(SWEEP)


def lag(*, at: datetime) -> timedelta:
    """How long the domain that has waited longest for its look has done so."""
    oldest = DomainDns.objects.filter(due_at__lte=at).order_by("due_at").first()
    return at - oldest.due_at if oldest else timedelta(0)


def failing_text() -> str:
    """How many domains fail, and whether the mail of any comes here, for the doctor."""
    if not DomainDns.objects.filter(here_at__isnull=False).exists():
        return "nobody's mail was seen to come here yet"
    return f"{DomainDns.objects.failing().count()} failing"


# The sweep --------------------------------------------------------------------------------


def watch(*, resolver: Resolver, at: datetime, limit: int = 200) -> int:
    """Look at domains that are due, those first that wait longest; returns how many answered.

    Where the house itself is not found, name servers are away or settings are wrong: then
    nothing is looked at, and everything stays due.
    """
    if not mail_routes.hosts():
        return 0
    try:
        house = mail_routes.house(resolver)
    except NoAnswer as error:
        logger.warning("No domain is looked at, since the house is not found: %s", error)
        return 0
    began, looked, answered = time.monotonic(), 0, 0
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        while looked < limit and time.monotonic() - began < _LONGEST_RUN_SECONDS:
            claims = _claim(at=at, most=min(_AT_ONCE, limit - looked))
            if not claims:
                break
            looked += len(claims)
            routes = pool.map(lambda claim: _route(claim, house, resolver), claims)
            heard = sum(
                _settle(claim, route, at=at) for claim, route in zip(claims, routes, strict=True)
            )
            answered += heard
            if not heard and len(claims) == _AT_ONCE:
                logger.warning("Of %s domains no name server answered", len(claims))
                break
    return answered


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """A domain that is ours to look at until its row says another moment."""

    domain_id: int
    name: str
    until: datetime


def _claim(*, at: datetime, most: int) -> list[_Claim]:
    """Whoever moves a row on looks; if that worker dies, the next look comes later."""
    claims: list[_Claim] = []
    until = at + _LEASE
    rows = DomainDns.objects.order_by("due_at")
    # What lies further ahead than any look is set was set by a clock that was wrong.
    for due in (rows.filter(due_at__lte=at), rows.filter(due_at__gt=at + 2 * _LOOK_AGAIN)):
        found = due.values_list("domain_id", "domain__name", "due_at")
        claims += [
            _Claim(domain_id=domain_id, name=name, until=until)
            for domain_id, name, due_at in found[: most - len(claims)]
            if DomainDns.objects.filter(pk=domain_id, due_at=due_at).update(due_at=until)
        ]
    return claims


def _route(claim: _Claim, house: House, resolver: Resolver) -> Route | None:
    """What the records say, or None; it runs beside others, and asks no database."""
    try:
        return mail_routes.find(claim.name, house=house, resolver=resolver)
    except NoAnswer:
        return None


@transaction.atomic
def _settle(claim: _Claim, route: Route | None, *, at: datetime) -> bool:
    """Write down what was seen, unless somebody else looks meanwhile or the domain is gone."""
    mine = DomainDns.objects.filter(pk=claim.domain_id, due_at=claim.until)
    dns = mine.select_for_update(of=("self",)).select_related("domain__organisation").first()
    if dns is None:
        return False
    if route is None:
        dns.due_at = at + _LOOK_AT_SILENT
        dns.save(update_fields=["due_at"])
        return False
    dns.checked_at, dns.finding, dns.seen = at, route.finding, route.seen
    if dns.is_here or dns.domain.organisation.state == Organisation.State.CLOSED:
        _come_back(dns, at=at)
    else:
        _miss(dns, at=at)
    _note_web_site(dns, route, at=at)
    dns.save()
    return True


def _come_back(dns: DomainDns, *, at: datetime) -> None:
    """Mail comes here, or nobody is left who would miss it."""
    was_failing = dns.failing_since is not None
    dns.missing_since, dns.missing_looks, dns.failing_since = None, 0, None
    dns.due_at = at + _LOOK_AGAIN
    if dns.is_here:
        dns.here_at = at
        if was_failing:
            _record("domain.dns_recovered", dns, at=at)


def _miss(dns: DomainDns, *, at: datetime) -> None:
    dns.missing_since = since = dns.missing_since or at
    dns.missing_looks += 1
    waits = (wait for until, wait in _LOOKS_AT_MISSING if at - since < until)
    dns.due_at = at + next(waits, _LOOK_AGAIN)
    if dns.failing_since is None and _is_failing(dns, since=since, at=at):
        dns.failing_since = since
        facts = {
            "problem": dns.finding,
            "expected": ", ".join(mail_routes.hosts()),
            "seen": dns.seen,
        }
        _record("domain.dns_failing", dns, at=at, facts=facts)


def _is_failing(dns: DomainDns, *, since: datetime, at: datetime) -> bool:
    """Whether mail has not come here for long enough that its owner must hear of it."""
    patience = settings.DNS_FAILING_AFTER
    if dns.here_at is None:
        patience = max(patience, settings.DNS_FIRST_PATIENCE)
    if dns.missing_looks < settings.DNS_FAILING_LOOKS or at - since < patience:
        return False
    # Where nobody's mail ever came here, `MX_HOSTS` is likelier wrong than everybody.
    return DomainDns.objects.filter(here_at__isnull=False).exists()


def _note_web_site(dns: DomainDns, route: Route, *, at: datetime) -> None:
    """Say once that the web site lies with the mail, after a second look."""
    if route.is_cohosted is None:
        return
    if not route.is_cohosted:
        dns.cohosted_seen_at = dns.cohosted_since = None
        return
    dns.cohosted_seen_at = since = dns.cohosted_seen_at or at
    if dns.cohosted_since is None and at - since >= _COHOSTED_AFTER:
        dns.cohosted_since = since
        _record("domain.cohosted", dns, at=at)


def _record(
    kind: str, dns: DomainDns, *, at: datetime, facts: dict[str, Any] | None = None
) -> None:
    domain = dns.domain
    outbox.record(
        kind=kind,
        at=at,
        actor=_WATCH,
        organisation=domain.organisation,
        subject=("domain", str(domain.uuid), domain.name),
        data=facts,
    )


# Letters ----------------------------------------------------------------------------------


def tell(*, at: datetime) -> int:
    """Write to owners of domains that fail, once about each; returns how many organisations."""
    untold = _untold(DomainDns.objects.all())
    owners = untold.order_by().values_list("domain__organisation_id", flat=True).distinct()
    return sum(_write_letter(owner, at=at) for owner in list(owners[:_MOST_LETTERS]))


def _untold(rows: DomainDnsQuerySet) -> DomainDnsQuerySet:
    """Of those that fail, the ones about which nobody was told since they do."""
    is_untold = Q(told_at__isnull=True) | Q(told_at__lt=F("failing_since"))
    return rows.failing().filter(is_untold)


@transaction.atomic
def _write_letter(organisation_id: int, *, at: datetime) -> bool:
    """One letter about all domains of an organisation, unless one left within a day."""
    organisation = Organisation.objects.select_for_update().get(pk=organisation_id)
    rows = DomainDns.objects.filter(domain__organisation=organisation)
    if rows.filter(told_at__gt=at - _LETTER_EVERY, told_at__lte=at).exists():
        return False
    found = list(_untold(rows).select_related("domain").order_by("domain__name"))
    if not found:
        return False
    notices.announce(
        organisations=[organisation],
        name="domain_dns",
        context={
            "lines": [_line(dns) for dns in found[:_MOST_NAMED]],
            "more": max(len(found) - _MOST_NAMED, 0),
            "first": found[0].domain.shown_name,
            "count": len(found),
            "hosts": mail_routes.hosts(),
        },
        at=at,
        about=f"dns:{organisation.pk}",
    )
    DomainDns.objects.filter(pk__in=[dns.pk for dns in found]).update(told_at=at)
    return True


def _line(dns: DomainDns) -> dict[str, str]:
    return {
        "name": dns.domain.shown_name,
        "domain": str(dns.domain.uuid),
        "finding": dns.get_finding_display(),
        "seen": dns.seen,
        "since": f"{dns.failing_since:%Y-%m-%d %H:%M} UTC",
    }
