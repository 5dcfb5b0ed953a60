"""Who gets into a mailbox, as its page shows and changes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import system
from mailstore import credentials
from mailstore.models import AppPassword, Guessing, GuessingSource
from tests.factories import AT, make_mailbox
from tests.hosting.test_pages import text_of
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
ACTOR = system("tests")


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    return mailbox


@pytest.fixture
def phone(mailbox):
    return credentials.issue(actor=ACTOR, mailbox=mailbox, label="Phone", at=AT).app_password


@pytest.fixture
def alice(cast):
    return signed_in(cast.alice)


def url(name, mailbox, *more):
    return reverse(f"mailboxes:{name}", args=[mailbox.uuid, *more])


def guessed_at(mailbox, *, tries=412, addresses=37):
    now = timezone.now()
    row = Guessing.objects.create(
        username=mailbox.address,
        began_at=int((now - timedelta(minutes=20)).timestamp()),
        last_at=int(now.timestamp()),
        tries=tries,
        looked_at=9,
    )
    GuessingSource.objects.bulk_create(
        GuessingSource(guessing=row, holder=f"203.0.113.{n}", tries=1) for n in range(addresses)
    )


def test_an_app_password_is_made_for_networks_and_shown_with_them(alice, mailbox):
    data = {"label": "Shop", "protocols": ["imap"], "networks": "192.0.2.0/24\n::ffff:1.2.3.4"}
    answer = alice.post(url("add_app_password", mailbox), data)

    assert answer.status_code == 302
    assert AppPassword.objects.get().networks == ["192.0.2.0/24", "1.2.3.4/32"]
    assert "IMAP only from 192.0.2.0/24, 1.2.3.4/32" in text_of(alice.get(url("detail", mailbox)))


def test_a_network_that_is_none_is_told_at_its_box_and_makes_nothing(alice, mailbox):
    data = {"label": "Shop", "protocols": ["imap"], "networks": "192.0.2.1/24"}
    answer = alice.post(url("add_app_password", mailbox), data)

    assert answer.status_code == 422
    assert "is no IP address and no network such as" in text_of(answer)
    assert not AppPassword.objects.exists()


def test_the_reach_of_an_app_password_is_changed_on_its_page(alice, mailbox, phone):
    page = url("change_app_password", mailbox, phone.uuid)
    assert "What “Phone” may do" in text_of(alice.get(page))

    answer = alice.post(page, {"protocols": ["pop"], "networks": "192.0.2.0/24, 198.51.100.7"})

    assert answer.status_code == 302
    phone.refresh_from_db()
    assert (phone.allows_pop, phone.allows_imap) == (True, False)
    assert phone.networks == ["192.0.2.0/24", "198.51.100.7/32"]
    assert "192.0.2.0/24\n198.51.100.7/32" in alice.get(page).content.decode()


@pytest.mark.parametrize(
    "data",
    [{"networks": ""}, {"protocols": ["imap"], "networks": "x" * 5001}, {"protocols": ["x"]}],
)
def test_a_reach_that_makes_no_sense_changes_nothing(alice, mailbox, phone, data):
    answer = alice.post(url("change_app_password", mailbox, phone.uuid), data)

    assert answer.status_code == 422
    phone.refresh_from_db()
    assert credentials.Reach.of(phone) == credentials.Reach()


def test_a_revoked_or_foreign_app_password_is_absent(alice, mailbox, phone, cast):
    other = make_mailbox(cast.domain, "other")
    assert alice.get(url("change_app_password", other, phone.uuid)).status_code == 404

    credentials.revoke(actor=ACTOR, app_password=phone, at=AT)

    assert alice.get(url("change_app_password", mailbox, phone.uuid)).status_code == 404


def test_app_passwords_only_is_switched_on_and_off(alice, mailbox):
    alice.post(url("require_app_passwords", mailbox))
    mailbox.refresh_from_db()
    assert mailbox.app_passwords_only
    answer = alice.post(url("set_password", mailbox), {"password": "long enough"}, follow=True)
    assert "Only app passwords open this mailbox. Allow mailbox passwords first." in text_of(answer)

    answer = alice.post(url("allow_mailbox_password", mailbox), follow=True)

    mailbox.refresh_from_db()
    assert (mailbox.app_passwords_only, mailbox.password_hash) == (False, "")
    assert "A mailbox password may open the mailbox again." in text_of(answer)


def test_sessions_are_ended_by_a_button(alice, mailbox):
    answer = alice.post(url("end_sessions", mailbox), follow=True)

    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at is not None
    assert "Whoever was signed in is out." in text_of(answer)


@pytest.mark.parametrize("has_password", [True, False])
def test_the_page_says_that_somebody_is_guessing(alice, mailbox, has_password):
    assert "guessing" not in text_of(alice.get(url("detail", mailbox)))
    if has_password:
        credentials.set_mailbox_password(
            actor=ACTOR, mailbox=mailbox, password="long enough", at=AT
        )
    guessed_at(mailbox)

    text = text_of(alice.get(url("detail", mailbox)))

    assert "Somebody is guessing the password of hello@alder.test." in text
    assert "412 tries from 37 addresses since" in text
    assert ("Only 9 of them got as far as the password" in text) is has_password
    assert ("No guess can be right" in text) is not has_password


def test_a_colleague_who_may_only_read_sees_it_without_buttons(cast, mailbox, phone):
    bob = Client()
    bob.force_login(cast.bob)
    guessed_at(mailbox)

    page = bob.get(url("detail", mailbox)).content.decode()

    assert "Somebody is guessing" in page
    assert url("require_app_passwords", mailbox) not in page
    assert url("change_app_password", mailbox, phone.uuid) not in page
