from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from django.db import connection

from accounts import keys, notices
from accounts.access import Forbidden
from accounts.models import Event, Notice
from mailstore import credentials
from mailstore.models import AppPassword
from tests.factories import AT, make_mailbox

LATER = AT + timedelta(hours=1)
pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def test_secret_has_140_random_bits_in_groups():
    secrets = {credentials.new_secret() for _ in range(1000)}

    assert len(secrets) == 1000
    assert all(re.fullmatch(r"[a-km-np-z2-9]{7}(-[a-km-np-z2-9]{7}){3}", s) for s in secrets)


def test_issue_keeps_a_digest_and_no_secret(cast):
    mailbox = make_mailbox(cast.domain)

    issued = credentials.issue(actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone", at=AT)

    row = AppPassword.objects.get()
    assert row.digest == hashlib.sha256(issued.secret.encode()).hexdigest()
    event = Event.objects.get(kind="app_password.created")
    assert issued.secret not in str(vars(row)) + str(vars(event))


def test_issue_needs_a_protocol(cast):
    with pytest.raises(credentials.NoProtocol):
        credentials.issue(
            actor=cast.actor(cast.alice),
            mailbox=make_mailbox(cast.domain),
            label="Phone",
            allows_pop=False,
            allows_imap=False,
            at=AT,
        )


def test_revoke_ends_sessions_and_says_so_once(cast):
    mailbox = make_mailbox(cast.domain)
    actor = cast.actor(cast.alice)
    issued = credentials.issue(actor=actor, mailbox=mailbox, label="Phone", at=AT)

    credentials.revoke(actor=actor, app_password=issued.app_password, at=AT)
    credentials.revoke(actor=actor, app_password=issued.app_password, at=AT)

    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at == AT
    assert AppPassword.objects.get().revoked_at == AT
    assert Event.objects.filter(kind="app_password.revoked").count() == 1


@pytest.mark.parametrize("name", ["bob", "charlie"])
def test_credentials_need_a_role_that_allows_them(cast, name):
    mailbox = make_mailbox(cast.domain)
    issued = credentials.issue(actor=cast.actor(cast.sam), mailbox=mailbox, label="P", at=AT)
    actor = cast.actor(getattr(cast, name))

    with pytest.raises(Forbidden):
        credentials.issue(actor=actor, mailbox=mailbox, label="Mine", at=AT)
    with pytest.raises(Forbidden):
        credentials.revoke(actor=actor, app_password=issued.app_password, at=AT)
    with pytest.raises(Forbidden):
        credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="x" * 12, at=AT)


def test_mailbox_password_is_a_cheap_argon2_and_can_be_removed(cast):
    mailbox = make_mailbox(cast.domain)
    actor = cast.actor(cast.alice)

    credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="long enough", at=AT)
    mailbox.refresh_from_db()
    assert mailbox.password_hash.startswith("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")

    credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password="", at=AT)
    mailbox.refresh_from_db()
    assert mailbox.password_hash == ""


# How far an app password reaches --------------------------------------------------------


@pytest.fixture
def phone(cast):
    mailbox = make_mailbox(cast.domain)
    return credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone", at=AT
    ).app_password


def set_reach(cast, password, *, networks=(), pop=True, imap=True, name="alice", at=LATER):
    credentials.set_reach(
        actor=cast.actor(getattr(cast, name)),
        app_password=password,
        allows_pop=pop,
        allows_imap=imap,
        networks=networks,
        at=at,
    )


def kinds():
    return list(Event.objects.order_by("seq").values_list("kind", flat=True))[-1:]


def letters():
    return list(Notice.objects.values_list("name", "to"))


def sessions_ended(password):
    password.mailbox.refresh_from_db()
    return password.mailbox.sessions_end_asked_at == LATER


def test_networks_are_kept_in_one_spelling(cast):
    issued = credentials.issue(
        actor=cast.actor(cast.alice),
        mailbox=make_mailbox(cast.domain),
        label="Phone",
        networks=[" 192.0.2.0/24", "::ffff:192.0.2.0/120", "2001:DB8::/32", "198.51.100.7"],
        at=AT,
    )

    networks = AppPassword.objects.get(pk=issued.app_password.pk).networks
    assert networks == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]


@pytest.mark.parametrize(
    "networks",
    [
        ["192.0.2.1/24"],
        ["192.0.2.0/33"],
        ["example.test"],
        ["192.0.2.0/24,0.0.0.0/0"],
        ["192.0.2.0/24 0.0.0.0/0"],
        ["fe80::1%eth0"],
        ["' OR 1=1"],
        [""],
        ["local"],
        [f"10.0.{n}.0/24" for n in range(51)],
    ],
)
def test_what_is_no_network_is_refused_and_nothing_changes(cast, phone, networks):
    with pytest.raises(keys.BadNetwork):
        set_reach(cast, phone, networks=networks)
    with pytest.raises(keys.BadNetwork):
        credentials.issue(
            actor=cast.actor(cast.alice),
            mailbox=phone.mailbox,
            label="Other",
            networks=networks,
            at=AT,
        )

    phone.refresh_from_db()
    assert (phone.allow_nets, AppPassword.objects.count()) == ("", 1)


