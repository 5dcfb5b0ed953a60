"""Host names of resellers' own: asked for, proved, kept, lost and taken over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.access import Forbidden, system
from accounts.models import Event, Membership, Notice, Organisation
from hosting import panel_hosts
from hosting.models import PanelHost
from hosting.tasks import check_panel_hosts
from mailstore.resolver import resolver
from tests.factories import AT, make_member
from tests.hosting.brand_rows import HOST, make_host, publish

pytestmark = pytest.mark.django_db(databases="__all__")

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def dns(settings):
    settings.PANEL_URL = "https://panel.house.test"
    settings.ALLOWED_HOSTS = ["panel.house.test", ".house.example", "testserver"]
    settings.MAIL_HOST = "mail.house.test"
    dns = resolver()
    dns.records.clear()
    dns.is_silent = False
    dns.records["panel.house.test", "A"] = ["192.0.2.7"]
    panel_hosts.forget()
    yield dns
    dns.records.clear()
    panel_hosts.forget()


@pytest.fixture
def other(cast):
    """Another reseller, with an owner."""
    other = Organisation.objects.create(kind="reseller", name="Sorrel", parent=cast.provider)
    make_member("olive@example.test", other, Membership.Role.OWNER)
    return other


def claim(organisation, name=HOST, at=AT):
    return panel_hosts.claim(actor=system("tests"), organisation=organisation, name=name, at=at)


def look(at=AT):
    return panel_hosts.check_due(resolver=resolver(), at=at)


def fresh(host):
    return PanelHost.objects.get(pk=host.pk)


def events(kind):
    return [event.organisation.name for event in Event.objects.filter(kind=f"panel_host.{kind}")]


def letters():
    return [(notice.to, notice.context["is_verified"]) for notice in Notice.objects.order_by("pk")]


# Asking ---------------------------------------------------------------------------------


def test_name_waits_until_its_records_are_there(cast, django_capture_on_commit_callbacks):
    host = claim(cast.reseller)

    assert look() == 1
    assert fresh(host).problem == "no_proof"
    assert panel_hosts.holder(HOST) is None
    publish(host)
    with django_capture_on_commit_callbacks(execute=True):
        assert look(AT + 2 * MINUTE) == 1
    assert fresh(host).is_verified
    assert panel_hosts.holder(HOST) == cast.reseller.pk
    assert panel_hosts.panel_url(cast.reseller.pk) == f"https://{HOST}"
    assert (events("claimed"), events("verified")) == (["Rowan"], ["Rowan"])
    assert letters() == [("rita@example.test", True)]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (" Panel.Rowan.TEST. ", HOST),
        ("post.bücher.test", "post.xn--bcher-kva.test"),
        ("rowan.test", "rowan.test"),
        ("panel.house.test.rowan.test", "panel.house.test.rowan.test"),
    ],
)
def test_name_has_one_spelling(typed, name):
    assert panel_hosts.canonical(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "localhost",
        "panel",
        "192.0.2.7",
        "[::1]",
        "::1",
        "*.rowan.test",
        "*",
        "panel.rowan.test:8443",
        "https://panel.rowan.test",
        "panel.rowan.test/x",
        "panel rowan.test",
        "panel..rowan.test",
        "-panel.rowan.test",
        "_panel.rowan.test",
        "panel.rowan.test\n",
        "panel.rowan.test\r\nHost: x",
        "panel.rowan.test\x00",
        "xn--a.rowan.test",
        "user@panel.rowan.test",
        "pan\u202eel.rowan.test",
        f"{'a' * 64}.test",
        f"{'abc.' * 60}test",
        # What is the house's, in whatever spelling.
        "panel.house.test",
        "PANEL.house.test.",
        "mail.house.test",
        "house.example",
        "deep.below.house.example",
        "testserver",
    ],
)
def test_name_that_cannot_be_had_is_refused(cast, typed):
    given = typed if typed.strip() == typed else f"x{typed}x"

    with pytest.raises(panel_hosts.HostRefused):
        claim(cast.reseller, given)

    assert not PanelHost.objects.exists()


def test_house_answers_to_its_own_name_whatever_a_row_says(cast, client):
    make_host(cast.reseller, "panel.house.test")

    client.get("/healthz", headers={"host": "panel.house.test"})

    assert client.get("/", headers={"host": "panel.house.test"}).wsgi_request.seller_id is None


def test_only_resellers_have_one(cast):
    for organisation in (cast.customer, cast.provider):
        with pytest.raises(panel_hosts.HostRefused, match="reseller"):
            claim(organisation)


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_others_ask_for_nothing(cast, person):
    actor = cast.actor(getattr(cast, person))
    host = make_host(cast.reseller)

    for deed in (panel_hosts.give_up, panel_hosts.look_soon):
        with pytest.raises(Forbidden):
            deed(actor=actor, organisation=cast.reseller, at=AT)
    with pytest.raises(Forbidden):
        panel_hosts.claim(actor=actor, organisation=cast.reseller, name="x.test", at=AT)
    with pytest.raises(Forbidden):
        panel_hosts.take_away(actor=actor, host=host, reason="", at=AT)
    assert fresh(host).is_verified


def test_same_name_again_keeps_its_token(cast):
    host = claim(cast.reseller)

    assert claim(cast.reseller, "PANEL.rowan.test").token == host.token


def test_another_name_takes_the_place_of_the_first_at_once(
    cast, django_capture_on_commit_callbacks
):
    make_host(cast.reseller)
    assert panel_hosts.holder(HOST) == cast.reseller.pk

    with django_capture_on_commit_callbacks(execute=True):
        host = claim(cast.reseller, "post.rowan.test")

    assert panel_hosts.holder(HOST) is None
    assert not host.is_verified
    assert PanelHost.objects.count() == 1


def test_given_up_name_is_free(cast, django_capture_on_commit_callbacks):
    make_host(cast.reseller)
    assert panel_hosts.holder(HOST)

    with django_capture_on_commit_callbacks(execute=True):
        panel_hosts.give_up(actor=cast.actor(cast.rita), organisation=cast.reseller, at=AT)
        panel_hosts.give_up(actor=cast.actor(cast.rita), organisation=cast.reseller, at=AT)

    assert panel_hosts.holder(HOST) is None
    assert events("given_up") == ["Rowan"]
    assert panel_hosts.panel_url(cast.reseller.pk) == "https://panel.house.test"


def test_staff_take_a_name_away_for_a_reason(cast):
    host = make_host(cast.reseller)

    panel_hosts.take_away(actor=cast.actor(cast.sam), host=host, reason="Phishing.", at=AT)

    assert not PanelHost.objects.exists()
    assert Event.objects.get(kind="panel_host.taken_away").data == {"reason": "Phishing."}


# Proof ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda dns, host: dns.records.pop((host.proof_name, "TXT")), "no_proof"),
        (lambda dns, host: dns.records.update({(host.proof_name, "TXT"): ["x"]}), "no_proof"),
        (
            lambda dns, host: dns.records.update({(host.proof_name, "TXT"): [host.token]}),
            "no_proof",
        ),
        (lambda dns, host: dns.records.pop((host.name, "CNAME")), "leads_elsewhere"),
        (
            lambda dns, host: dns.records.update({(host.name, "CNAME"): ["evil.test"]}),
            "leads_elsewhere",
        ),
        (lambda dns, _host: setattr(dns, "is_silent", True), "no_answer"),
    ],
)
def test_what_is_missing_is_named(cast, dns, change, problem):
    host = claim(cast.reseller)
    publish(host)
    change(dns, host)

    look()

    assert fresh(host).problem == problem
    assert not fresh(host).is_verified


def test_proof_among_other_texts_counts(cast, dns):
    host = claim(cast.reseller)
    publish(host)
    dns.records[host.proof_name, "TXT"] = ["v=spf1 -all", host.proof_text]

    look()

    assert fresh(host).is_verified


def test_same_address_counts_as_leading_here(cast, dns):
    host = claim(cast.reseller, "rowan.test")
    publish(host, kind="A")
    dns.records["rowan.test", "A"] = ["192.0.2.7", "192.0.2.8"]

    look()

    assert fresh(host).is_verified


def test_no_addresses_at_all_are_not_the_same(cast, dns):
    dns.records.pop(("panel.house.test", "A"))
    host = claim(cast.reseller)
    publish(host, kind="A")

    look()

    assert fresh(host).problem == "leads_elsewhere"


def test_looks_become_rare_and_end(cast):
    host = claim(cast.reseller)
    waits = []
    for age in (timedelta(), 59 * MINUTE, HOUR, DAY, 13 * DAY, 14 * DAY):
        PanelHost.objects.update(due_at=AT + age)
        look(AT + age)
        due_at = fresh(host).due_at
        waits.append(due_at and due_at - AT - age)

    assert waits == [2 * MINUTE, 2 * MINUTE, 15 * MINUTE, 6 * HOUR, 6 * HOUR, None]
    assert look(AT + 90 * DAY) == 0


def test_owner_has_it_looked_at_now(cast):
    host = make_host(cast.reseller, state="waiting", verified_at=None, due_at=None)
    publish(host)

    panel_hosts.look_soon(actor=cast.actor(cast.rita), organisation=cast.reseller, at=AT)
    look()

    assert fresh(host).is_verified


def test_name_is_looked_at_once_however_many_look(cast, dns):
    host = claim(cast.reseller)
    publish(host)

    class Second:
        """Another worker that comes while the first one asks."""

        def texts(self, name):
            assert look() == 0
            return dns.texts(name)

        def __getattr__(self, name):
            return getattr(dns, name)

    assert panel_hosts.check_due(resolver=Second(), at=AT) == 1
    assert fresh(host).is_verified


@pytest.mark.parametrize("deed", ["change", "give_up"])
def test_answer_about_a_name_that_changed_meanwhile_is_dropped(cast, dns, deed):
    publish(claim(cast.reseller))

    class Slow:
        def texts(self, name):
            found = dns.texts(name)
            if deed == "change":
                claim(cast.reseller, "other.rowan.test")
            else:
                panel_hosts.give_up(actor=system("x"), organisation=cast.reseller, at=AT)
            return found

        def __getattr__(self, name):
            return getattr(dns, name)

    panel_hosts.check_due(resolver=Slow(), at=AT)

    assert not PanelHost.objects.filter(state="verified").exists()


# Keeping and losing ---------------------------------------------------------------------


def test_name_is_kept_for_a_week_without_its_records(cast, dns):
    host = make_host(cast.reseller)

    look()
    assert fresh(host).is_verified
    assert fresh(host).failing_since == AT
    look(AT + 7 * DAY - HOUR)
    assert fresh(host).is_verified
    look(AT + 7 * DAY + 6 * HOUR)

    assert not fresh(host).is_verified
    assert panel_hosts.holder(HOST) is None
    assert events("lost") == ["Rowan"]
    assert letters() == [("rita@example.test", False)]


def test_records_that_come_back_end_the_wait(cast):
    host = make_host(cast.reseller)
    look()
    publish(host)

    look(AT + 6 * HOUR)

    assert fresh(host).failing_since is None
    assert fresh(host).problem == ""
    assert fresh(host).due_at == AT + 6 * HOUR + DAY
    assert letters() == []


def test_silence_takes_nothing_away(cast, dns):
    host = make_host(cast.reseller)
    dns.is_silent = True

    for day in range(30):
        look(AT + day * DAY)

    assert fresh(host).is_verified
    assert fresh(host).problem == "no_answer"


def test_closed_reseller_loses_its_name_with_the_commit(cast):
    make_host(cast.reseller)
    assert panel_hosts.holder(HOST)

    Organisation.objects.filter(pk=cast.reseller.pk).update(state="closed")
    panel_hosts.forget()

    assert panel_hosts.holder(HOST) is None
    assert panel_hosts.panel_url(cast.reseller.pk) == "https://panel.house.test"
    cast.reseller.refresh_from_db()
    assert panel_hosts.url_of(cast.reseller) == "https://panel.house.test"


def test_two_cannot_hold_one_name(cast, other):
    make_host(cast.reseller)

    with pytest.raises(IntegrityError), transaction.atomic():
        make_host(other)


def test_name_of_somebody_else_is_not_had_by_asking(cast, other):
    first = make_host(cast.reseller)
    publish(first)
    second = claim(other)

    look(AT + MINUTE)

    assert fresh(first).is_verified
    assert fresh(second).problem == "no_proof"


def test_second_who_proves_it_waits_while_the_firsts_proof_stands(cast, dns, other):
    first = make_host(cast.reseller, due_at=AT + DAY)
    publish(first)
    second = claim(other)
    dns.records[second.proof_name, "TXT"].append(second.proof_text)

    look()

    assert fresh(second).problem == "taken"
    assert not fresh(second).is_verified
    # The holder is looked at now, and not only tomorrow.
    assert fresh(first).due_at == AT


def test_domain_that_has_changed_hands_goes_to_whoever_proves_it(cast, other):
    first = make_host(cast.reseller, due_at=AT + DAY)
    second = claim(other)
    publish(second)

    look()
    look(AT + MINUTE)
    look(AT + 2 * MINUTE)

    assert not fresh(first).is_verified
    assert fresh(second).is_verified
    assert (events("lost"), events("verified")) == (["Rowan"], ["Sorrel"])


def test_name_of_a_closed_reseller_goes_to_whoever_proves_it(cast, other):
    first = make_host(cast.reseller, due_at=AT + DAY)
    Organisation.objects.filter(pk=cast.reseller.pk).update(state="closed")
    second = claim(other)
    publish(second)

    look()

    assert not fresh(first).is_verified
    assert fresh(second).is_verified


def test_squatter_who_never_proves_it_is_in_nobodys_way(cast, other):
    claim(other)
    host = claim(cast.reseller)
    publish(host)

    look()

    assert fresh(host).is_verified


def test_address_keeps_scheme_and_port_of_the_house(cast, settings):
    settings.PANEL_URL = "http://localhost:8025"

    assert panel_hosts.url(HOST) == f"http://{HOST}:8025"


def test_names_are_read_once_for_many_requests(cast, django_assert_num_queries):
    make_host(cast.reseller)

    with django_assert_num_queries(1):
        found = [panel_hosts.holder(f"{number}.rowan.test") for number in range(50)]
        found.append(panel_hosts.holder(HOST))

    assert found == [None] * 50 + [cast.reseller.pk]


def test_worker_looks_by_its_schedule(cast):
    publish(claim(cast.reseller))

    assert check_panel_hosts() == 1
    assert PanelHost.objects.get().is_verified
