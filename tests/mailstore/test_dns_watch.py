"""Whether mail of domains comes here: found, failing after a while, told once, and over."""

from __future__ import annotations

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from dns import rcode

from accounts import notices
from accounts.access import Forbidden, system
from accounts.models import Event, Notice, Organisation
from mailstore import dns_watch, mail_routes
from mailstore.models import Domain, DomainDns
from mailstore.resolver import NoAnswer, resolver
from mailstore.resolver.memory import MemoryResolver
from mailstore.tasks import watch_domain_dns
from tests.factories import AT, make_domain
from tests.mailstore.dns_rows import (
    DAY,
    ELSEWHERE,
    HERE,
    HOUR,
    MINUTE,
    MX,
    confirmed,
    found,
    house_in_dns,
    look,
    look_until,
)
from tests.mailstore.name_server import NameServer

pytestmark = pytest.mark.django_db(databases="__all__")

MARKUP = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def dns(settings):
    with house_in_dns(settings) as dns:
        yield dns


@pytest.fixture
def domain(cast, dns):
    """One whose mail comes here, and was seen to."""
    domain = confirmed("alder.example", cast.customer)
    dns.records["alder.example", "MX"] = [HERE]
    look(AT)
    return domain


def told(kind="dns_failing"):
    events = Event.objects.filter(kind=f"domain.{kind}").order_by("pk")
    return [(event.subject_name, event.data) for event in events]


def letters():
    return list(Notice.objects.filter(name="domain_dns").values_list("to", flat=True))


def lose(dns, name="alder.example", record=ELSEWHERE):
    dns.records[name, "MX"] = [record]


# What is found --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "finding", "seen"),
    [
        ([HERE], "here", f"10 {MX}"),
        (["10 MX.House.EXAMPLE."], "here", f"10 {MX}"),
        ([], "no_mx", ""),
        (["0 ."], "null_mx", "0 ."),
        ([ELSEWHERE], "elsewhere", "10 mx.other.example"),
        ([HERE, "20 backup.other.example."], "here", f"10 {MX}, 20 backup.other.example"),
        ([HERE, ELSEWHERE], "partly", f"10 {MX}, 10 mx.other.example"),
        (["5 first.other.example.", HERE], "partly", f"5 first.other.example, 10 {MX}"),
        (["0 .", HERE], "here", f"0 ., 10 {MX}"),
    ],
)
def test_finding_tells_where_mail_goes(cast, dns, records, finding, seen):
    domain = confirmed("alder.example", cast.customer)
    dns.records["alder.example", "MX"] = records

    assert look(AT) == 1

    assert (found(domain).finding, found(domain).seen) == (finding, seen)
    assert found(domain).checked_at == AT


def test_server_of_another_name_at_our_address_is_ours(cast, dns):
    domain = confirmed("alder.example", cast.customer)
    dns.records["alder.example", "MX"] = ["10 mail.alder.example."]
    dns.records["mail.alder.example", "A"] = ["192.0.2.25"]

    look(AT)

    assert found(domain).finding == "here"


def test_alias_of_our_server_is_ours(cast, dns):
    domain = confirmed("alder.example", cast.customer)
    dns.records["alder.example", "MX"] = ["10 mail.alder.example."]
    dns.records["mail.alder.example", "CNAME"] = [MX]

    look(AT)

    assert found(domain).finding == "here"


def test_domain_that_is_an_alias_has_the_records_of_its_target(cast, dns):
    domain = confirmed("post.alder.example", cast.customer)
    dns.records["post.alder.example", "CNAME"] = ["alder.example"]
    dns.records["alder.example", "MX"] = [HERE]

    look(AT)

    assert found(domain).finding == "here"


def test_without_mx_mail_goes_to_the_address_of_the_name(cast, dns):
    domain = confirmed("alder.example", cast.customer)
    dns.records["alder.example", "A"] = ["192.0.2.25"]

    look(AT)

    assert found(domain).finding == "here"


def test_international_domain_is_asked_for_by_its_name_in_the_dns(cast, dns):
    domain = confirmed("büro.example", cast.customer)
    dns.records["xn--bro-hoa.example", "MX"] = [HERE]

    look(AT)

    assert found(domain).finding == "here"


