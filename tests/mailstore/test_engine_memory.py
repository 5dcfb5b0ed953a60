from __future__ import annotations

from dataclasses import replace

import pytest

from mailstore.engine import EngineUnavailable
from tests.mailstore.engine_contract import EngineContract

USER = "hello@alder.test"


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def mail(self, twin):
        return twin

    @pytest.fixture
    def user(self, twin):
        twin.know(USER, quota_bytes=10_000)
        return USER

    @pytest.fixture
    def fetch(self, twin, user):
        def fetch():
            inbox = twin.accounts[user].folders["INBOX"]
            inbox.kept = [replace(message, flags={"\\Seen"}) for message in inbox.kept]

        return fetch

    def test_a_dead_one_is_unavailable(self, mail, user):
        mail.is_down = True

        with pytest.raises(EngineUnavailable):
            mail.ping()
