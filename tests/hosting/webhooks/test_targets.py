"""Where webhooks may lead: the corpus is refused when it is entered and when it is sent to."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from hosting.models import WebhookEndpoint
from hosting.webhooks import endpoints, targets
from hosting.webhooks.posting import Courier, Parcel
from tests.factories import AT
from tests.hosting.webhooks.targets_corpus import ADDRESSES, GOOD, URLS
from tests.patience import PATIENCE_SECONDS

PUBLIC = "93.184.216.34"


@pytest.fixture
def names(monkeypatch):
    """What names lead to, without a network; by default to a public address."""
    leads: dict[str, list[str]] = {}
    asked: list[str] = []

    def look_up(host, port, **_more):
        asked.append(host)
        found = leads.get(host, [PUBLIC])
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    leads["asked"] = asked
    return leads


def posted(url):
    parcel = Parcel(key=1, body=b"{}", stamp=lambda _moment: {})
    with Courier(allows_private=False) as courier:
        [outcome] = courier.send(url, [parcel]).result(timeout=PATIENCE_SECONDS)
    return outcome


def test_corpus_is_as_long_as_it_has_to_be(counts):
    assert len(set(URLS)) >= 150
    counts(hostile_targets=len(set(URLS)), hostile_addresses=len(ADDRESSES))


@pytest.mark.parametrize("url", URLS)
def test_hostile_target_is_refused_when_it_is_entered(url, names, cast):
    actor, owner = cast.actor(cast.rita), cast.reseller

    with pytest.raises(endpoints.BadEndpoint) as refusal:
        endpoints.make(actor=actor, organisation=owner, url=url, at=AT)

    assert refusal.value.field == "url"
    assert not WebhookEndpoint.objects.exists()
    assert names["asked"] == []


@pytest.mark.parametrize("url", URLS)
def test_hostile_target_is_refused_when_it_is_sent_to(url, names, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", None)

    outcome = posted(url)

    assert outcome.status is None
    assert outcome.problem
    assert names["asked"] == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_name_that_leads_inside_is_refused_each_time(address, names, cast):
    names["shop.com"] = [address]

    with pytest.raises(endpoints.BadEndpoint):
        endpoints.make(
            actor=cast.actor(cast.rita),
            organisation=cast.reseller,
            url="https://shop.com/",
            at=AT,
        )

    assert posted("https://shop.com/").problem == "This leads to an address that is not public."


def test_name_with_a_public_and_an_inner_address_is_refused(names):
    names["shop.com"] = [PUBLIC, "10.0.0.1"]

    assert "not public" in posted("https://shop.com/").problem


def test_name_that_leads_nowhere_is_refused(names):
    names["shop.com"] = []

    with pytest.raises(targets.NameUnknown):
        targets.check("https://shop.com/", allows_private=False)
    assert posted("https://shop.com/").problem == "shop.com cannot be found."


def test_name_without_any_address_is_refused():
    with pytest.raises(targets.NameUnknown):
        targets.judge([], allows_private=False)


@pytest.mark.parametrize("url", GOOD)
def test_good_target_is_taken(url, names):
    target = targets.check(url, allows_private=False)

    assert target.is_encrypted


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://SHOP.com", "shop.com", "/"),
        ("https://shop.com:8443/a?b", "shop.com:8443", "/a?b"),
        ("https://[2a00:1450:4001:80b::200e]/x", "[2a00:1450:4001:80b::200e]", "/x"),
        ("https://shop.com?x", "shop.com", "/?x"),
    ],
)
def test_target_is_taken_apart(url, authority, path):
    target = targets.parse(url, allows_private=False)

    assert (target.authority, target.path) == (authority, path)


def test_laptop_may_lead_to_itself():
    target = targets.parse("http://localhost:5000/hook", allows_private=True)

    assert (target.scheme, target.port) == ("http", 5000)
    assert targets.judge([ip_address("127.0.0.1")], allows_private=True)


def test_older_protocol_goes_first(names):
    found = [ip_address("2a00:1450:4001:80b::200e"), ip_address("8.8.8.8")]

    assert str(targets.judge(found, allows_private=False)) == "8.8.8.8"
