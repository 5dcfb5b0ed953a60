"""How people sign in to a mailbox, as programs read and change it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.access import system
from hosting import public_ids
from mailstore import credentials
from mailstore.models import Guessing, GuessingSource
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
ACTOR = system("tests")


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def caller(cast):
    return Caller(make_key(cast.customer).secret)


@pytest.fixture
def where(mailbox):
    return f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}"


def test_sign_in_is_shown_with_who_is_guessing(caller, mailbox, where):
    assert caller.get(f"{where}/sign-in").json() == {
        "object": "sign_in",
        "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
        "has_mailbox_password": False,
        "app_passwords_only": False,
        "guessing": None,
    }
    now = int(timezone.now().timestamp())
    row = Guessing.objects.create(
        username=mailbox.address, began_at=now - 60, last_at=now, tries=412, looked_at=9
    )
    GuessingSource.objects.create(guessing=row, holder="203.0.113.1", tries=412)

    found = caller.get(f"{where}/sign-in").json()["guessing"]

    assert (found["try_count"], found["looked_at_count"], found["address_count"]) == (412, 9, 1)


def test_app_passwords_only_is_switched(caller, mailbox, where):
    credentials.set_mailbox_password(actor=ACTOR, mailbox=mailbox, password="long enough", at=AT)
    changed = caller.patch(f"{where}/sign-in", {"app_passwords_only": True})

    assert changed.status_code == 200
    assert (changed.json()["app_passwords_only"], changed.json()["has_mailbox_password"]) == (
        True,
        True,
    )
    mailbox.refresh_from_db()
    assert mailbox.app_passwords_only
    assert caller.patch(f"{where}/sign-in", {"app_passwords_only": "yes"}).status_code == 422
    assert caller.patch(f"{where}/sign-in", {}).json()["app_passwords_only"] is True


def test_sessions_are_ended(caller, mailbox, where):
    assert caller.post(f"{where}/end-sessions").status_code == 200

    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at is not None


def test_an_app_password_is_made_and_changed_with_networks(caller, where):
    body = {"label": "Phone", "networks": ["192.0.2.0/24", "::ffff:1.2.3.4"]}
    made = caller.post(f"{where}/app-passwords", body)
    assert made.status_code == 201
    assert made.json()["networks"] == ["192.0.2.0/24", "1.2.3.4/32"]
    one = f"{where}/app-passwords/{made.json()['id']}"

    only_protocols = caller.patch(one, {"protocols": ["imap"]}).json()
    only_networks = caller.patch(one, {"networks": []}).json()

    assert (only_protocols["protocols"], only_protocols["networks"]) == (
        ["imap"],
        ["192.0.2.0/24", "1.2.3.4/32"],
    )
    assert (only_networks["protocols"], only_networks["networks"]) == (["imap"], [])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"networks": ["192.0.2.1/24"]}, "/networks"),
        ({"networks": "192.0.2.0/24"}, "/networks"),
        ({"networks": ["10.0.0.0/8"] * 51}, "/networks"),
        ({"networks": [1]}, "/networks/0"),
        ({"protocols": []}, "/protocols"),
        ({"protocols": ["smtp"]}, "/protocols/0"),
        ({"label": "x"}, "/label"),
    ],
)
def test_a_reach_that_makes_no_sense_is_pointed_at(caller, mailbox, where, body, pointer):
    issued = credentials.issue(actor=ACTOR, mailbox=mailbox, label="Phone", at=AT)
    one = f"{where}/app-passwords/{public_ids.encode('pwd', issued.app_password.uuid)}"

    answer = caller.patch(one, body)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_a_revoked_app_password_cannot_be_changed(caller, mailbox, where):
    issued = credentials.issue(actor=ACTOR, mailbox=mailbox, label="Phone", at=AT)
    credentials.revoke(actor=ACTOR, app_password=issued.app_password, at=AT)
    one = f"{where}/app-passwords/{public_ids.encode('pwd', issued.app_password.uuid)}"

    assert caller.patch(one, {"networks": []}).json()["code"] == "wrong-state"
