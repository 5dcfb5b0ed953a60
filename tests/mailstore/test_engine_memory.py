from __future__ import annotations

import pytest

from mailstore.engine import EngineUnavailable
from tests.mailstore.engine_contract import EngineContract, letter

USER = "hello@alder.test"


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def mail(self, twin):
        return twin

    @pytest.fixture
    def user(self, twin):
        twin.know(USER, quota_bytes=10_000)
        return USER

    def test_what_a_program_removes_is_kept_with_its_folder(self, mail, user):
        mail.deliver(recipient=user, message=letter("Gone"), sender="a@x.test")
        mail.remove(user=user, folder="INBOX")

        [kept] = mail.removed_mail(user=user)
        assert (kept.folder, kept.subject) == ("INBOX", "Gone")

    def test_a_dead_one_is_unavailable(self, mail, user):
        mail.is_down = True

        with pytest.raises(EngineUnavailable):
            mail.ping()
