from __future__ import annotations

import pytest

from hosting.webhooks import endpoints
from tests.factories import AT
from tests.hosting.webhooks.receiver import Receiver


@pytest.fixture
def laptop(settings):
    """Webhooks may lead to this machine."""
    settings.ALLOW_PRIVATE_WEBHOOKS = True


@pytest.fixture
def receiver(laptop):
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def made(cast, receiver):
    """Rita's endpoint at the receiver, with its secret."""
    return endpoints.make(
        actor=cast.actor(cast.rita), organisation=cast.reseller, url=receiver.url, at=AT
    )
