"""Looking at domains, by many workers at the same moment against a real database."""

from __future__ import annotations

import os

import pytest

from accounts.models import Event, Notice
from mailstore.models import DomainDns
from tests.factories import AT, make_cast
from tests.live.faults import in_a_process
from tests.mailstore.dns_rows import DAY, ELSEWHERE, HERE, MINUTE, confirmed, house_in_dns, look

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

AT_ONCE, DOMAINS = 6, 25


def test_what_many_workers_look_at_at_once_is_looked_at_once(settings, counts):
    settings.RESOLVER = "mailstore.resolver.memory.MemoryResolver"
    cast = make_cast()
    names = [f"a{number:02}.example" for number in range(DOMAINS)]
    with house_in_dns(settings) as dns:
        for name in names:
            confirmed(name, cast.customer)
            dns.records[name, "MX"] = [HERE]
        look(AT)
        for name in names:
            dns.records[name, "MX"] = [ELSEWHERE]
        for turn in range(4):
            at = AT + DAY + turn * 20 * MINUTE
            pids = [in_a_process(lambda at=at: look(at)) for _ in range(AT_ONCE)]
            endings = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            assert set(endings) == {0}
            assert set(DomainDns.objects.values_list("missing_looks", flat=True)) == {turn + 1}

    counts(sweeps_at_once=4 * AT_ONCE)
    assert Event.objects.filter(kind="domain.dns_failing").count() == DOMAINS
    # Whoever comes last finds nobody untold, however the domains were shared.
    assert DomainDns.objects.filter(told_at=AT + DAY + 60 * MINUTE).count() >= 1
    assert Notice.objects.filter(name="domain_dns").count() == 1
