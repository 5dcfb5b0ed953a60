from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore import addresses
from tests.corpus import HOSTILE_DOMAINS, HOSTILE_LOCAL_PARTS


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("hello", "hello"),
        ("Hello.World", "hello.world"),
        ("a-b_c.9", "a-b_c.9"),
        ("_list", "_list"),
        ("a" * 64, "a" * 64),
    ],
)
def test_local_part_has_one_canonical_form(text, canonical):
    assert addresses.local_part(text) == canonical


@pytest.mark.parametrize("text", HOSTILE_LOCAL_PARTS)
def test_local_part_refuses_hostile_names(text):
    with pytest.raises(addresses.InvalidAddress):
        addresses.local_part(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.test", "example.test"),
        ("EXAMPLE.test", "example.test"),
        ("localhost", "localhost"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ],
)
def test_domain_has_one_canonical_form(text, canonical):
    assert addresses.domain(text) == canonical


@pytest.mark.parametrize("text", HOSTILE_DOMAINS)
def test_domain_refuses_hostile_names(text):
    with pytest.raises(addresses.InvalidAddress):
        addresses.domain(text)


@given(st.text(max_size=80))
def test_local_part_is_refused_or_safe_for_every_text(text):
    try:
        canonical = addresses.local_part(text)
    except addresses.InvalidAddress:
        return

    assert set(canonical) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert addresses.local_part(canonical) == canonical


@given(st.text(max_size=80))
def test_domain_is_refused_or_stable_for_every_text(text):
    try:
        canonical = addresses.domain(text)
    except addresses.InvalidAddress:
        return

    assert canonical.isascii()
    assert addresses.domain(canonical) == canonical


def test_split_takes_the_last_at_sign():
    with pytest.raises(addresses.InvalidAddress):
        addresses.split("a@b@example.test")

    assert addresses.split("A@Example.test") == ("a", "example.test")


def test_split_refuses_an_address_that_smtp_cannot_carry():
    host = ".".join(["d" * 60] * 4)

    with pytest.raises(addresses.InvalidAddress):
        addresses.split("a" * 64 + "@" + host)


def test_shown_decodes_international_names():
    assert addresses.shown("xn--bcher-kva.test") == "bücher.test"
    assert addresses.shown("example.test") == "example.test"


@pytest.mark.parametrize("name", ["postmaster", "abuse", "admin"])
def test_reserved_names_are_known(name):
    assert addresses.is_reserved(name)
    assert not addresses.is_reserved(f"{name}s")