def test_hostile_records_are_kept_plain_and_short(cast, dns):
    domain = confirmed("alder.example", cast.customer)
    hosts = [f"{n} {MARKUP}\x00é.{'x' * 60}.example." for n in range(10, 40)]
    dns.records["alder.example", "MX"] = [host.replace(" ", "\t", 1) for host in hosts]

    look(AT)

    seen = found(domain).seen
    assert seen.startswith("10 <script>alert(1)</script>??.")
    assert (len(seen), seen[-1]) == (DomainDns.SEEN_LETTERS, "…")
    assert seen[:-1].isascii()
    assert seen[:-1].isprintable()


class Counting(MemoryResolver):
    def __init__(self):
        super().__init__()
        self.asked = []

    def addresses(self, name):
        self.asked.append(name)
        return super().addresses(name)


def test_of_many_servers_few_are_looked_up():
    counting = Counting()
    house = mail_routes.House(hosts=frozenset({MX}), addresses=frozenset({"192.0.2.25"}))
    hosts = [f"{n} mx{n}.other.example." for n in range(100)]
    counting.records["alder.example", "MX"] = hosts

    route = mail_routes.find("alder.example", house=house, resolver=counting)

    assert route.finding == "elsewhere"
    assert counting.asked == [f"mx{n}.other.example" for n in range(5)]


def test_slow_name_servers_are_not_waited_for_without_end(cast, dns, monkeypatch):
    monkeypatch.setattr(mail_routes, "_LONGEST_LOOK_SECONDS", -1.0)
    domain = confirmed("alder.example", cast.customer)

    assert look(AT) == 0

    assert found(domain).checked_at is None


def test_server_that_is_not_known_is_no_stranger(cast, dns):
    dns.silent_about = {"mail.alder.example"}
    one = confirmed("alder.example", cast.customer)
    other = confirmed("birch.example", cast.customer)
    dns.records["alder.example", "MX"] = ["10 mail.alder.example."]
    dns.records["birch.example", "MX"] = ["10 mail.alder.example.", "20 mx.house.example."]

    look(AT)

    assert found(one).finding == "unknown"
    assert found(other).finding == "partly"


# Failing --------------------------------------------------------------------------------


def test_domain_fails_after_three_looks_over_an_hour(cast, dns, domain):
    lose(dns)

    for after in (0, 20, 40):
        look(AT + DAY + after * MINUTE)
    assert found(domain).failing_since is None
    look(AT + DAY + HOUR)

    assert found(domain).failing_since == AT + DAY
    assert told() == [
        (
            "alder.example",
            {"problem": "elsewhere", "expected": MX, "seen": "10 mx.other.example"},
        )
    ]
    assert letters() == ["alice@example.test"]


def test_looks_that_are_few_are_not_enough_however_long_it_takes(cast, dns, domain):
    lose(dns)

    look(AT + DAY)
    look(AT + 2 * DAY)

    assert found(domain).missing_looks == 2
    assert told() == []


def test_failing_is_told_once(cast, dns, domain):
    lose(dns)

    look_until(AT + 10 * DAY, since=AT + DAY, every=6 * HOUR)

    assert len(told()) == 1
    assert letters() == ["alice@example.test"]


def test_domain_that_comes_back_is_told_of_and_clean(cast, dns, domain):
    lose(dns)
    look_until(AT + DAY + HOUR, since=AT + DAY)
    dns.records["alder.example", "MX"] = [HERE]

    look(AT + DAY + 2 * HOUR)

    row = found(domain)
    assert (row.failing_since, row.missing_since, row.missing_looks) == (None, None, 0)
    assert told("dns_recovered") == [("alder.example", {})]
    assert letters() == ["alice@example.test"]


def test_records_that_come_and_go_never_fail(cast, dns, domain):
    for turn in range(30):
        at = AT + DAY * (turn + 1)
        lose(dns)
        look(at)
        look(at + 20 * MINUTE)
        dns.records["alder.example", "MX"] = [HERE]
        look(at + 40 * MINUTE)

    assert told() == []


