"""Who gets into a mailbox while somebody guesses, by a real Dovecot that asks the real guard."""

from __future__ import annotations

import asyncio
import hashlib
import imaplib
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone
from redis import Redis

from accounts.access import system
from mailstore import credentials, guessing, provisioning
from mailstore.models import LastLogin, Mailbox
from tests.factories import AT, make_mailbox
from tests.live.guarded import DELAY_SECONDS
from tests.patience import eventually
from tests.servers import redis

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
ACTOR = system("tests")
GUESSES = int(os.environ.get("GUESSES", "10000"))
RIGHT = "eleven atlases on a shelf"
WRONG = b"-ERR [AUTH] Authentication failed.\r\n"
# How long Dovecot waits for an answer of the guard.
GUARD_SECONDS = 30
# What Dovecot would by now let whoever comes from an address of twenty wrong passwords wait.
PENALTY_SECONDS = 15
# What it would wait for a socket that a killed one left.
SOCKET_SECONDS = 5


@pytest.fixture
def program(make_program):
    """A POP mailbox with an app password and a mailbox password."""
    program = make_program("pop")
    credentials.set_mailbox_password(actor=ACTOR, mailbox=program.mailbox, password=RIGHT, at=AT)
    return program


def comes_in(answer):
    return answer[0].startswith(b"+OK")


def address_of(number):
    """One of sixteen million addresses that all lead to this machine."""
    return f"127.{1 + number // 65_536}.{number // 256 % 256}.{number % 256}"


async def _guess(server, user, password, source, gate):
    async with gate:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.pop3_port, local_addr=(source, 0)
        )
        try:
            await reader.readline()
            writer.write(f"USER {user}\r\n".encode())
            await reader.readline()
            writer.write(f"PASS {password}\r\n".encode())
            return await reader.readline()
        finally:
            writer.close()


def flood(server, guesses, *, at_once=100):
    """The answers to many guesses (user, password, source), made side by side."""

    async def everything():
        gate = asyncio.Semaphore(at_once)
        return await asyncio.gather(*(_guess(server, *guess, gate) for guess in guesses))

    return asyncio.run(everything())


# The attack -----------------------------------------------------------------------------


@pytest.mark.slow
def test_of_ten_thousand_guesses_from_many_addresses_ten_an_hour_are_looked_at(
    guarded, program, counts, mailoutbox
):
    # At home here, by the mailbox password.
    assert comes_in(guarded.pop(program.address, RIGHT))
    eventually(LastLogin.objects.filter(username=program.address).exists)
    begin, began = guarded.server.log.stat().st_size, time.monotonic()
    guesses = [
        (program.address, f"guess {number}", address_of(number * 17)) for number in range(GUESSES)
    ]
    # One of them is right, but comes too late to be looked at.
    guesses[-1] = (program.address, RIGHT, address_of(5))

    with ThreadPoolExecutor(1) as pool:
        attack = pool.submit(flood, guarded.server, guesses)
        owner = []
        while not attack.done():
            owner.append(guarded.pop(program.address, RIGHT))
            owner.append(guarded.pop(program.address, program.secret, source="127.200.0.1"))
            time.sleep(1)

    answers, seconds = attack.result(), time.monotonic() - began
    looked_at = guarded.log_since(begin).count("Password mismatch")
    counts(guesses=len(answers), looked_at=looked_at, addresses=len({g[2] for g in guesses}))
    counts(owners_sign_ins=len(owner), seconds=round(seconds))
    assert [answer for answer in answers if answer != WRONG] == []
    assert [answer for answer in owner if not comes_in(answer)] == []
    assert 5 <= looked_at <= 10
    now = timezone.now()
    eventually(lambda: guessing.spell(program.mailbox, at=now).tries >= GUESSES)
    found = guessing.spell(program.mailbox, at=now)
    # The right guess was among the refused, so Dovecot saw no mismatch of it.
    assert (found.looked_at, found.addresses) == (looked_at, min(GUESSES, 5000))
    assert guessing.watch(at=now) == 1


