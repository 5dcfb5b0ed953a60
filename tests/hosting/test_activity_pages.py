"""The activity: who reads what of it, what is asked for, and what is taken away."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import chaining, checkpoints, numbering, outbox, visits
from accounts.access import Actor, ActorKind, Door, Origin, system
from accounts.models import Event, Membership
from hosting import activity
from hosting.activity import Wanted
from mailstore import credentials, provisioning, quotas
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.crowd import make_sibling
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")
VERIFY = Path(settings.BASE_DIR, "examples/activity/verify_activity.py")
ADDRESS = "198.51.100.23"


def client_of(user, address=ADDRESS):
    return signed_in(user, Client(REMOTE_ADDR=address))


def read(user, query="", **headers):
    answer = client_of(user).get(f"/activity/{query}", headers=headers)
    assert answer.status_code == 200
    return re.sub(r'"csrfmiddlewaretoken" value="[^"]*"', "", answer.content.decode())


def body_of(answer):
    return b"".join(answer.streaming_content).decode()


def record(
    cast, kind="mailbox.suspended", *, organisation=None, actor=None, at=AT, name="x", **data
):
    return outbox.record(
        kind=kind,
        at=at,
        actor=actor or cast.actor(cast.alice),
        organisation=organisation or cast.customer,
        subject=("thing", "0" * 32, name),
        data=data,
    )


def chained():
    numbering.number_all()
    chaining.chain_all()


def test_addresses_of_devices_are_for_whoever_may_read_devices(cast):
    """On every page that tells what happened: the activity, a customer's page, and the visits."""
    record(
        cast,
        "device.locked_out",
        protocol="imap",
        label="",
        last_address="203.0.113.77",
        name="hello@alder.test",
    )
    visit = visits.begin(
        actor=cast.actor(cast.rita), organisation=cast.customer, reason="They asked", at=AT
    )
    guest = visits.acting(cast.actor(cast.rita), visit)
    record(
        cast,
        "device.confirmed",
        actor=guest,
        protocol="imap",
        label="",
        last_address="203.0.113.78",
        name="hello@alder.test",
    )
    clerk = make_member("clerk@example.test", cast.customer, Membership.Role.BILLING)
    seller = make_member("till@example.test", cast.reseller, Membership.Role.BILLING)
    customer = f"/customers/{cast.customer.uuid}/"

    pages = {
        (person.email, path): client_of(person).get(path).content.decode()
        for person, paths in (
            (cast.bob, ["/activity/", reverse("access:list")]),
            (clerk, ["/activity/", reverse("access:list")]),
            (cast.rita, ["/activity/", customer]),
            (seller, ["/activity/", customer]),
        )
        for path in paths
    }

    shows = {key for key, page in pages.items() if "203.0.113.7" in page}
    assert shows == {key for key in pages if key[0] in {cast.bob.email, cast.rita.email}}
    assert (
        "hello@alder.test: the mailbox password, last seen from 203.0.113.77"
        in (pages[cast.bob.email, "/activity/"])
    )


# From where and in which role ------------------------------------------------------------


def test_a_page_says_from_where_somebody_came(cast, twin):
    mailbox = make_mailbox(cast.domain)
    client = client_of(cast.alice)

    client.post(f"/mailboxes/{mailbox.uuid}/suspend")

    event = Event.objects.get(kind="mailbox.suspended")
    assert (event.door, event.standing, event.role) == ("panel", "own", "owner")
    assert event.address == ADDRESS
    assert len(event.session) == 16
    assert client.session.session_key not in (event.session, str(event.data))


def test_an_api_key_says_from_where_it_was_used(cast):
    mailbox = make_mailbox(cast.domain)
    program = Caller(make_key(cast.customer).secret)

    program.patch(f"/mailboxes/mbx_{mailbox.uuid.hex}", {"label": "Desk"})

    event = Event.objects.get(kind="mailbox.updated")
    assert (event.door, event.standing, event.address) == ("api", "own", "127.0.0.1")


def test_staff_and_sellers_are_told_apart(cast, twin):
    mailbox = make_mailbox(cast.domain)
    client_of(cast.rita).post(f"/mailboxes/{mailbox.uuid}/suspend")
    client_of(cast.sam).post(f"/mailboxes/{mailbox.uuid}/resume")

    found = Event.objects.filter(kind__in=["mailbox.suspended", "mailbox.resumed"]).order_by("seq")
    assert list(found.values_list("standing", "role")) == [
        ("above", "owner"),
        ("staff", "operator"),
    ]