def test_letters_about_what_fails_again_and_again_are_a_day_apart(cast, dns, domain):
    for turn in range(2):
        at = AT + DAY + turn * 6 * HOUR
        lose(dns)
        DomainDns.objects.update(due_at=at)
        look_until(at + HOUR, since=at)
        dns.records["alder.example", "MX"] = [HERE]
        look(at + 2 * HOUR)
    assert (len(told()), len(letters())) == (2, 1)

    lose(dns)
    look_until(AT + 4 * DAY + HOUR, since=AT + 4 * DAY)

    assert (len(told()), len(letters())) == (3, 2)


def test_letter_that_had_to_wait_is_written_a_day_later(cast, dns, domain):
    other = confirmed("birch.example", cast.customer)
    dns.records["birch.example", "MX"] = [HERE]
    look(AT + HOUR)
    lose(dns)
    look_until(AT + 2 * DAY + HOUR, since=AT + 2 * DAY)
    lose(dns, "birch.example")
    DomainDns.objects.update(due_at=AT + 2 * DAY + 10 * HOUR)
    look_until(AT + 2 * DAY + 12 * HOUR, since=AT + 2 * DAY + 10 * HOUR)
    assert found(other).failing_since
    assert len(letters()) == 1

    look(AT + 4 * DAY)

    assert len(letters()) == 2
    last = Notice.objects.filter(name="domain_dns").latest("pk")
    assert [line["name"] for line in last.context["lines"]] == ["birch.example"]


def test_many_domains_of_one_owner_are_one_letter(cast, dns, domain):
    names = [f"a{n:02}.example" for n in range(30)]
    for name in names:
        confirmed(name, cast.customer)
        dns.records[name, "MX"] = [HERE]
    look(AT)
    for name in names:
        lose(dns, name, "10 <b>x</b>.example.")

    look_until(AT + DAY + HOUR, since=AT + DAY)

    (letter,) = Notice.objects.filter(name="domain_dns")
    subject, text = notices.written(letter)
    assert subject == "Mail for a00.example and others does not come here"
    assert "a19.example: The MX records lead to other servers (10 <b>x</b>.example)" in text
    assert "and 10 more" in text
    assert MX in text
    assert f"/domains/{Domain.objects.get(name='a00.example').uuid}/" in text


def test_domain_on_its_way_here_has_days(cast, dns, domain):
    new = confirmed("birch.example", cast.customer)
    look(AT)

    look_until(AT + 3 * DAY - HOUR, since=AT, every=HOUR)
    assert found(new).failing_since is None
    look_until(AT + 3 * DAY + 6 * HOUR, since=AT + 3 * DAY, every=HOUR)

    assert found(new).failing_since == AT
    assert [name for name, _data in told()] == ["birch.example"]


def test_where_nobodys_mail_comes_the_setting_is_likelier_wrong(cast, dns):
    domain = confirmed("alder.example", cast.customer)

    look_until(AT + 10 * DAY, since=AT, every=6 * HOUR)

    assert found(domain).missing_looks > 10
    assert (told(), letters()) == ([], [])


def test_domain_of_a_closed_organisation_fails_no_more(cast, dns, domain):
    lose(dns)
    look_until(AT + DAY + HOUR, since=AT + DAY)
    Organisation.objects.filter(pk=cast.customer.pk).update(state="closed")

    look_until(AT + 3 * DAY, since=AT + DAY + 2 * HOUR, every=HOUR)

    assert found(domain).failing_since is None
    assert (len(told()), told("dns_recovered")) == (1, [])


# Not known ------------------------------------------------------------------------------


def test_silence_is_not_known_and_no_failure(cast, dns, domain):
    dns.silent_about = {"alder.example"}

    look_until(AT + 5 * DAY, since=AT + DAY, every=HOUR)

    row = found(domain)
    assert (row.finding, row.checked_at, row.missing_looks) == ("here", AT, 0)
    assert row.due_at > AT + 5 * DAY
    assert told() == []


def test_silence_between_bad_answers_neither_counts_nor_forgives(cast, dns, domain):
    lose(dns)
    look(AT + DAY)
    look(AT + DAY + 20 * MINUTE)
    dns.silent_about = {"alder.example"}
    look(AT + DAY + 40 * MINUTE)
    assert found(domain).missing_looks == 2
    dns.silent_about = set()

    look(AT + DAY + 2 * HOUR)

    assert found(domain).failing_since == AT + DAY


