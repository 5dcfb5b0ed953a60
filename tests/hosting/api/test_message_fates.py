"""When one message goes, as programs ask it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hosting import public_ids
from mailstore import holding
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


@pytest.fixture
def path(mailbox):
    return f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/retention/message"


@pytest.fixture
def rita(cast):
    return Caller(make_key(cast.reseller).secret)


def test_a_message_says_when_it_goes_and_why(rita, twin, mailbox, path):
    now = timezone.now()
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.append(b"Message-ID: <one@x.test>\r\n\r\nx", at=now - timedelta(days=10))

    found = rita.get(f"{path}?folder=Junk&uid=1").json()

    goes_at = now + timedelta(days=20)
    assert (found["folder"], found["uid"], found["bytes"]) == ("Junk", 1, 29)
    assert found["goes_at"][:10] == f"{goes_at:%Y-%m-%d}"
    assert found["sentence"].startswith(f"It goes on {goes_at:%-d %B %Y}. Mail in Junk goes 30")
    assert (found["message_id"], found["stopped_text"]) == ("<one@x.test>", None)


def test_what_keeps_it_is_said(cast, rita, twin, mailbox, path):
    twin.accounts[mailbox.address].folders["INBOX"].append(b"x")
    now = timezone.now()
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=now
    )

    found = rita.get(f"{path}?folder=INBOX&uid=1").json()

    assert (found["goes_at"], found["sentence"]) == (
        None,
        "Nothing is removed from INBOX: the plan keeps it.",
    )
    assert "is held" in found["stopped_text"]


@pytest.mark.parametrize("query", ["", "?folder=Junk", "?uid=1", "?folder=a%0ab&uid=1"])
def test_both_parameters_are_needed_and_checked(query, rita, path):
    assert rita.get(path + query).status_code == 400


@pytest.mark.parametrize("uid", ["0", "-1", "1.5", "4294967296", "x"])
def test_a_number_that_is_none_is_pointed_at(uid, rita, path):
    answer = rita.get(f"{path}?folder=Junk&uid={uid}")

    assert answer.status_code == 400
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/uid"]


def test_what_is_not_there_is_absent_and_so_is_a_strangers(cast, rita, twin, mailbox, path):
    twin.accounts[mailbox.address].folders["INBOX"].append(b"x")
    charlie = Caller(make_key(cast.other_customer).secret)

    assert rita.get(f"{path}?folder=INBOX&uid=2").status_code == 404
    assert rita.get(f"{path}?folder=Nowhere&uid=1").status_code == 404
    assert charlie.get(f"{path}?folder=INBOX&uid=1").status_code == 404
    twin.is_down = True
    assert rita.get(f"{path}?folder=INBOX&uid=1").status_code == 503