def test_a_guest_is_told_with_the_reason(cast, twin):
    mailbox = make_mailbox(cast.domain)
    client = client_of(cast.rita)
    client.post(f"/customers/{cast.customer.uuid}/enter", {"reason": "Set up a phone"})
    client.post(f"/mailboxes/{mailbox.uuid}/suspend")

    event = Event.objects.get(kind="mailbox.suspended")
    page = read(cast.alice, "?who=outside")

    assert (event.standing, event.role) == ("visit", "visitor")
    assert "rita@example.test, acted here as a guest from Rowan" in page
    assert "Reason: Set up a phone" in page


def test_what_happened_by_itself_stands_to_nobody(cast):
    make_mailbox(cast.domain)

    event = Event.objects.get(kind="mailbox.created")
    assert (event.door, event.standing, event.role) == ("worker", "house", "")


@pytest.mark.parametrize("reader", ["bob", "rita"])
def test_addresses_are_for_the_owners_and_admins_of_the_organisation(reader, cast):
    actor = replace(
        cast.actor(cast.alice), origin=Origin(door=Door.PANEL, address=ADDRESS, session="a" * 16)
    )
    record(cast, actor=actor)

    assert f"from {ADDRESS}" in read(cast.alice)
    assert ADDRESS not in read(getattr(cast, reader))
    assert f"from {ADDRESS}" in read(cast.sam)


def test_addresses_of_sellers_and_staff_are_not_shown_to_the_customer(cast):
    for person in (cast.rita, cast.sam):
        origin = Origin(door=Door.PANEL, address=ADDRESS, session="a" * 16)
        record(cast, actor=replace(cast.actor(person), origin=origin))

    page = read(cast.alice)

    assert ADDRESS not in page
    assert "rita@example.test, owner of the seller, on these pages" in page
    assert "sam@example.test, staff of the house" in page


def test_a_guest_reads_no_addresses(cast):
    origin = Origin(door=Door.PANEL, address="203.0.113.9", session="a" * 16)
    record(cast, actor=replace(cast.actor(cast.alice), origin=origin))
    guest = client_of(cast.rita)
    guest.post(f"/customers/{cast.customer.uuid}/enter", {"reason": "x"})

    assert "203.0.113.9" not in guest.get("/activity/").content.decode()


# Who reads what --------------------------------------------------------------------------


def test_each_reads_its_own_tree_alone(cast):
    sven = make_sibling(cast)[1]
    record(cast, name="of-alder")
    record(cast, "domain.added", name="of-alder.test")
    record(cast, "domain.added", name="of-juniper.test", organisation=cast.other_customer)
    record(cast, "domain.added", name="of-rowan.test", organisation=cast.reseller)

    def names(user):
        page = read(user)
        return {name for name in ("alder", "juniper", "rowan") if f"of-{name}.test" in page}

    assert names(cast.alice) == {"alder"}
    assert names(cast.bob) == {"alder"}
    assert names(cast.charlie) == {"juniper"}
    assert names(cast.rita) == {"alder", "rowan"}
    assert names(sven) == set()
    assert names(cast.sam) == {"alder", "juniper", "rowan"}


def test_a_strangers_organisation_is_as_an_absent_one(cast):
    record(cast, "domain.added", name="secret.test")

    foreign = read(cast.charlie, f"?organisation={cast.customer.uuid}")
    absent = read(cast.charlie, f"?organisation={'0' * 32}")

    assert "secret.test" not in foreign
    strip = str(cast.customer.uuid), "00000000-0000-0000-0000-000000000000"
    assert foreign.replace(strip[0], "x") == absent.replace(strip[1], "x")


def test_a_strangers_mailbox_is_as_an_absent_one(cast):
    make_mailbox(cast.domain, "anna")

    foreign = read(cast.charlie, "?mailbox=anna@alder.test")
    absent = read(cast.charlie, "?mailbox=anna@nowhere.test")

    assert "Nothing of this kind happened." in foreign
    assert foreign.replace("alder", "nowhere") == absent