def test_many_at_once_cannot_take_more_turns_than_there_are(guarded, program, counts):
    begin = guarded.server.log.stat().st_size
    guesses = [(program.address, f"guess {n}", address_of(n)) for n in range(200)]

    answers = flood(guarded.server, guesses, at_once=200)

    looked_at = guarded.log_since(begin).count("Password mismatch")
    counts(guesses=len(answers), looked_at=looked_at)
    assert set(answers) == {WRONG}
    assert looked_at == 5


def test_a_crowd_of_guesses_at_once_does_not_get_past_the_guard(impatient, program, counts):
    begin = impatient.server.log.stat().st_size
    guesses = [(program.address, f"guess {n}", address_of(n)) for n in range(1200)]

    answers = flood(impatient.server, guesses, at_once=len(guesses))

    # Lines of so many at once come late; all of them are looked at or refused.
    ends = ("Password mismatch", "policy server refusal")
    eventually(lambda: sum(map(impatient.log_since(begin).count, ends)) >= len(guesses))
    counts(guesses=len(answers))
    assert (set(answers), impatient.log_since(begin).count(ends[0])) == ({WRONG}, 5)


def test_two_processes_of_the_guard_count_together_in_redis(guarded, program, counts, tmp_path):
    with redis(tmp_path) as url:
        guarded.guard.restart(workers=2, REDIS_URL=url)
        begin = guarded.server.log.stat().st_size
        guesses = [(program.address, f"guess {n}", address_of(n)) for n in range(300)]
        assert set(flood(guarded.server, guesses)) == {WRONG}
        # What is counted there outlives the guard.
        guarded.guard.restart(workers=2, REDIS_URL=url)
        assert set(flood(guarded.server, guesses)) == {WRONG}
        with Redis.from_url(url) as client:
            keys = b" ".join(client.keys("*"))
        looked_at = guarded.log_since(begin).count("Password mismatch")
        guarded.guard.stop()

    counts(guesses=600, looked_at=looked_at)
    # Passwords that were looked at before may be looked at again, for nothing.
    distinct = len({g[1] for g in guesses})
    assert distinct == 300
    assert 5 <= looked_at <= 5 + 5
    assert program.address.encode() not in keys


# The right password ---------------------------------------------------------------------


def test_the_right_password_does_not_wait_after_wrong_ones_from_the_same_address(
    guarded, program, cast, counts
):
    other = make_mailbox(cast.domain, "other", "pop")
    credentials.set_mailbox_password(actor=ACTOR, mailbox=other, password=RIGHT, at=AT)
    # A phone with an old password, and somebody who tries this and that.
    tries = ["the old one"] * 10 + [f"guess {n}" for n in range(10)]
    with ThreadPoolExecutor(20) as pool:
        wrong = list(pool.map(lambda word: guarded.pop(program.address, word), tries))

    app = guarded.pop(program.address, program.secret)
    neighbour = guarded.pop(other.address, RIGHT)

    counts(wrong_ones=len(wrong))
    assert {answer for answer, _seconds in wrong} == {WRONG}
    assert min(seconds for _answer, seconds in wrong) > DELAY_SECONDS / 2
    assert comes_in(app)
    assert comes_in(neighbour)
    assert max(app[1], neighbour[1]) < PENALTY_SECONDS / 2


def test_a_phone_with_the_old_password_keeps_nobody_out(guarded, program):
    with ThreadPoolExecutor(20) as pool:
        wrong = list(pool.map(lambda _n: guarded.pop(program.address, "the old one"), range(20)))

    right = guarded.pop(program.address, RIGHT)

    assert {answer for answer, _seconds in wrong} == {WRONG}
    assert comes_in(right)
    assert right[1] < PENALTY_SECONDS / 2


