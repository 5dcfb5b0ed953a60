"""Holds through the API: placed by one person's key, released by another's."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import keyring
from accounts.access import system
from accounts.models import ApiKey, Event, Membership
from hosting import public_ids
from mailstore import holding
from mailstore.models import Hold
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_mailboxes import path_of

pytestmark = pytest.mark.django_db(databases="__all__")

REASON = {"reason": "The case is closed."}


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def roger(cast):
    """He works for the reseller as Rita does."""
    return make_member("roger@example.test", cast.reseller, Membership.Role.OWNER)


def key_of(user, organisation, **options):
    """A key that this person made."""
    made = make_key(organisation, **options)
    ApiKey.objects.filter(pk=made.api_key.pk).update(created_by=user)
    made.api_key.refresh_from_db()
    return made


@pytest.fixture
def ritas(cast):
    return Caller(key_of(cast.rita, cast.reseller).secret)


@pytest.fixture
def rogers(cast, roger):
    return Caller(key_of(roger, cast.reseller).secret)


def body(mailbox, **changes):
    mailbox_id = public_ids.encode("mbx", mailbox.uuid)
    return {"mailbox_id": mailbox_id, "matter": "Case 7", "reason": "A court asked.", **changes}


def placed(caller, mailbox):
    answer = caller.post("/holds", body(mailbox))
    assert answer.status_code == 201
    return answer.headers["Location"].removeprefix("/api/v1")


def released(caller, where):
    return caller.post(f"{where}/release", REASON, if_match="*")


def test_a_hold_is_placed_and_released_by_the_key_of_another(cast, ritas, rogers, mailbox):
    answer = ritas.post("/holds", body(mailbox))
    where = answer.headers["Location"].removeprefix("/api/v1")
    shown = rogers.get(where)
    stopped = rogers.get(path_of(mailbox)).json()["holds_count"]
    done = rogers.post(f"{where}/release", REASON, if_match=shown.headers["ETag"])

    key = ApiKey.objects.get(created_by=cast.rita)
    assert (answer.json(), answer.headers["ETag"]) == (shown.json(), shown.headers["ETag"])
    assert answer.json() | {"placed_at": ""} == {
        "object": "hold",
        "id": public_ids.encode("hld", Hold.objects.get().uuid),
        "organisation_id": None,
        "domain_id": None,
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "state": "standing",
        "matter": "Case 7",
        "reason": "A court asked.",
        "placed_by": {"kind": "api_key", "api_key_id": public_ids.encode("key", key.uuid)},
        "placed_at": "",
        "released_by": None,
        "released_at": None,
        "release_reason": None,
    }
    assert (stopped, done.status_code, done.json()["state"]) == (1, 200, "released")
    assert done.json()["release_reason"] == REASON["reason"]
    assert done.json()["released_by"]["kind"] == "api_key"
    holding.refuse_if_held(mailbox)
    facts = Event.objects.filter(kind__startswith="hold.").values_list("kind", "actor_kind")
    assert list(facts) == [("hold.placed", "api_key"), ("hold.released", "api_key")]


def test_whoever_placed_a_hold_does_not_release_it_by_any_key(cast, ritas, mailbox):
    where = placed(ritas, mailbox)
    placing = ApiKey.objects.get(created_by=cast.rita)
    other = key_of(cast.rita, cast.reseller)
    successor = keyring.rotate(
        actor=system("t"), api_key=placing, overlap=timedelta(hours=1), at=timezone.now()
    )
    unknown = make_key(cast.reseller)
    made_before = Caller(successor.secret)

    for caller in (ritas, Caller(other.secret), made_before, Caller(unknown.secret)):
        answer = released(caller, where)
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert Hold.objects.get().released_at is None


def test_a_key_that_another_rotated_is_still_of_its_first_maker(cast, ritas, roger, mailbox):
    where = placed(ritas, mailbox)
    placing = ApiKey.objects.get(created_by=cast.rita)
    successor = keyring.rotate(
        actor=cast.actor(roger), api_key=placing, overlap=timedelta(hours=1), at=timezone.now()
    )

    answer = released(Caller(successor.secret), where)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")


def test_nobody_releases_a_hold_whose_key_was_made_by_nobody_known(cast, rogers, mailbox):
    where = placed(Caller(make_key(cast.reseller).secret), mailbox)

    assert released(rogers, where).json()["code"] == "wrong-state"


def test_staff_release_what_a_key_placed_unless_they_made_it(cast, mailbox):
    placed(Caller(key_of(cast.sam, cast.reseller).secret), mailbox)
    hold = Hold.objects.get()
    release = {"actor": cast.actor(cast.sam), "hold": hold, "reason": "over", "at": AT}

    with pytest.raises(holding.HoldRefused, match="Somebody else"):
        holding.release(by=cast.sam, **release)
    holding.release(by=cast.rita, **release)

    hold.refresh_from_db()
    assert (hold.released_by, hold.released_by_key) == (cast.rita, None)


def test_what_staff_placed_is_seen_without_its_reason_and_not_released(cast, ritas, mailbox):
    hold = holding.place(
        actor=system("t"), by=cast.sam, scope=mailbox, matter="Case 8", reason="secret", at=AT
    )
    where = f"/holds/{public_ids.encode('hld', hold.uuid)}"

    found = ritas.get(where).json()
    answer = released(ritas, where)
    holding.release(actor=system("t"), by=cast.rita, hold=hold, reason="also secret", at=AT)
    later = ritas.get(where)

    assert (found["placed_by"], found["reason"]) == ({"kind": "staff", "api_key_id": None}, None)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert later.json()["released_by"] == {"kind": "staff", "api_key_id": None}
    assert b"secret" not in later.content


def test_a_customer_does_not_release_what_its_reseller_placed(cast, ritas, mailbox):
    where = placed(ritas, mailbox)
    alices = Caller(key_of(cast.alice, cast.customer).secret)

    answer = released(alices, where)

    assert alices.get(where).status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_reseller_releases_what_its_customer_placed(cast, ritas, mailbox):
    where = placed(Caller(key_of(cast.alice, cast.customer).secret), mailbox)

    assert released(ritas, where).status_code == 200


def test_a_hold_waits_for_what_is_being_removed_once_it_is_committed(
    ritas, mailbox, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as waiting:
        placed(ritas, mailbox)

    found = [each for each in waiting if getattr(each, "func", None) is holding._wait_for_running]
    assert [each.args for each in found] == [(mailbox,)]


@pytest.mark.parametrize("scope", ["mailbox", "domain", "organisation"])
def test_a_hold_reaches_down_from_what_it_stands_on(scope, cast, ritas, mailbox):
    uuids = {
        "mailbox": ("mbx", mailbox.uuid),
        "domain": ("dom", cast.domain.uuid),
        "organisation": ("org", cast.reseller.uuid),
    }
    asked = {f"{scope}_id": public_ids.encode(*uuids[scope]), "matter": "x", "reason": "y"}

    answer = ritas.post("/holds", asked)

    assert (answer.status_code, answer.json()[f"{scope}_id"]) == (201, asked[f"{scope}_id"])
    with pytest.raises(holding.Stopped):
        holding.refuse_if_held(mailbox)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"mailbox_id": f"mbx_{uuid4().hex}"}, "/mailbox_id"),
        ({"organisation_id": f"org_{uuid4().hex}"}, ""),
        ({"matter": " "}, "/matter"),
        ({"reason": 7}, "/reason"),
        ({"released_at": None}, "/released_at"),
    ],
)
def test_a_hold_that_cannot_be_placed_is_pointed_at(changes, pointer, ritas, mailbox):
    answer = ritas.post("/holds", body(mailbox, **changes))

    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert not Hold.objects.exists()


def test_a_hold_reaches_no_strangers_mail(cast, ritas, mailbox):
    strange = make_mailbox(cast.other_domain)
    above = {"organisation_id": public_ids.encode("org", cast.provider.uuid)}
    narrow = Caller(key_of(cast.rita, cast.reseller, only_for=(cast.customer,)).secret)
    own = {"organisation_id": public_ids.encode("org", cast.reseller.uuid)}
    words = {"matter": "x", "reason": "y"}

    for caller, asked in ((ritas, body(strange)), (ritas, above | words), (narrow, own | words)):
        assert caller.post("/holds", asked).status_code == 422
    assert not Hold.objects.exists()


def test_a_strangers_hold_answers_like_an_absent_one(charlie, ritas, mailbox):
    where = placed(ritas, mailbox)

    for answer in (
        charlie.get(where),
        released(charlie, where),
        ritas.get(f"/holds/hld_{uuid4().hex}"),
    ):
        assert answer.status_code == 404
    assert charlie.get("/holds").json()["items"] == []


def test_a_release_names_the_version_and_happens_once(ritas, rogers, mailbox):
    where = placed(ritas, mailbox)
    tag = ritas.get(where).headers["ETag"]

    missing = rogers.post(f"{where}/release", REASON)
    without_words = rogers.post(f"{where}/release", {"reason": " "}, if_match=tag)
    done = rogers.post(f"{where}/release", REASON, if_match=tag)
    stale = rogers.post(f"{where}/release", REASON, if_match=tag)
    again = released(rogers, where)

    codes = [missing, without_words, done, stale, again]
    assert [answer.status_code for answer in codes] == [428, 422, 200, 412, 409]


def test_no_key_holds_anything_by_default(cast, mailbox):
    caller = Caller(make_key(cast.reseller, "holds:read", "mailboxes:write").secret)
    where = f"/holds/hld_{uuid4().hex}/release"

    for answer in (caller.post("/holds", body(mailbox)), caller.post(where, REASON, if_match="*")):
        assert (answer.status_code, answer.json()["scope"]) == (403, "holds:write")


def test_the_verb_asks_for_the_scope_and_the_reach_as_well(cast, mailbox):
    without = make_key(cast.reseller, "holds:read").api_key
    stranger = make_key(cast.other_customer).api_key

    for key in (without, stranger):
        with pytest.raises(holding.Forbidden):
            holding.place(
                actor=keyring.actor_with(key),
                by=key,
                scope=mailbox,
                matter="x",
                reason="y",
                at=AT,
            )


def test_the_database_itself_keeps_one_from_doing_both(cast, ritas, mailbox):
    placed(ritas, mailbox)
    key = ApiKey.objects.get(created_by=cast.rita)

    for changes in (
        {"released_by_key": key, "released_at": AT},
        {"released_by": cast.sam, "released_by_key": make_key(cast.reseller).api_key},
        {"placed_by": cast.sam},
        {"placed_by_key": None},
        {"released_at": AT},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Hold.objects.update(**changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        key.delete()


def test_a_list_of_holds_costs_the_same_whatever_its_length(
    cast, ritas, mailbox, django_assert_num_queries
):
    for _number in range(3):
        placed(ritas, mailbox)
    holding.place(
        actor=system("t"), by=cast.sam, scope=cast.reseller, matter="x", reason="y", at=AT
    )

    for limit in (1, 4):
        with django_assert_num_queries(2):
            found = ritas.get(f"/holds?limit={limit}&state=standing").json()["items"]
    assert len(found) == 4
    assert ritas.get("/holds?state=released").json()["items"] == []
