"""A customer reads why mail does not come, sets the record, and staff see it come back."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from mailstore.models import DomainDns
from tests.mailstore.dns_rows import DAY, HERE, HOUR, MX, confirmed, house_in_dns, look_until
from tests.mailstore.dns_rows import look as look_at_domains

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

LONG = "post-und-noch-viel-mehr.mein-sehr-langer-name-einer-buchhandlung.example"


@pytest.fixture(autouse=True)
def dns(settings):
    settings.RESOLVER = "mailstore.resolver.memory.MemoryResolver"
    with house_in_dns(settings) as dns:
        yield dns


def test_customer_mends_the_record_that_staff_see_failing(page, cast, dns, sign_in, look):
    now = timezone.now()
    since = now - 2 * DAY
    names = ("books.example", LONG, "well.example")
    for name in names:
        confirmed(name, cast.customer)
        dns.records[name, "MX"] = [HERE]
    DomainDns.objects.update(due_at=since - HOUR)
    look_at_domains(since - HOUR)
    hosts = [f"{n} mx{n}.a-long-name-of-another-provider.example." for n in range(10, 16)]
    for name in names[:2]:
        dns.records[name, "MX"] = hosts
    DomainDns.objects.update(due_at=since)
    look_until(since + HOUR, since=since)
    sign_in(cast.alice)

    page.goto("/domains/")
    expect(page.get_by_text("Mail does not come here")).to_have_count(2)
    look("domains-failing")
    page.get_by_role("link", name=LONG, exact=True).click()
    expect(page.get_by_text(MX)).to_be_visible()
    look("domain-failing")

    for name in names[:2]:
        dns.records[name, "MX"] = [HERE]
    page.get_by_role("button", name="Look now").click()
    expect(page.get_by_role("status")).to_contain_text("We look now")
    look_at_domains(timezone.now())
    page.reload()
    expect(page.get_by_text("Mail comes here", exact=True)).to_be_visible()
    look("domain-well")


def test_staff_go_from_the_start_page_to_what_fails(staff_page, cast, dns, look):
    since = timezone.now() - DAY
    confirmed("books.example", cast.customer)
    dns.records["books.example", "MX"] = [HERE]
    DomainDns.objects.update(due_at=since - HOUR)
    look_at_domains(since - HOUR)
    dns.records["books.example", "MX"] = []
    DomainDns.objects.update(due_at=since)
    look_until(since + HOUR, since=since)

    staff_page.reload()
    staff_page.get_by_role("link", name="DNS failing").click()

    expect(staff_page.get_by_text("There is no MX record")).to_be_visible()
    look("staff-domains-failing")
