"""Domains whose records are looked at, in a domain name system in memory."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

from accounts.access import system
from mailstore import dns_watch, domains
from mailstore.models import Domain, DomainDns
from mailstore.resolver import resolver
from tests.factories import AT

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MX = "mx.house.example"
HERE, ELSEWHERE = f"10 {MX}.", "10 mx.other.example."


@contextmanager
def house_in_dns(settings):
    """The house with its one server, and nothing else in the DNS."""
    settings.MX_HOSTS = [MX]
    dns = resolver()
    dns.records.clear()
    dns.is_silent, dns.silent_about = False, set()
    dns.records[MX, "A"] = ["192.0.2.25"]
    yield dns
    dns.records.clear()
    dns.is_silent, dns.silent_about = False, set()


def confirmed(name, organisation):
    """A domain that staff have confirmed at `AT`."""
    actor = system("tests")
    domain = domains.add(actor=actor, organisation=organisation, name=name, at=AT)
    domains.confirm(actor=actor, domain=domain, at=AT)
    return Domain.objects.get(pk=domain.pk)


def look(at):
    """Look at what is due, and write the letters."""
    answered = dns_watch.watch(resolver=resolver(), at=at)
    dns_watch.tell(at=at)
    return answered


def look_until(at, *, since, every=20 * MINUTE):
    """Look again and again, as the sweep does."""
    while since <= at:
        look(since)
        since += every


def found(domain):
    return DomainDns.objects.get(domain=domain)