def test_failing_domain_goes_on_failing_in_silence(cast, dns, domain):
    lose(dns)
    look_until(AT + DAY + HOUR, since=AT + DAY)
    dns.silent_about = {"alder.example"}

    look(AT + 2 * DAY)

    assert found(domain).failing_since == AT + DAY
    assert told("dns_recovered") == []


@pytest.mark.parametrize("trouble", ["silent", "no address"])
def test_without_the_house_nobody_is_looked_at(cast, dns, domain, trouble):
    dns.is_silent = trouble == "silent"
    dns.records.pop((MX, "A"))
    before = found(domain)

    assert look(AT + 5 * DAY) == 0

    assert (found(domain).due_at, found(domain).finding) == (before.due_at, "here")
    assert dns_watch.lag(at=AT + 5 * DAY) == 4 * DAY


def test_resolver_that_goes_away_ends_the_run_after_one_wave(cast, dns):
    names = [f"a{n}.example" for n in range(45)]
    for name in names:
        confirmed(name, cast.customer)
    dns.silent_about = set(names)

    assert look(AT) == 0

    assert DomainDns.objects.filter(due_at=AT + HOUR).count() == 20
    assert DomainDns.objects.filter(due_at=AT).count() == 25


# Which, and how many --------------------------------------------------------------------


def test_only_confirmed_domains_that_can_be_in_the_dns_are_looked_at(cast, dns):
    make_domain("books.test", cast.customer)
    waiting = make_domain("books.example", cast.customer)

    assert look(AT) == 0
    with pytest.raises(ObjectDoesNotExist):
        found(waiting)


@pytest.mark.parametrize("hosts", [[], ["localhost"], ["mail.restante.test"]])
def test_without_names_that_the_dns_could_have_nothing_is_looked_at(cast, dns, settings, hosts):
    domain = confirmed("alder.example", cast.customer)
    settings.MX_HOSTS = hosts

    assert look(AT) == 0
    assert found(domain).checked_at is None


def test_run_is_bounded_and_takes_the_oldest_first(cast, dns):
    for n in range(5):
        row = found(confirmed(f"a{n}.example", cast.customer))
        DomainDns.objects.filter(pk=row.pk).update(due_at=AT - n * HOUR)

    assert dns_watch.watch(resolver=resolver(), at=AT, limit=2) == 2

    looked_at = DomainDns.objects.filter(checked_at=AT).values_list("domain__name", flat=True)
    assert sorted(looked_at) == ["a3.example", "a4.example"]


def test_well_domain_is_looked_at_daily(cast, dns, domain):
    assert look(AT + DAY - MINUTE) == 0
    assert look(AT + DAY) == 1


def test_domain_with_a_moment_of_a_wrong_clock_is_looked_at(cast, dns, domain):
    DomainDns.objects.update(due_at=AT + 400 * DAY)

    assert look(AT + HOUR) == 1


def routed(name):
    return mail_routes.find(name, house=mail_routes.house(resolver()), resolver=resolver())


def test_what_one_sweep_looks_at_another_leaves_alone(cast, dns, domain):
    lose(dns)
    (claim,) = dns_watch._claim(at=AT + DAY, most=20)
    assert dns_watch._claim(at=AT + DAY, most=20) == []
    assert look(AT + DAY + MINUTE) == 0
    route = routed("alder.example")

    assert dns_watch._settle(claim, route, at=AT + DAY)
    assert not dns_watch._settle(claim, route, at=AT + DAY)

    assert found(domain).missing_looks == 1


def test_dead_worker_costs_ten_minutes(cast, dns, domain):
    dns_watch._claim(at=AT + DAY, most=20)

    assert look(AT + DAY + 9 * MINUTE) == 0
    assert look(AT + DAY + 10 * MINUTE) == 1


def test_domain_that_is_removed_during_a_look_is_no_harm(cast, dns, domain):
    (claim,) = dns_watch._claim(at=AT + DAY, most=20)
    route = routed("alder.example")
    domain.delete()

    assert not dns_watch._settle(claim, route, at=AT + DAY)
    assert told() == []


