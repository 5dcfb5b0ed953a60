"""What the guard lets Dovecot look at, and what it adds up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connections

from accounts import rate_limits
from accounts.access import system
from accounts.rate_limits.in_process import InProcess
from mailstore import credentials, guessing
from mailstore.guard import attempts, judging, tally
from mailstore.guard.attempts import Attempt, BadQuestion
from mailstore.models import AppPassword, Guessing, GuessingSource, LastLogin
from tests.factories import AT, make_mailbox
from tests.servers import free_port

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
ACTOR = system("tests")
RIGHT = "eleven atlases on a shelf"


@pytest.fixture
def mailbox(cast):
    mailbox = make_mailbox(cast.domain)
    credentials.set_mailbox_password(actor=ACTOR, mailbox=mailbox, password=RIGHT, at=AT)
    return mailbox


class Door:
    """Dovecot's part: asks, looks at the password if it may, and reports."""

    def __init__(self):
        self.tally = tally.Tally()
        self.guard = judging.Guard(tally=self.tally)
        self.sessions = 0

    def attempt(self, login, password, address, *, success=False):
        self.sessions += 1
        return Attempt(
            login=login,
            fingerprint=f"{login} {password}",
            digest=credentials.digest(password),
            address=address,
            protocol="imap",
            session=str(self.sessions),
            success=success,
        )

    def knock(self, password, address="203.0.113.9", *, login="hello@alder.test", at=AT):
        """`in`, `wrong` or `unseen`."""
        attempt = self.attempt(login, password, address)
        if not self.guard.may_try(attempt, at=at):
            return "unseen"
        is_right = password == RIGHT or AppPassword.objects.filter(digest=attempt.digest).exists()
        reported = attempts.Attempt(**{**vars(attempt), "success": is_right})
        self.guard.learn(reported, at=at)
        return "in" if is_right else "wrong"


@pytest.fixture
def door():
    return Door()


def sign_in_from(mailbox, address):
    LastLogin.objects.create(
        username=mailbox.address, proto="imap", device="-", address=address, last_login=1
    )


def guesses(door, count, *, address="203.0.113.{}", start=0, **kwargs):
    return [
        door.knock(f"guess {number}", address.format(number % 250 + 1), **kwargs)
        for number in range(start, start + count)
    ]


def test_ten_guesses_in_any_hour_reach_a_mailbox_from_all_addresses_together(mailbox, door, counts):
    reached = []
    for second in range(0, 2 * 3600, 4):
        at = AT + timedelta(seconds=second)
        if guesses(door, 1, start=second, at=at) == ["wrong"]:
            reached.append(second)
    counts(guesses=1800, looked_at=len(reached))

    windows = [[one for one in reached if start <= one < start + 3600] for start in reached]
    assert max(map(len, windows)) <= 10
    assert len(reached) == 14


def test_the_right_password_gives_its_turn_back_and_never_waits(mailbox, door):
    assert [door.knock(RIGHT) for _ in range(100)] == ["in"] * 100
    assert guesses(door, 6) == ["wrong"] * 5 + ["unseen"]


def test_a_burst_of_connections_with_one_right_password_costs_nothing(mailbox, door):
    asked = [door.attempt(mailbox.address, RIGHT, "203.0.113.9") for _ in range(8)]

    assert [door.guard.may_try(each, at=AT) for each in asked] == [True] * 8
    for each in asked:
        door.guard.learn(Attempt(**{**vars(each), "success": True}), at=AT)
    assert guesses(door, 6) == ["wrong"] * 5 + ["unseen"]


def test_an_app_password_gets_in_whatever_strangers_do(mailbox, door):
    issued = credentials.issue(actor=ACTOR, mailbox=mailbox, label="Phone", at=AT)
    guesses(door, 50)

    assert door.knock(RIGHT, "203.0.113.77") == "unseen"
    assert door.knock(issued.secret, "203.0.113.77") == "in"


def test_an_app_password_used_from_elsewhere_is_a_guess_like_any_other(mailbox, door):
    issued = credentials.issue(
        actor=ACTOR, mailbox=mailbox, label="Phone", networks=["192.0.2.0/24"], at=AT
    )
    guesses(door, 50)

    assert door.knock(issued.secret, "192.0.2.7") == "in"
    assert door.knock(issued.secret, "203.0.113.77") == "unseen"


@pytest.mark.parametrize(
    ("known", "comes_from"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1"),
        ("198.51.100.7", "::ffff:198.51.100.7"),
    ],
)
def test_guesses_from_everywhere_do_not_count_where_the_owner_is_at_home(
    mailbox, door, known, comes_from
):
    sign_in_from(mailbox, known)
    guesses(door, 200)

    assert door.knock(RIGHT, comes_from) == "in"
    assert guesses(door, 6, address=comes_from, start=500)[4:] == ["wrong", "unseen"]