@pytest.mark.parametrize("role", ["read_only", "admin"])
def test_bills_are_told_to_whoever_may_see_bills(cast, role):
    record(cast, "invoice.issued", name="R-000042", total_minor=499, currency="EUR")
    other = make_member("ann@example.test", cast.customer, Membership.Role(role))

    assert "R-000042" not in read(other)
    assert "R-000042" not in body_of(client_of(other).get("/activity/activity.csv"))
    assert "The bill R-000042 was written. (4.99 EUR)" in read(cast.alice)


def test_bills_of_one_organisation_do_not_open_those_of_another(cast):
    for organisation in (cast.customer, cast.other_customer):
        record(cast, "invoice.paid", organisation=organisation, name=f"of {organisation.name}")
    Membership.objects.create(
        user=cast.alice, organisation=cast.other_customer, role=Membership.Role.READ_ONLY
    )

    page = read(cast.alice)

    assert "of Alder" in page
    assert "of Juniper" not in page
    assert "of Juniper" not in read(cast.alice, f"?organisation={cast.other_customer.uuid}")


def test_addresses_of_webhooks_are_for_whoever_keeps_them(cast):
    record(
        cast,
        "webhook_endpoint.updated",
        name="https://shop.test/path-that-opens",
        url={"old": "https://shop.test/path-that-opens", "new": "https://shop.test/other"},
    )

    assert "path-that-opens" in read(cast.alice)
    reader = read(cast.bob)
    assert "The webhook to shop.test was changed." in reader
    assert "path-that-opens" not in reader


# What is asked for -----------------------------------------------------------------------


@pytest.fixture
def varied(cast):
    key = Actor(
        kind=ActorKind.API_KEY, id="k", name="Shop (…abcd)", roles={cast.customer.pk: "owner"}
    )
    record(cast, "domain.added", name="people.test")
    record(cast, "api_key.created", name="Shop", actor=key)
    record(cast, "mailbox.suspended", name="house", actor=system("x"))
    record(cast, "organisation.updated", name="seller", actor=cast.actor(cast.rita))
    record(cast, "domain.added", name="later.test", at=AT + timedelta(days=2))


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("who=people&what=domains&from=2026-11-02", ["domain.added", "domain.added"]),
        ("who=keys", ["api_key.created"]),
        ("what=programs", ["api_key.created"]),
        ("what=organisation", ["organisation.updated"]),
        ("who=outside", ["organisation.updated"]),
        ("name=RITA", ["organisation.updated"]),
        ("name=shop", ["api_key.created"]),
        ("from=2026-11-04", ["domain.added"]),
        ("from=2026-11-03&until=2026-11-03", []),
        ("who=keys&what=domains", []),
    ],
)
def test_filters_stand_in_the_address(query, kinds, cast, varied):
    wanted = Wanted.of(dict(each.split("=") for each in query.split("&")))

    found = activity.found(cast.actor(cast.alice), wanted)

    assert [event.kind for event in found] == kinds
    assert Wanted.of(dict(each.split("=") for each in wanted.query().split("&"))) == wanted


NONSENSE = [
    "who=robot",
    "what=%00",
    "from=yesterday",
    "until=0000-00-00",
    "until=9999-12-31",
    "from=0001-01-01",
    "organisation=x",
    "after=x",
    "after=2026-11-02~",
    "after=~1",
    "after=2026-11-02T10:00:00~99999999999999999999999999",
    "after=2026-11-02T10:00:00~²",
    "name=" + "x" * 4000,
    "mailbox=%F0%9F%98%80",
]


@pytest.mark.parametrize("query", NONSENSE)
def test_nonsense_in_the_address_does_no_harm(query, cast, varied):
    answer = client_of(cast.alice).get(f"/activity/?{query}")

    assert answer.status_code == (400 if "%00" in query else 200)


def test_a_mailbox_has_its_own_activity(cast, twin):
    mailbox, other = make_mailbox(cast.domain, "anna"), make_mailbox(cast.domain, "ben")
    actor = cast.actor(cast.alice)
    credentials.issue(actor=actor, mailbox=mailbox, label="Annas Phone", at=AT)
    credentials.issue(actor=actor, mailbox=other, label="Bens Phone", at=AT)
    quotas.change_limit(actor=actor, mailbox=mailbox, quota_bytes=2 * 10**9, at=AT)

    page = read(cast.alice, "?mailbox=Anna@alder.test")

    assert "anna@alder.test: An app password was made for “Annas Phone”." in page
    assert "Bens Phone" not in page
    assert "<del>" in page
    assert "<ins>2 GB</ins>" in page
    own = client_of(cast.alice).get(f"/mailboxes/{mailbox.uuid}/").content.decode()
    assert "/activity/?mailbox=anna%40alder.test" in own
    assert "Annas Phone" in own


