"""Open sessions: listed for their person, ended at once, and over after a while."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import sessions
from accounts.models import Event, OpenSession
from accounts.session_store import SessionStore
from tests.factories import AT, PASSWORD

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

SIGN_IN, SECURITY = "/account/sign-in", "/account/security"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
HOSTILE_AGENTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Mozilla/5.0 (<b>Windows</b>) Gecko Firefox/1",
    "A" * 65536,
    "Firefox/" + "9" * 65536,
    "".join(chr(code) for code in range(1, 256) if code not in {10, 13}),
    "null\0null",
    "",
    "{{ 7|add:7 }} %s %(x)s {0}",
]


def signed_in(user, *, agent=FIREFOX, address="192.0.2.7"):
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    response = client.post(SIGN_IN, {"username": user.email, "password": PASSWORD})
    assert response.status_code == 302
    return client


def is_in(client):
    return client.get("/overview/").status_code == 200


def content_of(response):
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]*"', b"", response.content)


def row_of(client):
    return OpenSession.objects.get(pk=client.session.session_key)


def let_pass(client, **spans):
    """As if all that is written of the session had happened so much earlier."""
    span, row = timedelta(**spans), row_of(client)
    started = row.signed_in_at - span
    store = SessionStore(row.session_key)
    store.update({"signed_in_at": int(started.timestamp())})
    store.save()
    OpenSession.objects.filter(pk=row.pk).update(
        signed_in_at=started, seen_at=row.seen_at - span, expire_date=row.expire_date - span
    )


# What is known of a session -------------------------------------------------------------


def test_session_knows_its_person_browser_and_address(cast):
    client = signed_in(cast.alice, agent=IPHONE, address="198.51.100.9")

    row = row_of(client)
    assert row.user == cast.alice
    assert (row.user_agent, row.address) == (IPHONE, "198.51.100.9")
    assert abs(row.signed_in_at - timezone.now()) < timedelta(seconds=10)
    assert str(row) == "alice@example.test · 198.51.100.9"


def test_sessions_are_kept_as_json(cast):
    client = signed_in(cast.alice)

    assert row_of(client).get_decoded()["_auth_user_id"] == str(cast.alice.pk)
    assert django_settings.SESSION_SERIALIZER.endswith("JSONSerializer")
    assert json.dumps(row_of(client).get_decoded())


def test_session_of_nobody_is_nobody_s(cast):
    client = Client()
    session = client.session
    session["x"] = 1
    session.save()

    row = OpenSession.objects.get()
    assert (row.user, row.signed_in_at) == (None, None)
    assert str(row) == " · "


def test_signing_in_gives_the_session_a_new_key(cast):
    client = Client()
    session = client.session
    session["x"] = 1
    session.save()
    fixed = session.session_key

    client.post(SIGN_IN, {"username": cast.alice.email, "password": PASSWORD})

    assert client.session.session_key != fixed
    assert not OpenSession.objects.filter(pk=fixed).exists()


def test_page_lists_sessions_in_plain_words_and_marks_this_one(cast):
    signed_in(cast.alice, agent=IPHONE, address="2001:db8::7")
    signed_in(cast.bob)
    page = signed_in(cast.alice).get(SECURITY).content.decode()

    assert page.count('class="session"') == 2
    assert "Safari on iPhone" in page
    assert "Firefox on Windows" in page
    assert page.count("this one") == 1
    assert "from 2001:db8::7" in page


@pytest.mark.parametrize("agent", HOSTILE_AGENTS)
def test_whatever_a_browser_says_of_itself_is_shown_harmless(agent, cast):
    client = signed_in(cast.alice, agent=agent)

    response = client.get(SECURITY)

    page = response.content.decode()
    stored = row_of(client).user_agent
    assert response.status_code == 200
    assert len(stored) <= 300
    assert stored.isprintable()
    for harm in ("<script>alert", "<img src=x", "<b>Windows", "\0"):
        assert harm not in page
    assert len(page) < 40_000


# Ending ---------------------------------------------------------------------------------


def test_ended_session_is_a_stranger_s_at_once(cast):
    mine, other = signed_in(cast.alice), signed_in(cast.alice, agent=IPHONE)

    mine.post("/account/security/sessions/end", {"name": sessions.name_of(row_of(other))})

    assert is_in(mine)
    assert not is_in(other)
    assert Event.objects.get(kind="user.sessions_ended").data == {"sessions": 1}


def test_all_others_end_and_this_one_stays(cast):
    others = [signed_in(cast.alice) for _ in range(3)]
    mine, bob = signed_in(cast.alice), signed_in(cast.bob)

    mine.post("/account/security/sessions/end-others")

    assert is_in(mine)
    assert is_in(bob)
    assert [is_in(each) for each in others] == [False] * 3


def test_stranger_s_session_is_ended_by_nobody_else(cast):
    mine, charlie = signed_in(cast.alice), signed_in(cast.charlie)

    foreign = mine.post(
        "/account/security/sessions/end", {"name": sessions.name_of(row_of(charlie))}
    )
    absent = mine.post("/account/security/sessions/end", {"name": "x"})
    by_key = mine.post("/account/security/sessions/end", {"name": row_of(charlie).session_key})

    assert foreign.status_code == absent.status_code == by_key.status_code == 404
    assert content_of(foreign) == content_of(absent)
    assert is_in(charlie)


def test_key_of_a_session_stands_on_no_page(cast):
    mine, other = signed_in(cast.alice), signed_in(cast.alice)

    page = mine.get(SECURITY).content.decode()

    assert row_of(other).session_key not in page
    assert row_of(mine).session_key not in page


def test_session_ended_while_its_request_is_under_way_stays_ended(cast):
    client = signed_in(cast.alice)
    store = SessionStore(client.session.session_key)
    store["visited"] = True
    sessions.drop_all(cast.alice)

    response = client.get("/overview/")
    with pytest.raises(UpdateError):
        store.save()

    assert response.status_code == 302
    assert not OpenSession.objects.filter(user=cast.alice).exists()


def test_noting_a_visit_brings_no_ended_session_back(cast):
    client = signed_in(cast.alice)
    row = row_of(client)
    sessions.drop_all(cast.alice)

    sessions.note_use(row, address="192.0.2.7", user_agent="x", at=timezone.now())

    assert not OpenSession.objects.exists()


def test_signing_out_leaves_no_row(cast):
    client = signed_in(cast.alice)

    client.post("/account/sign-out")

    assert not OpenSession.objects.filter(user=cast.alice).exists()


def test_stolen_cookie_is_worth_nothing_after_signing_out(cast):
    client = signed_in(cast.alice)
    thief = Client()
    name = django_settings.SESSION_COOKIE_NAME
    thief.cookies[name] = client.cookies[name].value
    assert is_in(thief)

    client.post("/account/sign-out")

    assert not is_in(thief)


# How long -------------------------------------------------------------------------------


def test_session_is_over_when_it_was_not_used_for_long(cast, settings):
    settings.SESSION_IDLE = timedelta(hours=3)
    fresh, stale = signed_in(cast.alice), signed_in(cast.alice)

    let_pass(fresh, hours=2)
    let_pass(stale, hours=3, seconds=1)

    assert is_in(fresh)
    assert not is_in(stale)


def test_use_keeps_a_session_open_until_its_longest(cast, settings):
    settings.SESSION_IDLE, settings.SESSION_LONGEST = timedelta(hours=3), timedelta(hours=5)
    client = signed_in(cast.alice)

    seen = []
    for _ in range(3):
        let_pass(client, hours=2)
        seen.append(is_in(client))

    assert seen == [True, True, False]


def test_a_shorter_setting_holds_for_sessions_that_are_open(cast, settings):
    client = signed_in(cast.alice)
    let_pass(client, hours=2)

    settings.SESSION_LONGEST = timedelta(hours=1)

    assert not is_in(client)


def test_new_key_does_not_make_a_session_younger(cast):
    client = signed_in(cast.alice)
    let_pass(client, days=3)
    before = row_of(client).signed_in_at
    store = SessionStore(client.session.session_key)
    store.load()

    store.cycle_key()
    store.save()

    assert OpenSession.objects.get(pk=store.session_key).signed_in_at.replace(
        microsecond=0
    ) == before.replace(microsecond=0)


def test_visits_are_noted_once_a_minute(cast):
    client = signed_in(cast.alice)
    first = row_of(client).seen_at

    client.get("/domains/")
    assert row_of(client).seen_at == first
    let_pass(client, minutes=2)
    client.get("/domains/")

    assert row_of(client).seen_at > first


def test_a_page_costs_no_more_statements_for_it(cast):
    client = signed_in(cast.alice)
    client.get("/domains/")

    with CaptureQueriesContext(connection) as queries:
        client.get("/domains/")

    about = [each["sql"] for each in queries if "opensession" in each["sql"]]
    assert len(about) == 1


def test_what_a_page_asks_for_by_itself_is_no_sign_of_its_person(cast):
    client = signed_in(cast.alice)
    let_pass(client, hours=1)
    before = row_of(client).seen_at

    client.get("/domains/", headers={"HX-Request": "true"})

    assert row_of(client).seen_at == before


def test_session_that_moves_is_shown_where_it_is(cast):
    client = signed_in(cast.alice, address="192.0.2.7")

    client.get("/domains/", REMOTE_ADDR="203.0.113.5")

    assert row_of(client).address == "203.0.113.5"


def test_old_rows_are_cleared(cast):
    client = signed_in(cast.alice)
    let_pass(client, days=90)

    SessionStore.clear_expired()

    assert not OpenSession.objects.exists()


# Those of before ------------------------------------------------------------------------


def test_who_was_signed_in_before_the_table_was_made_stays_so(cast):
    client, was = signed_in(cast.alice), OpenSession.objects.get()
    kept = {"session_data": was.session_data, "expire_date": was.expire_date}
    OpenSession.objects.all().delete()
    Session.objects.create(session_key=was.session_key, **kept)
    Session.objects.create(session_key="x" * 32, session_data="x", expire_date=was.expire_date)
    Session.objects.create(
        session_key="y" * 32, session_data=was.session_data, expire_date=AT - timedelta(days=900)
    )

    migration = import_module("accounts.migrations.0015_sessions_stay_open")
    migration.move_sessions(apps, connection)

    assert is_in(client)
    assert [each.user for each in OpenSession.objects.all()] == [cast.alice]
    assert not Session.objects.exists()