def test_a_socket_that_a_killed_dovecot_left_makes_nobody_wait(guarded, program):
    guarded.dovecot.kill()
    (guarded.server.run / "anvil-auth-penalty").touch()
    guarded.dovecot.start()

    answer = guarded.pop(program.address, RIGHT)

    assert not (guarded.server.run / "anvil-auth-penalty").exists()
    assert comes_in(answer)
    assert answer[1] < SOCKET_SECONDS


# The guard away -------------------------------------------------------------------------


def test_mail_goes_on_while_the_guard_is_away(impatient, program, counts):
    impatient.guard.kill()

    right = [impatient.pop(program.address, RIGHT) for _ in range(3)]
    app = [impatient.pop(program.address, program.secret) for _ in range(3)]
    wrong = impatient.pop(program.address, "wrong")
    impatient.guard.start()
    # It may take a while until Dovecot tries it again.
    guesses, begin = [], impatient.server.log.stat().st_size
    while "policy server refusal" not in impatient.log_since(begin):
        assert len(guesses) < 100
        word, source = f"guess {len(guesses)}", address_of(len(guesses))
        guesses.append(impatient.pop(program.address, word, source=source))
    refused = impatient.pop(program.address, RIGHT, source="127.9.9.9")

    counts(sign_ins_without_a_guard=7)
    assert all(map(comes_in, right + app))
    # Dovecot tries the guard again ever more rarely, and never waits for it twice in a row.
    assert max(seconds for _answer, seconds in right + app) < 2 * GUARD_SECONDS
    assert {wrong[0], refused[0], *(answer for answer, _seconds in guesses)} == {WRONG}


def test_a_guard_that_hangs_holds_up_a_sign_in_for_half_a_minute(impatient, program):
    impatient.guard.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(lambda _n: impatient.pop(program.address, RIGHT), range(10)))
    finally:
        impatient.guard.signal(signal.SIGCONT)

    assert all(map(comes_in, found))
    # All of them wait at the same time.
    assert max(seconds for _answer, seconds in found) < len(found) * GUARD_SECONDS / 2


def test_a_guard_that_was_started_anew_in_memory_knows_nobody(guarded, program, settings):
    if settings.REDIS_URL:
        # There it knows: see the two processes.
        return
    for n in range(7):
        guarded.pop(program.address, f"guess {n}", source=address_of(n))
    assert not comes_in(guarded.pop(program.address, RIGHT))

    guarded.guard.restart()

    assert comes_in(guarded.pop(program.address, RIGHT))


# What is no password --------------------------------------------------------------------


def test_nothing_that_looks_like_a_secret_opens_a_mailbox(impatient, program, counts):
    hashed = Mailbox.objects.get(pk=program.mailbox.pk).password_hash
    digest = credentials.digest(program.secret)
    no_passwords = [
        *(hashed, hashed.removeprefix("{ARGON2ID}"), "{PLAIN}x", "{NOLOGIN}", digest),
        *(digest.upper(), hashlib.sha256(RIGHT.encode()).hexdigest(), "", " ", "\t", "%", "%w"),
        *("%{password}", "%{sha256:password}", "%{user}", "' OR '1'='1", '" OR ""="', "\\"),
        *("y\tnopassword", "x nopassword=y", f"{RIGHT} ", f" {RIGHT}", RIGHT.upper(), RIGHT[:-1]),
        *(f"{program.secret} ", program.secret.upper(), program.secret[:-1], "x" * 900),
        *("*", "NULL", "null", "\x7f", "é", "\N{FULLWIDTH LATIN SMALL LETTER A}"),
    ]
    names = [
        *("", " ", "*", "%u", "%{home}", "hello", "@alder.test", "hello@", f"{program.address} "),
        *(f" {program.address}", f"{program.address}\t", f"{program.address}'", '"', "\\"),
        *(f"{program.address}\tnopassword", "' OR 1=1 --", "x" * 900, "hello%40alder.test"),
        *("hello@alder.test%00", "hello@alder.test\N{CYRILLIC SMALL LETTER A}"),
    ]
    tries = [(program.address, word) for word in no_passwords]
    tries += [(name, secret) for name in names for secret in (RIGHT, program.secret)]
    random.shuffle(tries)

    begin = impatient.server.log.stat().st_size
    with ThreadPoolExecutor(30) as pool:
        seen = list(pool.map(lambda each: impatient.pop(*each), tries))
        impatient.guard.stop()
        unguarded = list(pool.map(lambda each: impatient.pop(*each), tries))

    counts(tries=len(tries) * 2)
    got_in = [
        each for each, answer in zip(tries * 2, seen + unguarded, strict=True) if comes_in(answer)
    ]
    assert got_in == []
    log = impatient.log_since(begin)
    assert [word for word in ("Panic", "Fatal", "syntax error", "killed with") if word in log] == []
    impatient.guard.start()
    assert comes_in(impatient.pop(program.address, program.secret))