def test_ten_guesses_in_any_hour_reach_a_mailbox_where_the_owner_is_at_home(mailbox, door, counts):
    home = "198.51.100.7"
    sign_in_from(mailbox, home)
    reached = []
    for second in range(0, 2 * 3600, 20):
        at = AT + timedelta(seconds=second)
        if guesses(door, 1, start=second, address=home, at=at) == ["wrong"]:
            reached.append(second)
    counts(guesses=360, looked_at=len(reached))

    windows = [[one for one in reached if start <= one < start + 3600] for start in reached]
    assert max(map(len, windows)) <= 10
    assert len(reached) == 14


def test_a_neighbour_at_home_cannot_use_up_the_address(mailbox, door, cast):
    """At home only guesses at this mailbox count, whatever else comes from there."""
    sign_in_from(mailbox, "198.51.100.7")
    for number in range(100):
        door.knock("x", "198.51.100.7", login=f"nobody{number}@alder.test")

    assert door.knock(RIGHT, "198.51.100.7") == "in"


def test_a_phone_with_an_old_password_locks_out_nobody_and_is_looked_at_now_and_then(mailbox, door):
    found = [
        door.knock("the old one", at=AT + timedelta(seconds=second)) for second in range(0, 3600, 5)
    ]

    assert found[:21] == ["wrong"] * 21
    assert 100 < found.count("wrong") < 150
    assert door.knock(RIGHT, at=AT + timedelta(hours=1)) == "in"
    assert guesses(door, 4, at=AT + timedelta(hours=1)) == ["wrong"] * 4


def test_a_new_password_is_new_to_the_guard(mailbox, door):
    for _ in range(40):
        door.knock("soon right")
    assert door.knock("soon right") == "unseen"

    credentials.set_mailbox_password(actor=ACTOR, mailbox=mailbox, password="soon right", at=AT)

    attempt = door.attempt(mailbox.address, "soon right", "203.0.113.9")
    assert door.guard.may_try(attempt, at=AT)


def test_an_address_is_held_to_sixty_guesses_an_hour_at_all_mailboxes(cast, door, counts):
    for number in range(100):
        mailbox = make_mailbox(cast.domain, f"box{number}")
        credentials.set_mailbox_password(actor=ACTOR, mailbox=mailbox, password=RIGHT, at=AT)
    found = [
        door.knock("winter2026", "2001:db8::1", login=f"box{number}@alder.test")
        for number in range(60)
    ]
    counts(mailboxes=100)

    assert found == ["wrong"] * 60
    # Another address of the same network is the same holder.
    assert door.knock("winter2026", "2001:db8::2", login="box61@alder.test") == "unseen"
    assert door.knock("winter2026", "2001:db8:0:1::2", login="box62@alder.test") == "wrong"


def test_guessing_at_names_counts_for_the_address_too(mailbox, door):
    for number in range(60):
        assert door.knock("x", login=f"nobody{number}@alder.test") == "unseen"

    assert door.knock(RIGHT) == "unseen"
    assert door.knock(RIGHT, "203.0.113.10") == "in"
    door.tally.write()
    assert list(Guessing.objects.values_list("username", flat=True)) == [mailbox.address]


def test_no_guess_is_looked_at_where_app_passwords_alone_open(mailbox, door):
    credentials.require_app_passwords(actor=ACTOR, mailbox=mailbox, is_on=True, at=AT)

    assert door.knock(RIGHT) == "unseen"
    assert guesses(door, 5) == ["unseen"] * 5
    door.tally.write()
    row = Guessing.objects.get()
    assert (row.tries, row.looked_at) == (6, 0)