def test_an_address_that_was_given_up_keeps_its_activity(cast, twin):
    mailbox = make_mailbox(cast.domain, "anna")
    actor = cast.actor(cast.alice)
    provisioning.close(actor=actor, mailbox=mailbox, grace=timedelta(0), at=AT)

    assert "The mailbox was closed." in read(cast.alice, "?mailbox=anna@alder.test")


@pytest.mark.parametrize("days", [None, 0, 1, 20, 400, -(10**6)])
def test_pages_follow_each_other_without_gaps(days, cast):
    """From whatever moment it looks back: the clock may be wrong, and a test clock far ahead."""
    now = None if days is None else AT + timedelta(days=max(days, -700_000))
    for number in range(120):
        # Several at one moment, as a list that is brought makes them.
        record(cast, at=AT + timedelta(minutes=number // 7), name=f"m{number}")
    actor = cast.actor(cast.alice)
    found = activity.found(actor, Wanted())

    seen, after = [], ""
    while True:
        rows, after = activity.page(found, after=after, looks_back_from=now)
        seen += [row.pk for row in rows]
        if not after:
            break

    assert seen == [row.pk for row in found]
    page = read(cast.alice)
    assert page.count("<li ") == 50
    assert "Older" in page


def test_a_page_costs_the_same_statements_however_much_there_is(cast):
    counts = []
    for _turn in range(2):
        client = client_of(cast.alice)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/activity/")
        counts.append(len(queries))
        for number in range(60):
            record(cast, name=f"m{number}")

    assert counts[0] == counts[1] <= 16


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(), "accounts_event_by_time"),
        (Wanted(mailbox="hello@alder.test"), "accounts_event_by_thing"),
    ],
)
def test_a_page_is_read_from_an_index_in_its_order(cast, wanted, index):
    make_mailbox(cast.domain)
    found = activity.found(cast.actor(cast.alice), wanted)
    plan = found[:51].explain()

    if connection.vendor == "sqlite":
        assert index in plan
        assert "TEMP B-TREE" not in plan


def test_a_fragment_is_the_lines_alone(cast, varied):
    page = read(cast.alice, hx_request="true")

    assert "<html" not in page
    assert 'id="lines"' in page


def test_nothing_yet_is_said_so(cast):
    lonely = make_sibling(cast)[1]
    Membership.objects.filter(user=lonely).delete()

    assert "Nothing yet" in read(lonely)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\u202egnp.exe", "a\x00b", "=1+1"])
def test_hostile_names_are_shown_harmless(name, cast):
    record(cast, "domain.added", name=name.replace("\x00", ""), reason=name.replace("\x00", "\x01"))

    page = read(cast.alice)

    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\x01" not in page


# Files -----------------------------------------------------------------------------------


def test_csv_has_what_the_page_has_and_no_formulas(cast):
    record(cast, "domain.added", name="a.test", reason="=cmd()")
    record(cast, "member.joined", name="=HYPERLINK(1)", organisation=cast.other_customer)
    record(cast, "member.joined", name="=HYPERLINK(2)")

    answer = client_of(cast.alice).get("/activity/activity.csv?what=people")
    rows = list(csv.DictReader(io.StringIO(body_of(answer))))

    assert answer["Content-Disposition"] == 'attachment; filename="activity.csv"'
    assert rows[0]["what_happened"].startswith("'=HYPERLINK(2)")
    assert {row["organisation"] for row in rows} == {"Alder"}


def test_json_lines_have_old_and_new(cast):
    chained()
    record(cast, "limits.set", mailboxes={"old": 5, "new": None})
    chained()

    answer = client_of(cast.alice).get("/activity/activity.jsonl?what=organisation")
    [line] = map(json.loads, body_of(answer).splitlines())

    assert line["changes"] == [{"what": "Mailboxes", "old": "5", "new": "none"}]
    assert (line["who"], line["as"]) == ("alice@example.test", "owner")
    assert len(line["link"]) == 64


