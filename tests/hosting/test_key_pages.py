"""The pages of API keys: a secret is seen once, and only by an owner who proved both factors."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import keyring, keys
from accounts.models import ApiKey, Event, OpenSession, Organisation
from accounts.second_factor import authenticators
from hosting import key_lines, scopes
from tests.factories import AT, PASSWORD, make_member
from tests.hosting.api.caller import make_key
from tests.staffing import SECRET, said, signed_in, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

LIST, MAKE = "/keys/", "/keys/make"


@pytest.fixture
def rita(cast):
    return signed_in(cast.rita)


@pytest.fixture
def alice(cast):
    return signed_in(cast.alice)


@pytest.fixture
def form(cast):
    return {
        "label": "Web shop",
        "organisation": str(cast.reseller.uuid),
        "mode": "live",
        "scopes": ["mailboxes:read"],
        "networks": "",
        "expires_on": "",
    }


def url(name, api_key):
    return reverse(f"keys:{name}", args=[api_key.uuid])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# Making ---------------------------------------------------------------------------------


def test_an_owner_makes_a_key_and_sees_its_secret_once(rita, form):
    answer = rita.post(MAKE, form)
    api_key = ApiKey.objects.get()
    assert answer.headers["Location"] == url("secret", api_key)

    first = rita.get(url("secret", api_key))
    again = rita.get(url("secret", api_key))

    [secret] = re.findall(r"rst_live_\w+", first.content.decode())
    assert keyring.authenticate(secret=secret, address="192.0.2.7", at=timezone.now()) == api_key
    assert "no-store" in first.headers["Cache-Control"]
    assert again.headers["Location"] == url("detail", api_key)
    assert secret not in rita.get(url("detail", api_key)).content.decode()
    assert secret not in rita.get(LIST).content.decode()


def test_a_shown_secret_is_left_nowhere(rita, form, caplog):
    with caplog.at_level("DEBUG"):
        rita.post(MAKE, form)
        page = rita.get(url("secret", ApiKey.objects.get()))

    [secret] = re.findall(r"rst_live_\w+", page.content.decode())
    sessions = [each.get_decoded() for each in OpenSession.objects.all()]
    rows = [*ApiKey.objects.values(), *Event.objects.values(), *sessions]
    assert secret not in json.dumps(rows, default=str)
    assert secret not in caplog.text
    assert said(rita.get(LIST)) == []


def test_nobody_else_s_browser_shows_the_secret(rita, alice, form, cast):
    rita.post(MAKE, form | {"only_for": [str(cast.customer.uuid)]})
    api_key = ApiKey.objects.get()

    assert verified(cast.rita).get(url("secret", api_key)).status_code == 302
    assert alice.get(url("secret", api_key)).status_code == 404


def test_everything_that_was_asked_is_in_the_key(rita, form, cast):
    asked = {
        "scopes": ["usage:read", "mailboxes:read"],
        "only_for": [str(cast.customer.uuid)],
        "networks": "192.0.2.7, 2001:db8::/32\n198.51.100.0/24",
        "expires_on": "2126-12-31",
    }

    rita.post(MAKE, form | asked)

    api_key = ApiKey.objects.get()
    assert api_key.scopes == ["mailboxes:read", "usage:read"]
    assert list(api_key.narrowed_to.all()) == [cast.customer]
    assert api_key.networks == ["192.0.2.7/32", "2001:db8::/32", "198.51.100.0/24"]
    assert api_key.expires_at == datetime(2127, 1, 1, tzinfo=UTC)
    assert (api_key.is_test, api_key.created_by) == (False, cast.rita)


def test_a_key_for_testing_is_made_on_demand(rita, form):
    rita.post(MAKE, form | {"mode": "test"})

    assert ApiKey.objects.get().is_test


@pytest.mark.parametrize("named", [[], ["holds:read"]])
def test_everything_is_all_but_holds_unless_they_are_named(rita, form, named):
    rita.post(MAKE, form | {"everything": "on", "scopes": named})

    allowed = set(ApiKey.objects.get().scopes)
    assert allowed == set(keys.SCOPES) - {"holds:read", "holds:write"} | set(named)


def test_the_first_page_has_nothing_ticked(rita):
    page = rita.get(MAKE).content.decode()

    assert len(re.findall(r'name="scopes"', page)) == len(keys.SCOPES)
    assert "checked" not in re.sub(r'<input[^>]*name="mode"[^>]*>', "", page)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"label": " "}, "label", "required"),
        ({"label": "x" * 121}, "label", "120"),
        ({"scopes": []}, "scopes", "at least one thing"),
        ({"scopes": ["root"]}, "scopes", "not one of the available choices"),
        ({"networks": "192.0.2.1/24"}, "networks", "no IP address and no network"),
        ({"networks": "x" * 5001}, "networks", "5000"),
        ({"expires_on": "2020-01-01"}, "expires_on", "expired before it was made"),
        ({"expires_on": "yesterday"}, "expires_on", "valid date"),
        ({"mode": "both"}, "mode", "valid choice"),
        ({"organisation": "nonsense"}, "organisation", "not a valid UUID"),
        ({"only_for": ["nonsense"]}, "only_for", "not a valid UUID"),
    ],
)
def test_what_cannot_be_stands_beside_its_field(rita, form, change, field, words):
    response = rita.post(MAKE, form | change)

    assert response.status_code == 422
    assert words in str(response.context["form"].errors[field])
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("whose", ["other_customer", "provider"])
def test_a_stranger_s_organisation_is_no_choice(rita, form, cast, whose):
    uuid = str(getattr(cast, whose).uuid)

    for change in ({"organisation": uuid}, {"only_for": [uuid]}):
        assert rita.post(MAKE, form | change).status_code == 422


def test_a_customer_for_testing_is_no_choice_of_a_live_key(rita, form, cast):
    trial = Organisation.objects.create(
        kind="customer", name="Trial", parent=cast.reseller, is_test=True
    )

    response = rita.post(MAKE, form | {"only_for": [str(trial.uuid)]})

    assert "in its mode" in str(response.context["form"].errors["only_for"])


def test_the_last_day_of_the_calendar_is_never(rita, form):
    rita.post(MAKE, form | {"expires_on": "9999-12-31"})

    assert ApiKey.objects.get().expires_at is None


def test_a_customer_is_asked_only_what_makes_a_difference(alice, cast):
    page = alice.get(MAKE)

    form = page.context["form"]
    assert [form["organisation"].is_hidden, form["mode"].is_hidden] == [True, True]
    assert "only_for" not in form.fields
    asked = {"label": "Monitor", "scopes": ["usage:read"], "mode": "live"}
    alice.post(MAKE, asked | {"organisation": str(cast.customer.uuid)})
    assert ApiKey.objects.get().organisation == cast.customer


def test_of_many_customers_the_names_are_typed(rita, form, cast):
    Organisation.objects.bulk_create(
        Organisation(kind="customer", name=name, parent=cast.reseller)
        for name in [*(f"Customer {number}" for number in range(30)), "Twin", "Twin"]
    )

    refused = [
        rita.post(MAKE, form | {"only_for": text}).context["form"].errors["only_for"].as_text()
        for text in ("Juniper", "Twin", "\n".join(f"No {number}" for number in range(101)))
    ]
    rita.post(MAKE, form | {"only_for": " Alder \n\nCustomer 7\nAlder"})

    assert refused == [
        "* There is no customer named “Juniper”.",
        "* There are several customers named “Twin”.",
        "* Name 100 at most, or none for all of them.",
    ]
    names = ApiKey.objects.get().narrowed_to.order_by("name").values_list("name", flat=True)
    assert list(names) == ["Alder", "Customer 7"]


def test_a_closed_organisation_gets_no_key(rita, form, cast):
    Organisation.objects.filter(pk=cast.reseller.pk).update(state="closed")

    assert rita.post(MAKE, form).status_code == 422


# The second factor ----------------------------------------------------------------------


def test_making_and_rotating_ask_for_a_fresh_code_and_lead_back(rita, cast, form):
    made = make_key(cast.reseller)
    stale(rita)
    for path in (MAKE, url("rotate", made.api_key)):
        back = path.replace("/", "%2F")
        assert rita.get(path).headers["Location"] == f"/account/second-factor/?next={back}"
        kept = rita.post(path, form).headers["Location"]
        assert kept.startswith("/account/second-factor/?next=%2Faccount%2Fsecond-factor%2Fgo-on")
    assert ApiKey.objects.count() == 1

    code = authenticators.code_at(SECRET, at=timezone.now())
    answer = rita.post(rita.get(MAKE).headers["Location"], {"code": code})

    assert answer.headers["Location"] == MAKE
    assert rita.get(MAKE).status_code == 200


def test_who_has_no_second_factor_types_the_password_for_a_key(alice, cast, form):
    stale(alice)

    asked = alice.get(MAKE).headers["Location"]
    refused = alice.post(asked, {"password": "wrong"})
    answer = alice.post(asked, {"password": PASSWORD})

    assert asked == "/account/second-factor/password?next=%2Fkeys%2Fmake"
    assert refused.context["form"].errors["password"]
    assert answer.headers["Location"] == MAKE
    assert alice.get(MAKE).status_code == 200


def test_what_was_typed_into_a_form_is_kept_and_sent_after_the_proof(rita, cast, form):
    asked = stale(rita).post(MAKE, form | {"password": "hunter2"}).headers["Location"]

    code = authenticators.code_at(SECRET, at=timezone.now())
    page = rita.post(asked, {"code": code}, follow=True)
    fields = dict(page.context["kept"].fields)
    answer = rita.post(page.context["kept"].path, fields)

    assert fields["label"] == "Web shop"
    assert "hunter2" not in str(dict(rita.session)) + page.content.decode()
    assert answer.headers["Location"].startswith("/keys/")
    assert ApiKey.objects.get().label == "Web shop"


def test_revoking_asks_for_none(cast):
    client = Client()
    signed_in(cast.rita, client)
    api_key = make_key(cast.reseller).api_key

    response = client.post(url("revoke", api_key), follow=True)

    assert said(response) == ["1 key was revoked and opens nothing any more."]
    assert "Revoked" in text_of(response)


# Rotating and revoking ------------------------------------------------------------------


def test_rotating_shows_the_new_secret_and_says_until_when_the_old_one_works(rita, cast):
    old = make_key(cast.reseller)

    page = rita.post(url("rotate", old.api_key), {"overlap": "3600"}, follow=True)

    [secret] = re.findall(r"rst_live_\w+", page.content.decode())
    now = timezone.now()
    new = keyring.authenticate(secret=secret, address="192.0.2.7", at=now)
    assert keyring.authenticate(secret=old.secret, address="192.0.2.7", at=now) == old.api_key
    old.api_key.refresh_from_db()
    assert old.api_key.successor == new
    assert timedelta(minutes=59) < old.api_key.expires_at - now <= timedelta(hours=1)
    shown = text_of(rita.get(url("detail", old.api_key)))
    assert "Replaced, and works for a while" in shown
    assert f"It was replaced by {new}" in shown


def test_a_key_that_was_replaced_is_not_rotated_again(rita, cast):
    old = make_key(cast.reseller).api_key
    rita.post(url("rotate", old), {"overlap": "0"})

    page = rita.get(url("rotate", old))
    answer = rita.post(url("rotate", old), {"overlap": "0"})

    assert "Make a new one instead" in text_of(page)
    assert answer.status_code == 422
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("overlap", ["", "-1", "60", "2592001", "x"])
def test_only_the_offered_overlaps_are_taken(rita, cast, overlap):
    api_key = make_key(cast.reseller).api_key

    assert rita.post(url("rotate", api_key), {"overlap": overlap}).status_code == 422
    assert ApiKey.objects.count() == 1


def test_revoking_twice_says_so(rita, cast):
    api_key = make_key(cast.reseller).api_key

    answers = [rita.post(url("revoke", api_key), follow=True) for _ in range(2)]

    assert said(answers[1]) == ["It had been revoked before."]


def test_what_was_made_with_a_leaked_key_is_shown_and_revoked_with_it(rita, cast):
    leaked = make_key(cast.reseller).api_key
    child = keyring.make(
        actor=keyring.actor_with(leaked),
        organisation=cast.customer,
        label="Back door",
        scopes=["mailboxes:read"],
        at=AT,
    ).api_key
    page = text_of(rita.get(url("detail", leaked)))
    assert "1 working key was made with it" in page
    assert str(child) in page
    assert "api_key.created" in page

    response = rita.post(url("revoke_with_made", leaked), follow=True)

    assert said(response) == ["2 keys were revoked and open nothing any more."]
    assert not ApiKey.objects.working(at=timezone.now()).exists()
    assert "made by a program" in text_of(rita.get(f"{LIST}?state=all"))


# Lists ----------------------------------------------------------------------------------


def test_the_list_says_of_each_key_what_an_owner_needs_to_know(rita, cast):
    made = keyring.make(
        actor=cast.actor(cast.rita),
        organisation=cast.reseller,
        label="Shop",
        scopes=["mailboxes:read", "usage:read"],
        only_for=[cast.customer],
        networks=["192.0.2.0/24"],
        expires_at=datetime(2126, 1, 1, tzinfo=UTC),
        at=AT,
    )
    keyring.authenticate(secret=made.secret, address="192.0.2.7", at=AT)

    page = text_of(rita.get(LIST))

    line = page[page.index("Shop") : page.index("made by rita@example.test")]
    assert line == (
        f"Shop …{made.api_key.hint} Works 2 permissions Alder from 192.0.2.0/24 "
        "Last used 2 Nov 2026, 09:30 UTC from 192.0.2.7 · expires 1 Jan 2126, 00:00 UTC · "
    )


def test_from_where_a_key_was_used_is_for_its_own_organisation(rita, alice, cast):
    made = make_key(cast.customer)
    keyring.authenticate(secret=made.secret, address="192.0.2.7", at=AT)

    for path in (LIST, url("detail", made.api_key)):
        assert "Last used 2 Nov 2026, 09:30 UTC from 192.0.2.7" in text_of(alice.get(path))
        above = text_of(rita.get(path))
        assert "Last used 2 Nov 2026, 09:30 UTC" in above
        assert "192.0.2.7" not in above


def test_the_list_shows_what_works_and_on_demand_all(rita, cast):
    make_key(cast.reseller)
    gone = make_key(cast.reseller).api_key
    rita.post(url("revoke", gone))
    rita.get(LIST)

    assert str(gone.hint) not in text_of(rita.get(LIST))
    assert str(gone.hint) in text_of(rita.get(f"{LIST}?state=all"))


@pytest.mark.parametrize(
    ("search", "finds"), [("Shop", True), ("rowa", True), ("hint", True), ("nothing", False)]
)
def test_keys_are_found_by_name_owner_and_last_characters(rita, cast, search, finds):
    api_key = make_key(cast.reseller).api_key
    words = f"…{api_key.hint}" if search == "hint" else search

    page = text_of(rita.get(LIST, {"q": words}))

    assert (f"…{api_key.hint} Works" in page) is finds
    assert ("No key matches." in page) is not finds


def test_an_empty_list_says_what_keys_are_for(rita):
    assert "No key yet" in text_of(rita.get(LIST))


def test_a_customer_s_list_has_its_own_keys_only(alice, cast):
    make_key(cast.reseller, only_for=(cast.customer,))
    make_key(cast.other_customer)
    own = make_key(cast.customer).api_key

    assert [line.api_key for line in alice.get(LIST).context["lines"]] == [own]


@pytest.mark.parametrize("count", [1, 3, 60])
def test_a_list_costs_as_many_queries_however_long(rita, cast, count, django_assert_num_queries):
    for _ in range(count):
        make_key(cast.reseller, only_for=(cast.customer,))
    rita.get(LIST)

    # Session, person, device, roles, keys, whom they are narrowed to, banners.
    with django_assert_num_queries(6):
        rita.get(LIST)


def test_pages_follow_by_key(rita, cast):
    hints = [make_key(cast.reseller).api_key.hint for _ in range(51)]

    first = rita.get(LIST, {"q": "Shop"})
    second = rita.get(LIST + first.context["next_url"])

    assert len(first.context["lines"]) == 50
    assert [line.api_key.hint for line in second.context["lines"]] == hints[:1]
    assert "q=Shop" in first.context["next_url"]
    for nonsense in ("x", "-1", "9" * 40, "١"):
        assert rita.get(LIST, {"after": nonsense}).status_code == 200


def test_everything_a_key_did_is_listed_page_by_page(rita, cast):
    api_key = make_key(cast.reseller).api_key
    Event.objects.bulk_create(
        Event(
            kind="mailbox.created",
            at=AT,
            organisation=cast.customer,
            actor_kind="api_key",
            actor_id=str(api_key.uuid),
            actor_name=str(api_key),
            subject_kind="mailbox",
            subject_id=str(number),
            subject_name=f"number-{number}@alder.test",
        )
        for number in range(60)
    )

    first = rita.get(url("detail", api_key))
    second = rita.get(url("detail", api_key) + first.context["next_url"])

    assert "number-59@alder.test" in text_of(first)
    assert "number-9@alder.test" not in text_of(first)
    assert [deed.subject_id for deed in second.context["deeds"]] == [
        str(number) for number in range(9, -1, -1)
    ]


# Words ----------------------------------------------------------------------------------


def test_every_scope_has_words_and_no_other():
    assert sorted(scopes.IN_WORDS) == sorted(keys.SCOPES)


def for_whom(api_key):
    return key_lines.for_whom(ApiKey.objects.with_reach().get(pk=api_key.pk))


def test_for_whom_a_key_is_stands_there_in_words(cast):
    others = [
        Organisation.objects.create(kind="customer", name=name, parent=cast.reseller)
        for name in ("Ash", "Beech", "Cedar")
    ]
    five = (cast.customer, *others)
    left = make_key(cast.reseller, only_for=(cast.customer,)).api_key

    assert for_whom(make_key(cast.reseller).api_key) == "Rowan and all below"
    assert for_whom(make_key(cast.customer).api_key) == "Alder"
    assert (
        for_whom(make_key(cast.reseller, only_for=five).api_key) == "Alder, Ash, Beech and 1 more"
    )
    Organisation.objects.filter(pk=cast.customer.pk).update(parent=cast.provider)
    assert for_whom(left) == "Nobody any more"


def test_each_state_of_a_key_has_its_name(cast):
    rita = cast.actor(cast.rita)
    api_key = make_key(cast.reseller, expires_at=AT + timedelta(days=9)).api_key
    assert api_key.state_at(AT) == ApiKey.State.WORKING
    keyring.rotate(actor=rita, api_key=api_key, overlap=timedelta(days=1), at=AT)
    api_key.refresh_from_db()

    assert api_key.state_at(AT) == ApiKey.State.REPLACED
    assert api_key.state_at(AT + timedelta(days=1)) == ApiKey.State.EXPIRED
    keyring.revoke(actor=rita, api_key=api_key, at=AT)
    api_key.refresh_from_db()
    assert api_key.state_at(AT) == ApiKey.State.REVOKED


def test_a_second_owner_of_the_same_organisation_manages_the_same_keys(cast):
    api_key = make_key(cast.customer).api_key
    dora = make_member("dora@example.test", cast.customer, "owner")

    assert verified(dora).get(url("detail", api_key)).status_code == 200