def test_while_redis_is_away_each_process_counts_for_itself(mailbox, door, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    rate_limits._alone().clear()

    assert guesses(door, 30).count("wrong") == 5
    assert door.knock(RIGHT) == "unseen"
    sign_in_from(mailbox, "198.51.100.7")
    assert [door.knock(RIGHT, "198.51.100.7") for _ in range(30)] == ["in"] * 30


def test_a_flood_of_guesses_does_not_make_memory_forget_whom_it_holds_back(mailbox, door):
    limiter = rate_limits.backend()
    assert isinstance(limiter, InProcess)
    limiter._most, before = 400, limiter._most
    try:
        assert guesses(door, 2000).count("wrong") == 5
    finally:
        limiter._most = before


# What it adds up ------------------------------------------------------------------------


def test_a_spell_says_how_many_tries_came_from_how_many_addresses(mailbox, door):
    guesses(door, 41)
    # The same guesses again are no new ones.
    guesses(door, 41)
    assert door.tally.write() == 41

    spell = guessing.spell(mailbox, at=AT)
    assert (spell.tries, spell.looked_at, spell.addresses, spell.since) == (41, 5, 41, AT)
    assert door.tally.write() == 0


def test_a_spell_goes_on_until_an_hour_is_quiet(mailbox, door):
    for minutes in (0, 50, 100, 170):
        guesses(door, 25, start=minutes * 100, at=AT + timedelta(minutes=minutes))
        door.tally.write()

    assert list(Guessing.objects.order_by("began_at").values_list("tries", flat=True)) == [75, 25]
    assert guessing.spell(mailbox, at=AT + timedelta(minutes=171)).tries == 25
    assert guessing.spell(mailbox, at=AT + timedelta(minutes=231)) is None


def test_a_few_wrong_passwords_are_nobodys_news(mailbox, door):
    guesses(door, guessing.ALARM_TRIES - 1)
    door.tally.write()

    assert guessing.spell(mailbox, at=AT) is None


def test_two_processes_add_to_one_spell(mailbox, door):
    other = Door()
    guesses(door, 30)
    guesses(other, 30, start=1000)
    door.tally.write()
    other.tally.write()

    assert Guessing.objects.get().tries == 60
    assert GuessingSource.objects.count() == 30


def test_no_more_sources_are_kept_than_anybody_reads(mailbox, door, monkeypatch):
    monkeypatch.setattr(tally, "MOST_SOURCES", 10)
    monkeypatch.setattr(guessing, "MOST_SOURCES", 10)
    guesses(door, 30)
    door.tally.write()
    guesses(door, 30, start=30)
    door.tally.write()

    spell = guessing.spell(mailbox, at=AT)
    assert (spell.tries, spell.addresses, spell.has_more_addresses) == (60, 10, True)


def test_what_cannot_be_written_is_kept_and_written_later(mailbox, door, monkeypatch):
    guesses(door, 30)
    monkeypatch.setattr(tally, "_write", broken)
    assert door.tally.write() == 0
    guesses(door, 30, start=100)
    monkeypatch.undo()

    assert door.tally.write() == 60
    assert Guessing.objects.get().tries == 60


def broken(sums):
    raise DatabaseError("away")


def test_names_beyond_what_memory_holds_are_not_added_up(mailbox, door, monkeypatch):
    monkeypatch.setattr(tally, "MOST_NAMES", 0)
    guesses(door, 3)

    assert door.tally.write() == 0


# What Dovecot sends ---------------------------------------------------------------------


QUESTION = {
    "login": "hello@alder.test",
    "fingerprint": "f",
    "digest": "d",
    "remote": "192.0.2.1",
    "protocol": "imap",
    "session": "s",
    "tls": False,
}


def test_a_question_is_read_and_null_characters_are_none():
    attempt = attempts.parse(QUESTION | {"login": "a\0b", "success": True, "policy_reject": False})

    assert (attempt.login, attempt.success, attempt.holder) == ("a\ufffdb", True, "192.0.2.1")


@pytest.mark.parametrize(
    "question",
    [
        None,
        [],
        "x",
        {},
        QUESTION | {"login": None},
        QUESTION | {"remote": 1},
        QUESTION | {"success": "true"},
    ],
)
def test_what_dovecot_would_not_ask_is_refused(question):
    with pytest.raises(BadQuestion):
        attempts.parse(question)


@pytest.mark.parametrize(
    "word", ["", "' OR 1=1 --", '"', "%s", "%(x)s", "\\", "\t", "x" * 9000, "\ufffd", "*"]
)
def test_hostile_names_and_digests_are_only_looked_up(mailbox, door, word):
    attempt = Attempt(
        login=word, fingerprint=word, digest=word, address=word, protocol=word, session=word
    )

    assert not door.guard.may_try(attempt, at=AT)
    door.guard.learn(attempt, at=AT)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM mailstore_mailbox")
        assert cursor.fetchone() == (1,)


def test_a_late_answer_lets_app_passwords_in_and_nothing_else(mailbox, door):
    issued = credentials.issue(actor=ACTOR, mailbox=mailbox, label="Phone", at=AT)
    app = door.attempt(mailbox.address, issued.secret, "203.0.113.9")
    right = door.attempt(mailbox.address, RIGHT, "203.0.113.9")
    nobody = door.attempt("nobody@alder.test", RIGHT, "203.0.113.9")

    found = [door.guard.may_try(each, at=AT, is_late=True) for each in (app, right, nobody)]

    assert found == [True, False, False]
    assert door.tally.write() == 1
    assert door.guard.may_try(right, at=AT)


def test_that_the_owner_signs_in_just_now_opens_nothing_for_a_guess(mailbox, door):
    guesses(door, 50)
    sign_in_from(mailbox, "198.51.100.7")
    underway = door.attempt(mailbox.address, RIGHT, "198.51.100.7")

    assert door.guard.may_try(underway, at=AT)
    assert door.knock(RIGHT, "203.0.113.77") == "unseen"
