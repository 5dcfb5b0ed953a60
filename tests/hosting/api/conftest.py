"""Keys of Rita's reseller, of Alice's company and of a stranger's."""

from __future__ import annotations

import pytest

from tests.hosting.api.caller import Caller, make_key


@pytest.fixture
def rita(cast):
    return Caller(make_key(cast.reseller).secret)


@pytest.fixture
def alice(cast):
    return Caller(make_key(cast.customer).secret)


@pytest.fixture
def charlie(cast):
    return Caller(make_key(cast.other_customer).secret)