def test_look_costs_the_same_for_the_failing(cast, dns, domain):
    lose(dns)
    look_until(AT + DAY + HOUR, since=AT + DAY)

    with CaptureQueriesContext(connection) as asked:
        look(AT + 2 * DAY)

    in_tables = [q["sql"] for q in asked if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    # Two to find and one to claim, again two that find no more, one to read and one to write;
    # one asks for letters.
    assert len(in_tables) == 8


def test_nothing_fails_that_is_not_missing(cast, dns, domain):
    with pytest.raises(IntegrityError), transaction.atomic():
        DomainDns.objects.update(failing_since=AT)


def test_task_looks_and_writes(cast, dns):
    domain = confirmed("alder.example", cast.customer)

    assert watch_domain_dns() == 1
    assert found(domain).finding == "no_mx"


# Asking for a look ----------------------------------------------------------------------


def test_look_can_be_asked_for(cast, dns, domain, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as nudges:
        dns_watch.look_soon(actor=system("tests"), domain=domain, at=AT + MINUTE)

    assert len(nudges) == 1
    assert look(AT + MINUTE) == 1


def test_look_right_after_the_last_is_not_made(cast, dns, domain):
    dns_watch.look_soon(actor=system("tests"), domain=domain, at=AT + MINUTE / 4)

    assert found(domain).due_at == AT + DAY


def test_who_may_only_read_asks_for_no_look(cast, dns, domain):
    with pytest.raises(Forbidden):
        dns_watch.look_soon(actor=cast.actor(cast.bob), domain=domain, at=AT + MINUTE)


# Web site and mail ----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["alder.example", "www.alder.example"])
def test_web_site_beside_the_mail_is_told_once_after_a_second_look(cast, dns, domain, host):
    dns.records[host, "A"] = ["192.0.2.25"]

    look(AT + DAY)
    assert told("cohosted") == []
    look(AT + 2 * DAY)
    look(AT + 3 * DAY)

    assert told("cohosted") == [("alder.example", {})]
    assert found(domain).cohosted_since == AT + DAY


def test_web_site_that_moves_away_is_cohosted_no_more(cast, dns, domain):
    dns.records["www.alder.example", "A"] = ["192.0.2.25"]
    look(AT + DAY)
    look(AT + 2 * DAY)
    dns.records["www.alder.example", "A"] = ["198.51.100.80"]

    look(AT + 3 * DAY)

    assert (found(domain).cohosted_seen_at, found(domain).cohosted_since) == (None, None)


def test_web_site_of_which_nothing_is_known_changes_nothing(cast, dns, domain):
    dns.records["www.alder.example", "A"] = ["192.0.2.25"]
    look(AT + DAY)
    look(AT + 2 * DAY)
    dns.silent_about = {"www.alder.example"}

    look(AT + 3 * DAY)

    assert found(domain).checked_at == AT + 3 * DAY
    assert found(domain).cohosted_since == AT + DAY


# With a name server ---------------------------------------------------------------------


@pytest.fixture
def server():
    server = NameServer()
    server.hold(MX, "A", "192.0.2.25")
    yield server
    server.end()


def test_real_name_server_is_understood(cast, server):
    names = ["here", "gone", "null", "elsewhere", "alias"]
    rows = [confirmed(f"{name}.example", cast.customer) for name in names]
    server.hold("here.example", "MX", f"10 {MX}.")
    server.hold("null.example", "MX", "0 .")
    server.hold("elsewhere.example", "MX", "10 <b>x</b>\\000\\233.other.example.")
    server.hold("alias.example", "MX", "10 mail.alias.example.")
    server.hold("mail.alias.example", "CNAME", MX)

    assert dns_watch.watch(resolver=server.resolver, at=AT) == 5

    found_of = [found(row).finding for row in rows]
    assert found_of == ["here", "no_mx", "null_mx", "elsewhere", "here"]
    assert found(rows[3]).seen == r"10 <b>x</b>\000\233.other.example"


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED", "silence"])
def test_name_server_in_trouble_is_not_known(cast, server, trouble):
    domain = confirmed("alder.example", cast.customer)
    house = mail_routes.house(server.resolver)
    if trouble == "silence":
        server.fall_silent()
    else:
        server.code = getattr(rcode, trouble)

    with pytest.raises(NoAnswer):
        mail_routes.find("alder.example", house=house, resolver=server.resolver)

    assert dns_watch.watch(resolver=server.resolver, at=AT) == 0
    assert found(domain).finding == "unknown"
