"""The real Dovecot passes the contract, and fails as the contract says."""

from __future__ import annotations

import pytest
from django.conf import settings

from mailstore.engine import EngineRefused, EngineUnavailable
from mailstore.engine.doveadm import DoveadmEngine
from mailstore.models import Mailbox
from tests.mailstore.engine_contract import EngineContract
from tests.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class TestDoveadmEngine(EngineContract):
    @pytest.fixture
    def mail(self, live):
        return live

    @pytest.fixture
    def program(self, make_program):
        program = make_program()
        Mailbox.objects.filter(pk=program.mailbox.pk).update(quota_bytes=10_000)
        return program

    @pytest.fixture
    def user(self, program):
        return program.address

    @pytest.fixture
    def fetch(self, program):
        def fetch():
            client = program.imap()
            client.select("INBOX")
            client.fetch("1:*", "(BODY[])")
            client.logout()

        return fetch

    def test_sessions_are_counted_and_ended(self, mail, make_program):
        program = make_program()
        program.imap()

        assert mail.end_sessions(user=program.address) == 1
        assert mail.end_sessions(user=program.address) == 0


def test_erasing_leaves_not_even_a_folder(live, make_program):
    program = make_program()
    program.deliver("One")
    client = program.imap()
    client.create("Work/Plans")
    client.select("INBOX")
    client.copy("1", "Work/Plans")
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.logout()
    home = settings.MAIL_ROOT / program.mailbox.uuid.hex[:2] / program.mailbox.uuid.hex
    assert home.is_dir()

    for _ in range(2):
        live.erase(user=program.address)
        assert not home.exists()


def test_a_dead_server_is_unavailable():
    nowhere = ("127.0.0.1", free_port())
    dead = DoveadmEngine(doveadm=nowhere, api_key="x", lmtp=nowhere)

    with pytest.raises(EngineUnavailable):
        dead.ping()
    with pytest.raises(EngineUnavailable):
        dead.deliver(recipient="a@b.test", message=b"x", sender="c@d.test")


def test_a_wrong_key_is_refused(mail_server):
    address = ("127.0.0.1", mail_server.doveadm_port)
    stranger = DoveadmEngine(doveadm=address, api_key="wrong", lmtp=address)

    with pytest.raises(EngineRefused, match="401"):
        stranger.ping()


def test_look_at_a_folder_that_lost_a_file_repairs_it_and_shows_the_rest(make_program):
    program = make_program("imap", "lost-file")
    for number in range(3):
        program.deliver(str(number))
    program.live.remove(user=program.address, folder="INBOX", uids=[1, 2, 3])
    [home] = program.server.mail_root.glob(f"*/{program.mailbox.uuid.hex}")
    lost = sorted(home.glob("expunged/mailboxes/INBOX/dbox-Mails/u.*"))[1]

    lost.unlink()

    assert {m.subject for m in program.live.removed_mail(user=program.address)} == {"0", "2"}