def test_files_have_all_of_many(cast, monkeypatch):
    monkeypatch.setattr(activity.files, "_AT_ONCE", 7)
    for number in range(40):
        record(cast, at=AT + timedelta(minutes=number // 3), name=f"m{number}")

    answer = client_of(cast.alice).get("/activity/activity.jsonl")

    expected = activity.found(cast.actor(cast.alice), Wanted()).count()
    assert len(body_of(answer).splitlines()) == expected


# The proof -------------------------------------------------------------------------------


@pytest.fixture
def proof(cast, tmp_path):
    """Takes the proof as a person; gives the file."""

    def take(user=cast.alice, organisation=cast.customer, name="proof.jsonl"):
        chained()
        answer = client_of(user).get(f"/activity/{organisation.uuid}/proof.jsonl")
        assert answer.status_code == 200
        path = tmp_path / name
        path.write_text(body_of(answer))
        return path

    return take


def verified(*paths):
    done = subprocess.run(
        [sys.executable, VERIFY, *paths], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def eventful(cast, settings, tmp_path):
    settings.CHECKPOINT_FILE = str(tmp_path / "checkpoints")
    origin = Origin(door=Door.PANEL, address=ADDRESS, session="a" * 16)
    for person in (cast.alice, cast.sam, cast.alice):
        record(cast, actor=replace(cast.actor(person), origin=origin), reason="ä\u202e\n")
    record(cast, organisation=cast.other_customer, name="of others")
    checkpoints.write(at=AT)


def test_a_proof_is_checked_by_a_program_that_knows_nothing_of_us(cast, eventful, proof):
    path = proof()
    count = Event.objects.filter(organisation=cast.customer).count()

    assert verified(path) == (0, f"All {count} lines are as they were written.\n")
    assert "of others" not in path.read_text()
    assert str(cast.other_customer.uuid) not in path.read_text()


def test_a_proof_shows_addresses_of_the_organisations_own_people_alone(cast, eventful, proof):
    lines = [json.loads(line) for line in proof().read_text().splitlines()]

    shown = [line["origin"]["address"] for line in lines if "origin" in line]
    assert shown == [ADDRESS, ADDRESS]
    committed = [json.loads(line["line"])["origin"] for line in lines[1:-1]]
    assert len([each for each in committed if each]) == 3


def test_an_earlier_proof_is_the_beginning_of_a_later_one(cast, eventful, proof):
    earlier = proof(name="earlier.jsonl")
    record(cast, name="more")

    assert verified(proof(), earlier)[0] == 0
    assert verified(earlier, proof())[0] == 1


def changed(path, change):
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def forget_the_last(lines):
    del lines[-2]


def change_a_name(lines):
    lines[2] = lines[2].replace("alice", "mallory").replace("tests", "mallory")


def swap_two(lines):
    lines[2], lines[3] = lines[3], lines[2]


def change_an_address(lines):
    at = next(n for n, line in enumerate(lines) if "origin" in json.loads(line))
    lines[at] = lines[at].replace(ADDRESS, "192.0.2.99")


@pytest.mark.parametrize("change", [forget_the_last, change_a_name, swap_two, change_an_address])
def test_a_proof_that_was_changed_is_none(change, cast, eventful, proof):
    status, said = verified(changed(proof(), change))

    assert status == 1
    assert "ine " in said


def test_what_is_no_proof_is_refused(tmp_path, eventful, proof):
    path = tmp_path / "x"
    path.write_text("[]\n")

    assert verified(path)[0] == 2
    assert verified(tmp_path / "nowhere")[0] == 2
    assert verified()[0] == 2
    assert verified(changed(proof(), lambda lines: lines.pop()))[0] == 2


def test_an_organisation_without_events_has_an_empty_proof(cast, proof):
    other = make_sibling(cast)[0]
    Event.objects.filter(organisation=other).count()

    assert verified(proof(cast.sam, other))[0] == 0


def test_the_page_shows_owners_with_what_the_chain_ends(cast, eventful, proof):
    proof()
    head = cast.customer.own_chain

    assert head.link in read(cast.alice)
    assert head.link not in read(cast.bob)
    assert checkpoints.last().link in read(cast.alice)
