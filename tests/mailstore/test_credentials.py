from __future__ import annotations

import hashlib
import re

import pytest

from accounts.access import Forbidden
from accounts.models import Event
from mailstore import credentials
from mailstore.models import AppPassword
from tests.factories import AT, make_mailbox

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
