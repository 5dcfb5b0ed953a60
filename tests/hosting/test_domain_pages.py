"""Where mail for a domain goes, as its people, their history and staff see it."""

from __future__ import annotations

import html

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.models import Notice
from hosting import attention, doctor
from mailstore.models import DomainDns
from tests.factories import AT, make_domain
from tests.mailstore.dns_rows import (
    DAY,
    HERE,
    HOUR,
    MX,
    confirmed,
    found,
    house_in_dns,
    look,
    look_until,
)
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

MARKUP = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def dns(settings):
    with house_in_dns(settings) as dns:
        yield dns


@pytest.fixture
def alice(cast):
    return client_of(cast.alice)


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


def text_of(response):
    """What a person reads, in one line."""
    return " ".join(html.unescape(strip_tags(response.content.decode())).split())


def failing(cast, dns, name="books.example", record="10 mx.other.example."):
    domain = confirmed(name, cast.customer)
    dns.records[name, "MX"] = [HERE]
    look(AT)
    dns.records[name, "MX"] = [record]
    look_until(AT + DAY + HOUR, since=AT + DAY)
    return domain


def page_of(client, domain):
    return client.get(reverse("domains:detail", args=[domain.uuid]))


# Its people -----------------------------------------------------------------------------


def test_page_says_what_to_set_and_what_was_seen(cast, dns, alice):
    domain = failing(cast, dns)

    text = text_of(page_of(alice, domain))

    assert "Mail does not come here" in text
    assert "The MX records, which say where mail goes, lead to other servers" in text
    assert "This stands in the DNS: 10 mx.other.example" in text
    assert f"MX books.example 10 {MX}" in text
    assert "We last looked" in text
    assert "Look now" in text


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([], "The domain has no MX record"),
        (["0 ."], "says that the domain takes no mail at all"),
        ([HERE, "10 mx.other.example."], "Other servers stand beside ours"),
        ([HERE], "The records that bring mail here"),
    ],
)
def test_page_has_words_for_each_finding(cast, dns, alice, record, said):
    domain = confirmed("books.example", cast.customer)
    dns.records["books.example", "MX"] = record
    look(AT)

    assert said in text_of(page_of(alice, domain))


def test_page_of_a_domain_that_nobody_looked_at_says_so(cast, alice):
    waiting = make_domain("books.example", cast.customer)
    new = confirmed("new.example", cast.customer)

    assert "whether the domain is yours" in text_of(page_of(alice, waiting))
    assert "We do not look at the DNS" in text_of(page_of(alice, cast.domain))
    assert "We have not looked yet" in text_of(page_of(alice, new))


def test_what_strangers_write_is_shown_as_it_is(cast, dns, alice, staff):
    domain = failing(cast, dns, record=f"10 {MARKUP}.example.")
    pages = [
        page_of(alice, domain),
        alice.get("/activity/?what=domains"),
        alice.get("/domains/"),
        staff.get(f"/staff/mailstore/domain/{domain.pk}/change/"),
        staff.get("/staff/mailstore/domain/?dns=failing"),
    ]

    for page in pages:
        assert page.status_code == 200
        assert MARKUP not in page.content.decode()
    for page in (pages[0], pages[1], pages[3]):
        assert f"10 {MARKUP}.example" in text_of(page)


def test_page_says_that_the_web_site_lies_with_the_mail(cast, dns, alice):
    domain = confirmed("books.example", cast.customer)
    dns.records["books.example", "MX"] = [HERE]
    dns.records["books.example", "A"] = ["192.0.2.25"]
    look(AT)
    look(AT + DAY)

    assert "The web site of the domain lies on a server" in text_of(page_of(alice, domain))


def test_list_says_where_mail_goes(cast, dns, alice):
    failing(cast, dns)

    text = text_of(alice.get("/domains/"))

    assert "books.example Mail does not come here 0 Order a mailbox" in text
    assert "alder.test Confirmed 0" in text