def test_a_narrower_reach_ends_sessions_and_is_no_letter(cast, phone):
    set_reach(cast, phone, networks=["192.0.2.0/24"], pop=False)

    assert kinds() == ["app_password.tightened"]
    assert sessions_ended(phone)
    assert letters() == []
    fact = Event.objects.get(kind="app_password.tightened")
    assert fact.data["protocols"] == {"old": ["pop", "imap"], "new": ["imap"]}
    assert fact.data["networks"] == {"old": [], "new": ["192.0.2.0/24"]}


@pytest.mark.parametrize(
    "wider",
    [
        {"networks": []},
        {"networks": ["192.0.2.0/24", "198.51.100.0/24"]},
        {"networks": ["192.0.0.0/16"]},
        {"networks": ["192.0.2.0/24"], "pop": True},
    ],
)
def test_a_wider_reach_is_told_to_the_owners(cast, phone, wider):
    set_reach(cast, phone, networks=["192.0.2.0/24"], pop=False, at=AT)
    type(phone.mailbox).objects.update(sessions_end_asked_at=None)

    set_reach(cast, phone, **{"pop": False, **wider})

    assert kinds() == ["app_password.loosened"]
    assert not sessions_ended(phone)
    assert letters() == [("app_password_loosened", "alice@example.test")]
    subject, text = notices.written(Notice.objects.get())
    assert subject == "An app password of hello@alder.test opens more than before"
    assert "Phone" in text


def test_another_reach_is_both(cast, phone):
    set_reach(cast, phone, networks=["192.0.2.0/24"], at=AT)

    set_reach(cast, phone, networks=["198.51.100.0/24"])

    assert kinds() == ["app_password.loosened"]
    assert sessions_ended(phone)


def test_the_same_reach_is_nothing_new(cast, phone):
    before = Event.objects.count()

    set_reach(cast, phone)

    assert Event.objects.count() == before
    assert not sessions_ended(phone)


def test_a_revoked_app_password_has_no_reach(cast, phone):
    credentials.revoke(actor=cast.actor(cast.alice), app_password=phone, at=AT)

    with pytest.raises(credentials.Revoked):
        set_reach(cast, phone, networks=["192.0.2.0/24"])


def test_a_reach_needs_a_protocol(cast, phone):
    with pytest.raises(credentials.NoProtocol):
        set_reach(cast, phone, pop=False, imap=False)


# App passwords only, and ending sessions ------------------------------------------------


def require(cast, mailbox, *, is_on, at=LATER):
    actor = cast.actor(cast.alice)
    credentials.require_app_passwords(actor=actor, mailbox=mailbox, is_on=is_on, at=at)


def test_app_passwords_only_keeps_the_password_and_ends_its_sessions(cast, phone):
    mailbox = phone.mailbox
    credentials.set_mailbox_password(
        actor=cast.actor(cast.alice), mailbox=mailbox, password="long enough", at=AT
    )
    require(cast, mailbox, is_on=True)
    require(cast, mailbox, is_on=True)

    assert sessions_ended(phone)
    assert Event.objects.filter(kind="mailbox.app_passwords_only").count() == 1
    assert rows_of_passdb() == []
    with pytest.raises(credentials.AppPasswordsOnly):
        credentials.set_mailbox_password(
            actor=cast.actor(cast.alice), mailbox=mailbox, password="another one", at=AT
        )

    require(cast, mailbox, is_on=False)

    assert len(rows_of_passdb()) == 3
    assert letters() == [("mailbox_password_allowed", "alice@example.test")]
    assert "hello@alder.test" in "".join(notices.written(Notice.objects.get()))


def rows_of_passdb():
    with connection.cursor() as cursor:
        cursor.execute("SELECT proto FROM dovecot_passdb")
        return cursor.fetchall()


def test_the_mailbox_password_can_be_removed_while_app_passwords_alone_open(cast, phone):
    require(cast, phone.mailbox, is_on=True)

    credentials.set_mailbox_password(
        actor=cast.actor(cast.alice), mailbox=phone.mailbox, password="", at=AT
    )

    phone.mailbox.refresh_from_db()
    assert phone.mailbox.app_passwords_only


def test_ending_sessions_is_asked_and_said(cast, phone):
    credentials.end_sessions(actor=cast.actor(cast.alice), mailbox=phone.mailbox, at=LATER)

    assert sessions_ended(phone)
    assert kinds() == ["mailbox.sessions_ended"]


@pytest.mark.parametrize("name", ["bob", "charlie"])
def test_sign_in_is_changed_by_who_manages_mail_only(cast, phone, name):
    actor = cast.actor(getattr(cast, name))

    with pytest.raises(Forbidden):
        set_reach(cast, phone, networks=["192.0.2.0/24"], name=name)
    with pytest.raises(Forbidden):
        credentials.require_app_passwords(actor=actor, mailbox=phone.mailbox, is_on=True, at=AT)
    with pytest.raises(Forbidden):
        credentials.end_sessions(actor=actor, mailbox=phone.mailbox, at=AT)
