"""Staff see every key, make none, and end those that did harm."""

from __future__ import annotations

import pytest

from accounts import keyring
from accounts.models import ApiKey
from tests.factories import AT
from tests.hosting.api.caller import make_key
from tests.staffing import act, facts, in_role, lines_of, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
KEYS = "/staff/accounts/apikey/"


@pytest.fixture
def leaked(cast):
    return make_key(cast.reseller)


@pytest.fixture
def child(cast, leaked):
    return keyring.make(
        actor=keyring.actor_with(leaked.api_key),
        organisation=cast.customer,
        label="Back door",
        scopes=["mailboxes:read"],
        at=AT,
    ).api_key


def page_of(api_key):
    return f"{KEYS}{api_key.pk}/change/"


def test_the_list_names_each_key_and_never_its_secret_or_digest(staff, leaked):
    pages = [staff.get(path).content.decode() for path in (KEYS, page_of(leaked.api_key))]
    exported = lines_of(staff.get(f"{KEYS}export/"))

    for text in (*pages, str(exported)):
        assert leaked.api_key.hint in text
        assert leaked.api_key.digest not in text
        assert leaked.secret not in text


def test_the_list_of_all_does_not_tell_from_where_programs_call(staff, leaked):
    keyring.authenticate(secret=leaked.secret, address="192.0.2.7", at=AT)

    assert "192.0.2.7" in staff.get(page_of(leaked.api_key)).content.decode()
    assert "192.0.2.7" not in str(lines_of(staff.get(f"{KEYS}export/")))


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_takes_the_same_queries_however_long(
    staff, cast, count, django_assert_max_num_queries
):
    for _ in range(count):
        make_key(cast.reseller, only_for=(cast.customer,))

    with django_assert_max_num_queries(8):
        staff.get(KEYS)


def test_the_page_of_a_key_shows_what_was_done_and_made_with_it(staff, leaked, child):
    text = staff.get(page_of(leaked.api_key)).content.decode()

    assert "api_key.created" in text
    assert page_of(child) in text


@pytest.mark.parametrize(("state", "count"), [("working", 1), ("over", 1), ("", 2)])
def test_the_list_shows_what_works_or_not(staff, cast, leaked, state, count):
    gone = make_key(cast.customer).api_key
    keyring.revoke(actor=cast.actor(cast.alice), api_key=gone, at=AT)

    assert staff.get(KEYS, {"state": state}).context["cl"].result_count == count


@pytest.mark.parametrize("path", ["add/", "1/delete/"])
def test_keys_are_neither_made_nor_deleted_here(staff, leaked, path):
    assert staff.get(KEYS + path).status_code in {302, 403, 404}
    assert staff.post(page_of(leaked.api_key), {"label": "x"}).status_code == 403
    assert ApiKey.objects.get().label == "Shop"


@pytest.mark.parametrize(("with_made", "count"), [("on", 2), ("", 1)])
def test_revoking_asks_shows_what_ends_and_does_it(staff, leaked, child, with_made, count):
    asked = act(staff, "revoke", leaked.api_key, path=KEYS)
    assert "nothing takes that back" in asked.content.decode()
    choice = {"with_made": with_made} if with_made else {}

    seen = act(staff, "revoke", leaked.api_key, path=KEYS, foresee="yes", **choice)
    assert (str(child) in seen.content.decode()) is bool(with_made)
    assert not ApiKey.objects.exclude(revoked_at=None).exists()
    done = act(staff, "revoke", leaked.api_key, path=KEYS, confirmed="yes", **choice)

    assert said(done) == ["Keys that are revoked now: 1."]
    assert ApiKey.objects.exclude(revoked_at=None).count() == count
    assert ("Shop", "sam@example.test") in facts("api_key.revoked")


def test_a_key_that_is_over_is_offered_no_end(staff, cast, leaked):
    offer = 'value="revoke"'
    assert offer in staff.get(page_of(leaked.api_key)).content.decode()

    keyring.revoke(actor=cast.actor(cast.rita), api_key=leaked.api_key, at=AT)

    assert offer not in staff.get(page_of(leaked.api_key)).content.decode()


def test_support_sees_keys_and_revokes_none(cast, leaked):
    client = in_role(cast.sam, "support")

    act(client, "revoke", leaked.api_key, path=KEYS, confirmed="yes")

    assert client.get(KEYS).status_code == 200
    assert not ApiKey.objects.exclude(revoked_at=None).exists()