def test_a_null_character_ends_a_password_as_it_ends_a_name(guarded, program):
    """Dovecot reads such a password up to it, so what comes behind opens nothing else."""
    wrong = guarded.pop(program.address, b"x\0" + RIGHT.encode())

    assert not comes_in(wrong)


# Networks, app passwords only, ending sessions ------------------------------------------


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (["127.0.0.5"], "127.0.0.5", "127.0.0.6"),
        (["127.8.0.0/16", "::1"], "::1", "127.0.0.1"),
        (["::ffff:127.8.0.0/112"], "127.8.3.4", "::1"),
    ],
)
def test_an_app_password_opens_from_its_networks_only(guarded, program, networks, inside, outside):
    password = program.mailbox.app_passwords.get()
    credentials.set_reach(
        actor=ACTOR,
        app_password=password,
        allows_pop=True,
        allows_imap=False,
        networks=networks,
        at=AT,
    )

    assert comes_in(guarded.pop(program.address, program.secret, source=inside))
    assert guarded.pop(program.address, program.secret, source=outside)[0] == WRONG
    # Even what is said after the right password is not said there.
    provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=AT)
    assert b"suspended" in guarded.pop(program.address, program.secret, source=inside)[0]
    assert guarded.pop(program.address, program.secret, source=outside)[0] == WRONG


def test_app_passwords_only_shuts_the_mailbox_password_out_at_once(guarded, make_program):
    program = make_program()
    credentials.set_mailbox_password(actor=ACTOR, mailbox=program.mailbox, password=RIGHT, at=AT)
    session = program.imap(RIGHT)

    credentials.require_app_passwords(
        actor=ACTOR, mailbox=program.mailbox, is_on=True, at=timezone.now()
    )

    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        program.imap(RIGHT)
    eventually(lambda: is_over(session, program))
    assert program.imap().noop()[0] == "OK"
    credentials.require_app_passwords(
        actor=ACTOR, mailbox=program.mailbox, is_on=False, at=timezone.now()
    )
    assert program.imap(RIGHT).noop()[0] == "OK"


def test_ending_sessions_throws_out_whoever_is_in(make_program):
    program = make_program()
    sessions = [program.imap(), program.imaps()]

    credentials.end_sessions(actor=ACTOR, mailbox=program.mailbox, at=timezone.now())

    for session in sessions:
        eventually(lambda session=session: is_over(session, program))
    assert program.imap().noop()[0] == "OK"


def test_a_reach_that_becomes_narrower_ends_sessions(make_program):
    program = make_program()
    session = program.imap()
    password = program.mailbox.app_passwords.get()

    credentials.set_reach(
        actor=ACTOR,
        app_password=password,
        allows_pop=False,
        allows_imap=True,
        networks=["192.0.2.0/24"],
        at=timezone.now(),
    )

    eventually(lambda: is_over(session, program))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        program.imap()


def is_over(session, program):
    provisioning.end_due_sessions(engine=program.live, at=timezone.now())
    try:
        session.noop()
        session.noop()
    except (imaplib.IMAP4.abort, OSError):
        return True
    return False
