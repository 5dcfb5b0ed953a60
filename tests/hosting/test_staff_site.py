"""The start page, the search and the mail server's page; coming into a customer from there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, visits
from accounts.access import system
from accounts.models import Event, FactorLoss, Membership, Notice, Organisation, Visit
from hosting import attention, feed, finding, gathering, public_ids
from hosting.models import BulkRequest, Pulse
from hosting.staff_site import start
from mailstore.models import Alarm, Domain, Drift, GuessingAlarm, Hold, Mailbox, PurgeRun
from tests.corpus import HOSTILE_LOCAL_PARTS
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.api.caller import make_key
from tests.hosting.ledger_rows import make_bill
from tests.staffing import verified

SOME_ID = "3f0c9f0e-6a3b-4a4e-9c51-2b1d7f4f6a11"
pytestmark = pytest.mark.django_db(databases="__all__")

MARKUP = "<script>alert(1)</script>"


def items(client):
    found = client.get("/staff/").context["items"]
    return {item.title: item for item in found}


# What needs attention -------------------------------------------------------------------


def test_every_watch_has_words_and_every_page_exists(staff):
    assert set(start._WORDS) == {watch.name for watch in attention.WATCHES}
    for watch in attention.WATCHES:
        item = start._item(attention.Found(name=watch.name, count=1, since=AT), at=AT)
        answer = staff.get(item.url)
        assert answer.status_code == 200, item.url
        assert "e=1" not in item.url


def test_quiet_house_says_so(staff, cast):
    page = staff.get("/staff/").content.decode()

    assert "Nothing needs attention." in page
    assert f"{len(attention.WATCHES)} things are quiet" in page


def test_start_page_tells_how_much_since_when_and_leads_there(staff, cast):
    now = timezone.now()
    mailbox = make_mailbox(cast.domain)
    Alarm.objects.create(
        mailbox=mailbox, at=now - timedelta(hours=5), since=AT, messages=9, bytes=9, reason="x"
    )
    for hours in (30, 50):
        Domain.objects.create(
            name=f"{hours}.test",
            organisation=cast.customer,
            created_at=now - timedelta(hours=hours),
        )

    found = items(staff)

    assert list(found) == ["Tripwires without an answer", "Domains nobody has confirmed"]
    alarms, domains = found.values()
    assert (alarms.count_text, alarms.since_text, alarms.weight) == ("1", "5\xa0hours", "urgent")
    assert (domains.count_text, domains.since_text) == ("2", "2\xa0days")
    assert list(staff.get(alarms.url).context["cl"].result_list) == [Alarm.objects.get()]
    assert len(staff.get(domains.url).context["cl"].result_list) == 2


def planted(cast, sam):
    """One row for each kind that is easily made, and what its list shows then."""
    now, mailbox = timezone.now(), make_mailbox(cast.domain)
    run = {"mailbox": mailbox, "planned_by": "retention", "rules": []}
    PurgeRun.objects.create(kind="retention", planned_at=now, failure="down", **run)
    PurgeRun.objects.create(kind="store", planned_at=now - timedelta(hours=1), **run)
    Mailbox.objects.filter(pk=mailbox.pk).update(full_since=now)
    Notice.objects.create(to="x@example.test", name="test_message", created_at=AT, failure="550")
    Hold.objects.create(
        mailbox=mailbox, matter="Case 7", reason="Court", placed_by=sam, placed_at=AT
    )
    BulkRequest.objects.create(
        deed="suspend_mailboxes",
        state="asked",
        asked_by=sam,
        asked_at=now,
        expires_at=now + timedelta(days=1),
        needs_second=True,
    )
    GuessingAlarm.objects.create(mailbox=mailbox, began_at=now, noticed_at=now)
    FactorLoss.objects.create(
        user=cast.alice, asked_by="Alice", asked_at=now, due_at=now + timedelta(days=3), told_at=now
    )
    until = int(now.timestamp()) - 60
    Drift.objects.create(
        username=mailbox.address, since=until - 9, until=until, noted_bytes=3, true_bytes=4
    )


def test_each_thing_is_counted_once_and_its_list_shows_it(staff, cast):
    planted(cast, cast.sam)

    found = items(staff)

    assert {title: item.count_text for title, item in found.items()} == {
        "Waits for a second person": "1",
        "Purges that do not get on": "1",
        "Purges that are late": "1",
        "Letters that were not taken": "1",
        "Full mailboxes": "1",
        "Mailboxes whose password was guessed at": "1",
        "Lost second factors that wait": "1",
        "Meters that had drifted": "1",
        "Holds that stand": "1",
    }
    for item in found.values():
        assert len(staff.get(item.url).context["cl"].result_list) == 1, item.title


def clerk_of(cast):
    """Somebody of the house who keeps the books, and sees no mail."""
    return verified(make_member("dina@example.test", cast.provider, Membership.Role.STAFF_BILLING))


def test_somebody_sees_only_what_they_may_look_at(cast):
    planted(cast, cast.sam)
    page = clerk_of(cast).get("/staff/")

    titles = [item.title for item in page.context["items"]]
    assert titles == ["Letters that were not taken", "Lost second factors that wait"]
    assert "Full mailboxes" not in page.content.decode()


def test_start_page_takes_fifteen_statements_at_most_and_counts_no_table(staff, cast):
    planted(cast, cast.sam)

    with CaptureQueriesContext(connection) as queries:
        staff.get("/staff/")

    assert len(queries) <= 15
    texts = [each["sql"].upper() for each in queries]
    counting = [text for text in texts if "COUNT(" in text]
    # Each count is of a piece that ends after a thousand rows and one.
    for text in counting:
        assert text.count("COUNT(*)") <= text.count("LIMIT 1001")
        assert "OFFSET" not in text


def test_more_than_a_thousand_are_not_counted_on(staff, cast, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_COUNTED", 3)
    for number in range(6):
        Domain.objects.create(name=f"d{number}.test", organisation=cast.customer)

    [item] = items(staff).values()

    assert item.count_text == "3+"


def is_read_by_index(rows):
    """Whether the database finds the rows without reading the table, and need not sort them."""
    if connection.vendor == "postgresql":
        # Small tables are read as a whole unless that is made expensive.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        plan = rows.explain()
        return "Seq Scan" not in plan and "Sort" not in plan
    plan, table = rows.explain(), rows.model._meta.db_table
    by_index = f"SCAN {table} USING" in plan or f"SEARCH {table} USING" in plan
    return (by_index or "MULTI-INDEX OR" in plan) and "TEMP B-TREE" not in plan


def test_every_watch_is_answered_from_an_index_of_what_is_wrong(cast):
    """Were one not, a million mailboxes would be read for the start page."""
    # The first holds nothing else. Through a list of values only PostgreSQL sees the index.
    exempt = {"setbacks"}
    if connection.vendor == "sqlite":
        exempt |= {"failed_purges", "late_purges", "failed_restores", "webhooks_off"}
    read_as_a_whole = []
    for watch in attention.WATCHES:
        rows = watch.rows(AT).values("pk")[:9]
        is_here = not watch.is_reported or connection.vendor == "postgresql"
        if is_here and watch.name not in exempt and not is_read_by_index(rows):
            read_as_a_whole.append(watch.name)

    assert read_as_a_whole == []


def test_signs_tell_how_the_house_is(staff, cast, settings):
    settings.DOVEADM_PORT = 1
    signs = {sign.title: sign for sign in staff.get("/staff/").context["signs"]}
    assert not signs["Queue, workers and beat"].is_well
    assert not signs["Mail server"].is_well
    assert signs["Disk"].is_well

    Pulse.objects.create(name="beat", at=timezone.now())
    signs = {sign.title: sign for sign in staff.get("/staff/").context["signs"]}
    assert signs["Queue, workers and beat"].is_well


# Search ---------------------------------------------------------------------------------


def search(client, text):
    page = client.get("/staff/search/", {"q": text})
    assert page.status_code == 200
    return {
        group.title: [hit.title for hit in group.hits] for group in page.context["groups"]
    }, page


def found(client, text):
    return search(client, text)[0]


def test_search_finds_by_how_things_begin(staff, cast):
    make_mailbox(cast.domain, "ann")
    bill = make_bill(cast.other_customer, 1000)

    assert found(staff, "ald") == {"organisations": ["Alder"], "domains": ["alder.test"]}
    assert found(staff, "ALDER") == {"organisations": ["Alder"], "domains": ["alder.test"]}
    assert found(staff, "Ann@Al") == {"mailboxes": ["ann@alder.test"]}
    assert found(staff, "alice@") == {"users": ["alice@example.test"]}
    assert found(staff, bill.number[:4].lower()) == {"invoices": [bill.number]}
    assert found(staff, "lder") == {}


def test_search_finds_by_reference_and_by_names_beyond_ascii(staff, cast):
    Organisation.objects.filter(pk=cast.customer.pk).update(external_ref="C-17", name="Ärzte")
    Domain.objects.create(name="xn--bcher-kva.test", organisation=cast.customer)

    assert found(staff, "C-17") == {"organisations": ["Ärzte"]}
    assert found(staff, "Ärz") == {"organisations": ["Ärzte"]}
    assert found(staff, "bücher.test") == {"domains": ["xn--bcher-kva.test"]}


def test_search_finds_by_every_kind_of_id(staff, cast):
    mailbox = make_mailbox(cast.domain)
    key = make_key(cast.customer)
    event = Event.objects.latest("seq")

    assert found(staff, str(mailbox.uuid)) == {"mailboxes": [mailbox.address]}
    assert found(staff, mailbox.uuid.hex.upper()) == {"mailboxes": [mailbox.address]}
    public_id = public_ids.encode("mbx", mailbox.uuid)
    assert found(staff, public_id) == {"mailboxes": [mailbox.address]}
    assert found(staff, public_ids.encode("org", mailbox.uuid)) == {}
    assert found(staff, key.secret) == {"API keys": [key.api_key.label]}
    assert found(staff, f"…{key.api_key.hint}") == {"API keys": [key.api_key.label]}
    assert found(staff, feed.names().encode(event.seq)) == {"events": [event.kind]}
    assert found(staff, SOME_ID) == {}


def test_what_matches_as_a_whole_comes_first_and_many_are_cut(staff, cast):
    for number in range(12):
        make_mailbox(cast.domain, f"desk{number}")
    make_mailbox(cast.domain, "desk")

    page = staff.get("/staff/search/", {"q": "desk@alder.test"})
    [group] = page.context["groups"]
    assert [hit.title for hit in group.hits] == ["desk@alder.test"]

    assert found(staff, "desk1")["mailboxes"][0] == "desk1@alder.test"
    page = staff.get("/staff/search/", {"q": "desk"})
    [group] = page.context["groups"]
    assert group.hits[0].title == "desk@alder.test"
    assert len(group.hits) == finding.MOST_OF_A_KIND
    assert group.more_url == "/staff/mailstore/mailbox/?q=desk"
    assert len(staff.get(group.more_url).context["cl"].result_list) == 13


def test_search_tells_owner_and_state_and_leads_to_the_page(staff, cast):
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.filter(pk=mailbox.pk).update(state="suspended")

    page = staff.get("/staff/search/", {"q": "hello@alder.test"})

    [hit] = page.context["groups"][0].hits
    assert (hit.owner, hit.state) == ("Alder", "Suspended")
    assert staff.get(hit.url).status_code == 200


@pytest.mark.parametrize("text", ["desk", "ann@alder.test", "R-1", "x" * 5_000, SOME_ID])
def test_search_takes_eight_statements_at_most_and_looks_into_no_words(staff, cast, text):
    with CaptureQueriesContext(connection) as queries:
        staff.get("/staff/search/", {"q": text})

    assert len(queries) <= 8
    sql = " ".join(each["sql"] for each in queries)
    assert "COUNT(" not in sql
    assert "LIKE '%" not in sql
    assert "OFFSET" not in sql


@pytest.mark.parametrize("text", ["desk1", "ann@alder.test", "abcd", SOME_ID])
def test_every_search_is_answered_from_an_index(cast, text):
    parts = [(kind, finding._part(kind, query)) for kind, query in finding._conditions(text)]

    assert len(parts) > 5
    assert [kind for kind, part in parts if not is_read_by_index(part)] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "%",
        "_",
        "'",
        "\\",
        "x%' OR 1=1 --",
        MARKUP,
        "\u202e",
        "😀",
        "a" * 300,
        "mbx_zz",
        "evt_" + "0" * 32,
        "…",
        "@",
        "a@",
        *HOSTILE_LOCAL_PARTS,
    ],
)
def test_search_stands_whatever_is_typed(staff, cast, text):
    page = staff.get("/staff/search/", {"q": text.replace("\0", "")})

    assert page.status_code == 200
    assert MARKUP not in page.content.decode()


def test_search_shows_hostile_names_harmless(staff, cast):
    Organisation.objects.filter(pk=cast.customer.pk).update(name=MARKUP)

    _groups, page = search(staff, "<script")

    assert MARKUP not in page.content.decode()
    assert "&lt;script&gt;alert(1)" in page.content.decode()


def test_search_finds_only_what_somebody_may_look_at(cast):
    make_mailbox(cast.domain)
    client = clerk_of(cast)

    assert found(client, "alder") == {"organisations": ["Alder"]}
    assert found(client, "alder.test") == {}
    assert found(client, "hello@alder.test") == {}


# The mail server ------------------------------------------------------------------------


def test_mail_server_page_tells_what_is_known(staff, cast, twin):
    page = staff.get("/staff/mail-server/")

    assert page.status_code == 200
    assert "answers." in page.content.decode()
    assert "imap" in [each.name for each in page.context["node"].services]


def test_mail_server_that_is_down_is_said_to_be(staff, cast, twin):
    twin.is_down = True

    page = staff.get("/staff/mail-server/")

    assert page.status_code == 200
    assert "The mail server does not answer." in page.content.decode()


def test_mail_server_page_needs_a_right(cast):
    assert clerk_of(cast).get("/staff/mail-server/").status_code == 403


# Acting in a customer -------------------------------------------------------------------


def come(client, organisation, back="", **fields):
    where = f"/staff/accounts/visit/add/?organisation={organisation.pk}&back={back}"
    return client.post(where, {"reason": "They called", **fields})


def test_staff_come_into_a_customer_and_go_back_where_they_came_from(staff, cast):
    mailbox = make_mailbox(cast.domain)
    page = f"/staff/mailstore/mailbox/{mailbox.pk}/change/"
    links = staff.get(page).context["row_links"]
    [(label, url)] = links
    assert label == "Act in Alder …"

    asked = staff.get(url)
    assert "The customer reads who came, why" in asked.content.decode()
    answer = staff.post(url, {"reason": "They called"})

    assert answer.headers["Location"] == "/overview/"
    visit = Visit.objects.get()
    assert (visit.organisation, visit.reason, visit.person) == (
        cast.customer,
        "They called",
        cast.sam.email,
    )
    assert "Alder" in staff.get("/overview/").content.decode()
    assert staff.get(page).status_code == 403
    assert staff.post(reverse("customers:leave")).headers["Location"] == page
    assert staff.get(page).status_code == 200
    seen = Event.objects.filter(organisation=cast.customer, kind__startswith="access.")
    assert [event.kind for event in seen.order_by("seq")] == ["access.begun", "access.ended"]


def test_customer_reads_who_came_and_why(staff, cast, client):
    come(staff, cast.customer)
    client.force_login(cast.alice)

    text = client.get("/access/").content.decode()

    assert "They called" in text


def test_pages_of_people_and_organisations_lead_there_too(staff, cast):
    user = staff.get(f"/staff/accounts/user/{cast.alice.pk}/change/").context["row_links"]
    mine = staff.get(f"/staff/accounts/organisation/{cast.customer.pk}/change/")
    seller = staff.get(f"/staff/accounts/organisation/{cast.reseller.pk}/change/")

    assert [label for label, _url in user] == ["Act in Alder …"]
    assert [label for label, _url in mine.context["row_links"]] == ["Act in Alder …"]
    assert seller.context["row_links"] == []


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.test/",
        "//evil.test/staff/",
        "/overview/",
        "/staff/../sign-out",
        "/staff/\\evil",
        "javascript:alert(1)",
        "",
    ],
)
def test_nobody_is_led_elsewhere_afterwards(staff, cast, back):
    come(staff, cast.customer, back=back)

    left = staff.post(reverse("customers:leave"))

    assert left.headers["Location"] == f"/customers/{cast.customer.uuid}/"


def test_nobody_comes_without_a_reason_or_into_a_seller(staff, cast):
    refused = come(staff, cast.customer, reason=" ")
    seller = come(staff, cast.reseller)
    nobody = staff.post("/staff/accounts/visit/add/?organisation=x", {"reason": "x"})

    assert refused.status_code == 200
    assert "This field is required." in refused.content.decode()
    assert seller.headers["Location"] == nobody.headers["Location"]
    assert not Visit.objects.exists()


def test_coming_needs_a_right_of_its_own(cast):
    client = clerk_of(cast)
    page = client.get(f"/staff/accounts/organisation/{cast.customer.pk}/change/")

    assert page.context["row_links"] == []
    assert come(client, cast.customer).status_code == 403
    assert not Visit.objects.exists()


def test_visits_stand_in_a_list_nobody_changes(staff, cast):
    visits.begin(
        actor=cast.actor(cast.sam), organisation=cast.customer, reason=MARKUP, at=timezone.now()
    )

    page = staff.get("/staff/accounts/visit/").content.decode()

    assert cast.sam.email in page
    assert MARKUP not in page


# One of many in the house ---------------------------------------------------------------


def test_menu_shows_only_what_somebody_may_open(cast):
    groups = clerk_of(cast).get("/staff/").context["navigation"]

    names = {str(group.name): [str(link.name) for link in group.links] for group in groups}
    assert "Invoices" in names["Money"]
    shown = {name for links in names.values() for name in links}
    assert not {"Mail", "Domains", "Mailboxes"} & (shown | set(names))


def test_menu_marks_where_one_is(staff, cast):
    page = staff.get("/staff/mailstore/domain/")

    here = [
        link.name for group in page.context["navigation"] for link in group.links if link.is_here
    ]
    assert here == ["Domains"]


def test_colleagues_of_a_person_are_found_by_the_start_of_their_address(staff, cast):
    make_member("zoe@example.test", cast.provider, Membership.Role.SUPPORT)
    outbox.record(
        kind="user.updated",
        at=AT,
        actor=system("tests"),
        organisation=cast.provider,
        subject=("user", "1", "zoe@example.test"),
    )

    assert found(staff, "zoe") == {"users": ["zoe@example.test"]}
