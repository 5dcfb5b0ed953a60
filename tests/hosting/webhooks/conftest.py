from __future__ import annotations

import pytest

from hosting.webhooks import endpoints
from tests.factories import AT
from tests.hosting.webhooks.receiver import Receiver
from tests.servers import free_port


@pytest.fixture
def laptop(settings):
    """Webhooks may lead to this machine."""
    settings.ALLOW_PRIVATE_WEBHOOKS = True


@pytest.fixture(scope="session")
def own_port():
    """Nobody else is given it, so nobody listens there when the receiver has gone."""
    return free_port()


@pytest.fixture
def receiver(laptop, own_port):
    with Receiver(port=own_port) as receiver:
        yield receiver


@pytest.fixture
def made(cast, receiver):
    """Rita's endpoint at the receiver, with its secret."""
    return endpoints.make(
        actor=cast.actor(cast.rita), organisation=cast.reseller, url=receiver.url, at=AT
    )
