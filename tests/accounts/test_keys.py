from __future__ import annotations

import pytest

from accounts import keys


@pytest.mark.parametrize(("is_test", "prefix"), [(False, "rst_live_"), (True, "rst_test_")])
def test_a_new_secret_is_well_formed_and_says_its_mode(is_test, prefix):
    secret = keys.new_secret(is_test=is_test)

    assert secret.startswith(prefix)
    assert len(secret) == len(prefix) + 46
    assert keys.is_well_formed(secret)


def test_no_two_secrets_are_alike():
    assert len({keys.new_secret(is_test=False) for _ in range(500)}) == 500


def test_one_wrong_character_anywhere_spoils_the_checksum():
    secret = keys.new_secret(is_test=False)
    spoiled = [
        secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]
        for place in range(len("rst_live_"), len(secret))
    ]

    assert [each for each in spoiled if keys.is_well_formed(each)] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda _secret: "",
        lambda _secret: "rst_live_",
        lambda _secret: "rst_live_" + "0" * 6,
        lambda secret: secret.removeprefix("rst_"),
        lambda secret: secret.upper(),
        lambda secret: secret[:-1],
        lambda secret: secret + "0",
        lambda secret: f" {secret}",
        lambda secret: f"{secret}\n",
        lambda secret: secret.replace("live", "prod"),
        lambda secret: secret[:-1] + "\udc80",
        lambda secret: secret[:20] + "é" + secret[21:],
        lambda secret: secret * 1000,
        lambda _secret: "\x00" * 55,
    ],
)
def test_what_is_no_key_is_told_without_a_look_up(change):
    assert not keys.is_well_formed(change(keys.new_secret(is_test=False)))


def test_the_digest_is_that_of_all_characters():
    assert keys.digest("abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_scopes_stand_in_the_order_of_the_table_and_once():
    asked = ["usage:read", "mailboxes:read", "usage:read"]

    assert keys.canonical_scopes(asked) == ["mailboxes:read", "usage:read"]


@pytest.mark.parametrize("name", ["", "mailboxes", "mailboxes:*", "MAILBOXES:READ", "x" * 1000])
def test_an_unknown_scope_is_named_and_cut(name):
    with pytest.raises(keys.UnknownScope) as refusal:
        keys.canonical_scopes(["mailboxes:read", name])

    assert repr(name[:60]) in str(refusal.value)
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_networks_have_one_spelling(text, canonical):
    assert keys.canonical_networks([text, text]) == [canonical]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "256.0.0.1",
        "192.0.2.0/24/24",
        "0300.0.2.1",
        "2001:db8::1/32",
        "fe80::1%eth0",
        "192.0.2.0/" + "9" * 5000,
        "1\x000.0.0.1",
    ],
)
def test_what_is_no_network_is_refused_and_cut(text):
    with pytest.raises(keys.BadNetwork) as refusal:
        keys.canonical_networks([text])

    assert len(str(refusal.value)) < 150


def test_a_key_has_so_many_networks_at_most():
    networks = [f"192.0.2.{number}" for number in range(51)]

    assert len(keys.canonical_networks(networks[:50])) == 50
    with pytest.raises(keys.BadNetwork, match="50 networks"):
        keys.canonical_networks(networks)


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("2001:db8::7%eth0", True),
        ("", False),
        ("unix:", False),
        ("192.0.2.7, 10.0.0.1", False),
        # The same four bytes in another dress are not the same address.
        ("::192.0.2.7", False),
        ("64:ff9b::192.0.2.7", False),
    ],
)
def test_an_address_lies_inside_or_not(address, is_inside):
    networks = ["192.0.2.0/24", "2001:db8::/32"]

    assert keys.is_inside(address, networks) is is_inside


def test_no_address_lies_in_no_network():
    assert not keys.is_inside("192.0.2.7", [])


@pytest.mark.parametrize(
    ("wanted", "is_covered"),
    [
        ([], True),
        (["192.0.2.0/25"], True),
        (["192.0.2.0/24", "2001:db8:1::/48"], True),
        (["192.0.0.0/16"], False),
        (["192.0.2.0/24", "198.51.100.0/24"], False),
        (["2001:db8::/31"], False),
        (["0.0.0.0/0"], False),
    ],
)
def test_networks_cover_others_or_not(wanted, is_covered):
    assert keys.covers(["192.0.2.0/24", "2001:db8::/32"], wanted) is is_covered


@pytest.mark.parametrize(
    ("address", "holder"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("nonsense", "None"),
    ],
)
def test_whoever_has_one_address_has_its_network(address, holder):
    assert keys.holder_of(address) == holder