def test_list_costs_the_same_however_many_domains_are_looked_at(cast, dns, alice):
    alice.get("/domains/")
    counts = []
    for number in range(2):
        confirmed(f"d{number}.example", cast.customer)
        look(AT)
        with CaptureQueriesContext(connection) as asked:
            alice.get("/domains/")
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_button_has_the_records_looked_at(cast, dns, alice):
    domain = failing(cast, dns)
    DomainDns.objects.update(due_at=timezone.now() + DAY)

    answer = alice.post(reverse("domains:look", args=[domain.uuid]), follow=True)

    assert "We look now" in text_of(answer)
    assert found(domain).due_at <= timezone.now()


def test_who_may_only_read_has_no_button(cast, dns):
    domain = failing(cast, dns)

    assert "Look now" not in text_of(page_of(client_of(cast.bob), domain))


def test_history_tells_that_it_failed_and_came_back(cast, dns, alice):
    failing(cast, dns)
    dns.records["books.example", "MX"] = [HERE]
    look(AT + 3 * DAY)

    text = text_of(alice.get("/activity/?what=domains"))

    assert "Mail for books.example does not come here: its MX records lead to 10 mx.other" in text
    assert "Mail for books.example comes here again." in text


def test_letter_goes_to_the_owner_and_not_to_the_reseller(cast, dns):
    failing(cast, dns)

    assert [notice.to for notice in Notice.objects.filter(name="domain_dns")] == [cast.alice.email]


# Staff ----------------------------------------------------------------------------------


def test_start_page_counts_what_fails_and_leads_there(cast, dns, staff):
    domain = failing(cast, dns)
    confirmed("well.example", cast.customer)

    [item] = staff.get("/staff/").context["items"]

    assert (item.title, item.count_text, item.weight) == ("DNS failing", "1", "wrong")
    assert list(staff.get(item.url).context["cl"].result_list) == [domain]


def test_start_page_costs_no_statement_more_for_what_fails(cast, dns, staff):
    staff.get("/staff/")
    with CaptureQueriesContext(connection) as before:
        staff.get("/staff/")
    for number in range(3):
        failing(cast, dns, name=f"d{number}.example")

    with CaptureQueriesContext(connection) as after:
        staff.get("/staff/")

    assert len(after) == len(before)


def test_watch_is_quiet_once_it_is_over(cast, dns, staff):
    failing(cast, dns)
    dns.records["books.example", "MX"] = [HERE]
    look(AT + 3 * DAY)

    counted = attention.find(may=lambda _permission: True, at=AT)

    assert [each.count for each in counted if each.name == "dns_failing"] == [0]


def test_list_of_domains_says_where_mail_goes(cast, dns, staff):
    domain = failing(cast, dns)

    text = text_of(staff.get("/staff/mailstore/domain/"))
    page = text_of(staff.get(f"/staff/mailstore/domain/{domain.pk}/change/"))

    assert "The MX records lead to other servers" in text
    assert "10 mx.other.example, last looked 2026-11-03 10:30 UTC" in page
    assert "failing since 2026-11-03 09:30 UTC" in page


# The doctor -----------------------------------------------------------------------------


def test_doctor_tells_how_looking_is_doing(cast, dns, settings):
    confirmed("new.example", cast.customer)
    DomainDns.objects.update(due_at=timezone.now())
    assert doctor.CHECKS["dns"]() == "nobody's mail was seen to come here yet, lag 0 min"
    failing(cast, dns)
    DomainDns.objects.update(due_at=timezone.now())
    assert doctor.CHECKS["dns"]() == "1 failing, lag 0 min"
    settings.MX_HOSTS = ["localhost"]
    assert "no domain is looked at" in doctor.CHECKS["dns"]()


def test_doctor_says_that_looking_is_late(cast):
    confirmed("new.example", cast.customer)
    DomainDns.objects.update(due_at=timezone.now() - 5 * HOUR)

    with pytest.raises(doctor.Ailment, match="5 hours behind"):
        doctor.CHECKS["dns"]()


@pytest.mark.parametrize("trouble", ["silent", "no address"])
def test_doctor_says_that_the_house_is_not_found(dns, db, trouble):
    dns.is_silent = trouble == "silent"
    dns.records.pop((MX, "A"))

    with pytest.raises(doctor.Ailment) as ailment:
        doctor.CHECKS["dns"]()

    assert "Is MX_HOSTS right?" in ailment.value.remedy
