"""What a password may be: hard to guess, not endless, and of whatever characters."""

from __future__ import annotations

import pytest
from django.contrib.auth.password_validation import (
    get_default_password_validators,
    validate_password,
)
from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.password_rules import LONGEST, HardToGuess, NotTooLong

ALICE = User(email="alice.liddell@example.test", name="Alice Liddell")


def refusals(password, user=ALICE):
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {each.code for each in error.error_list}
    return set()


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "qwertyuiop12",
        "P@ssw0rd2024",
        "aaaaaaaaaaaa",
        "abcdefghijkl",
        "1q2w3e4r5t6y",
        "letmeinletmein",
        "liddellalice",
        "dragondragon",
        "19841984198",
    ],
)
def test_what_thieves_try_first_is_refused(password):
    assert "password_easy_to_guess" in refusals(password)


@pytest.mark.parametrize(
    "password",
    [
        "four plain words here",
        "vier einfache wörter hier",
        "ナイチンゲールの歌が聞こえる",
        "xK7#mQ2$vL9p",
        "only lower case letters",
        "  leading and trailing  ",
        "correct horse battery staple",
        "q" + "W3$k9!zR7" * 110,
    ],
)
def test_what_is_hard_to_guess_is_taken_of_whatever_characters(password):
    assert refusals(password) == set()


def test_length_has_both_ends():
    assert "password_too_short" in refusals("kX9$vL2#m")
    assert refusals("W3$k9!zR7q" * (LONGEST // 10)) == set()
    assert "password_too_long" in refusals("W3$k9!zR7q" * (LONGEST // 10) + "x")


def test_rules_hold_without_a_person():
    with pytest.raises(ValidationError):
        HardToGuess().validate("password1234")
    HardToGuess().validate("four plain words here")
    NotTooLong().validate("x")


def test_each_rule_says_what_it_wants():
    assert all(each.get_help_text() for each in get_default_password_validators())
