"""Sign-ins, ends of sessions and failures in the log, as Dovecot 2.3.19 was seen to write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailstore.engine import Outcome
from mailstore.engine.maillog import read
from tests.mailstore.log_lines import PHONE, ended, failed, login, refused

HOUR = datetime(2026, 11, 30, 9, tzinfo=UTC)
NOBODY = "rip=127.0.0.1, device=<>, why=<>, mailbox=<>, secured, "


@pytest.fixture
def said(tmp_path):
    def said(*lines):
        log = tmp_path / "dovecot.log"
        log.write_bytes(b"".join(x if isinstance(x, bytes) else x.encode() for x in lines))
        return read(log, None).attendances

    return said


def facts(one, *names):
    return tuple(getattr(one, name) for name in names)


def test_programs_that_come_again_are_one_for_an_hour(said):
    [one] = said(*(login(at=f"09:{minute:02}:07") for minute in range(0, 60, 5)))

    assert facts(one, "user", "hour_at", "protocol", "credential", "address", "outcome") == (
        "hello@alder.test",
        HOUR,
        "imap",
        PHONE,
        "198.51.100.7",
        Outcome.SIGNED_IN,
    )
    assert (one.sign_ins, one.without_tls, one.session) == (12, 0, "sN+XN3th8IV/AAAB")
    assert (one.first_at, one.last_at) == (
        HOUR.replace(second=7),
        HOUR.replace(minute=55, second=7),
    )


def test_another_hour_address_or_protocol_is_another(said):
    found = said(
        login(),
        login(at="10:00:00"),
        login(address="198.51.100.8"),
        login(service="pop3"),
        login(session="another"),
    )

    assert sorted(one.sign_ins for one in found) == [1, 1, 1, 2]


def test_mailbox_password_is_a_credential_of_its_own(said):
    line = login().replace(f"device=<{PHONE}>", "device=<>").replace("TLS, ", "secured, ")

    [one] = said(line, line.replace("secured, ", ""))

    assert (one.credential, one.sign_ins, one.without_tls) == ("-", 2, 2)


def test_ends_of_pop_sessions_are_counted_with_the_sign_ins(said):
    [one] = said(
        login(service="pop3"),
        ended("fetched=2 glanced=1 removed=1; top=1/280, retr=2/393, del=1/2, size=754"),
        ended("fetched=0 glanced=0 removed=0; size=377", how="Connection closed"),
        ended("fetched=0 glanced=0 removed=0; size=377", at="09:47:10"),
    )

    assert facts(one, "sign_ins", "ended", "fetched", "glanced", "removed") == (1, 3, 2, 1, 1)
    assert one.removed_at == HOUR.replace(minute=42, second=10)


def test_ends_of_imap_sessions_say_what_was_fetched_and_expunged(said):
    [one] = said(
        ended(
            "fetched=4 glanced=9 removed=2; deleted=3 trashed=0 in=172 out=1284",
            service="imap",
            how="Connection closed (UID FETCH finished 0.001 secs ago)",
        )
    )

    assert facts(one, "sign_ins", "ended", "fetched", "glanced", "removed") == (0, 1, 4, 9, 2)


def test_session_of_days_ends_in_its_last_hour(said):
    found = said(
        login(),
        ended(
            "fetched=0 glanced=0 removed=0; in=1 out=1",
            at="21:00:00",
            service="imap",
        ),
    )

    assert [(one.hour_at.hour, one.sign_ins, one.ended) for one in found] == [
        (9, 1, 0),
        (21, 0, 1),
    ]


@pytest.mark.parametrize("why", ["Password mismatch", "unknown user"])
def test_each_wrong_password_counts_and_its_protocol_is_found_by_the_session(why, said):
    closed = (
        "2026-11-30T09:43:02 pop3-login: Info: Disconnected: Aborted login by logging out "
        "(auth failed, 2 attempts in 1 secs): session=<a/b>, rip=203.0.113.9, device=<>, "
        "why=<>, mailbox=<>, TLS, user=<nobody@alder.test>\n"
    )

    [one] = said(failed(why=why), failed(why=why), closed)

    assert facts(one, "user", "address", "outcome", "protocol", "credential", "sign_ins") == (
        "hello@alder.test",
        "203.0.113.9",
        Outcome.WRONG_PASSWORD,
        "pop",
        "",
        2,
    )


def test_wrong_password_of_a_connection_that_goes_on_is_counted_as_well(said):
    on_postgresql = (
        "2026-11-30T09:43:01 auth: Info: mailbox(hello@alder.test,::1,<x>): unknown user\n"
    )

    [one] = said(on_postgresql)

    assert (one.protocol, one.address, one.sign_ins) == ("", "::1", 1)


def test_right_app_password_from_the_wrong_network_is_told_apart(said):
    elsewhere = failed("allow_nets check failed: IP 203.0.113.9 not in allowed networks")
    elsewhere = elsewhere.replace("mailbox(", "apppassword(")
    by_auth = "2026-11-30T09:43:00 auth: Info: " + elsewhere.partition("<28>: ")[2]

    found = said(elsewhere, by_auth, failed(), failed(), failed(session="other"))

    assert [(one.outcome, one.sign_ins) for one in found] == [
        (Outcome.WRONG_NETWORK, 1),
        (Outcome.WRONG_PASSWORD, 2),
    ]


def test_try_that_was_held_back_before_the_password_was_looked_at_counts_once(said):
    head = "2026-11-30T09:43:00 auth: Info: policy(hello@alder.test,203.0.113.9,<a/b>): "

    [one] = said(
        head + "Authentication failure due to policy server refusal\n",
        head + "Policy check action is drop connection\n",
    )

    assert (one.outcome, one.sign_ins, one.user) == (Outcome.THROTTLED, 1, "hello@alder.test")


def test_miss_among_app_passwords_is_no_failure(said):
    line = failed().replace("mailbox(", "apppassword(")

    assert said(line) == []


@pytest.mark.parametrize(
    ("why", "outcome"),
    [
        ("This mailbox is suspended. Contact your provider.", Outcome.REFUSED),
        (
            "POP3 is not enabled for this mailbox. Use IMAP or contact your provider.",
            Outcome.REFUSED,
        ),
        ("This app password may not be used from this network.", Outcome.WRONG_NETWORK),
        ("Too many wrong passwords. Wait an hour.", Outcome.THROTTLED),
        ("", Outcome.REFUSED),
    ],
)
def test_refusals_are_told_apart_by_what_the_program_was_shown(why, outcome, said):
    [one] = said(refused(why, count=3))

    assert (one.outcome, one.sign_ins, one.credential) == (outcome, 3, PHONE)


FORGED = login().partition("Info: ")[2].rstrip(">\n").encode()
EVIL = [
    b'evil"<x>, session=<forged>, user=<hello@alder.test>',
    b"hello@alder.test>",
    b"hello@alder.test, user=<hello@alder.test",
    "aüß@alder.test".encode(),
    b"\xff\xfe\x80",
    b"x??[31m",
    b"hello@alder.test?",
    b"HELLO@alder.test",
    b"b" * 64_000,
    b"x\r2026-11-30T09:00:00 imap-login: Info: " + FORGED,
    FORGED,
    b"x, 9 successful auths): " + FORGED,
    b"hello@alder.test,192.0.2.1,<a>): Password mismatch",
    b"%u%{session}%%",
    b"",
]


@pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))
def test_name_that_somebody_typed_forges_nothing(name, said):
    """Where Dovecot writes such names: at the end of a connection, and as a name it refuses."""
    head = b"2026-11-30T09:41:58 "
    ends = (b"(auth failed, 1 attempts in 1 secs)", b"(no auth attempts in 0 secs)")
    tail = f": session=<70GXOHthVoB/AAAB>, {NOBODY}user=<".encode()
    lines = [
        head + b"imap-login: Info: Disconnected: " + end + tail + name + b">\n" for end in ends
    ]
    lines.append(
        head + b"auth: Info: plain(?,127.0.0.1,<70GX>): Username character disallowed by "
        b"auth_username_chars: 0x22 (username: " + name + b")\n"
    )
    lines.append(head + b"auth: Info: mailbox(" + name[:61] + b"...,127.0.0.1,<x>): unknown user\n")

    # Such a name may be nobody's address, and is then looked up in vain.
    found = said(*lines)
    assert {one.user for one in found} <= {f"{name[:61].decode('utf-8', 'replace')}..."}
    assert "hello@alder.test" not in {one.user for one in found}


@pytest.mark.parametrize(
    "line",
    [
        ended("").replace(
            "Disconnected: Logged out ",
            "Mailbox deleted: >: Info: Disconnected: x fetched=1 glanced=2 removed=9; in=1 out=1",
        ),
        ended("").replace(
            "Disconnected: Logged out ",
            "copy from Disconnected: fetched=9 glanced=9 removed=9; : box=Work, uid=1, size=1",
        ),
        ended("fetched=1 glanced=2 removed=9"),
        ended("fetched=1 glanced=2 removed=-9; size=1"),
        ended("fetched=1 glanced=2 removed=9; size=1").replace("><", "> <"),
        ended("fetched=1 glanced=2 removed=9; size=1").replace("hello@", "hel lo@"),
        login().replace("2026-11-30T09", "2026-13-45T09"),
        login().replace("198.51.100.7", "198.51.100.777"),
        login().replace("198.51.100.7", "fe80::1%eth0"),
        " " + login(),
        login()[1:],
        login().replace("imap-login", "lmtp-login"),
        "\n\n\r\n",
        b"\x00" * 300 + b"\n",
        b"2026-11-30T09:00:00 imap-" + b"\xff" * 70_000 + b"\n",
        b"2026-11-30T09:00:00 imap(" + b"<" * 70_000 + b">: Info: Disconnected: \n",
        b"2026-11-30T09:00:00 auth: Info: mailbox(" + b"(" * 70_000 + b"\n",
    ],
    ids=range(17),
)
def test_line_that_only_looks_like_one_counts_as_nothing(line, said):
    assert said(line) == []


def test_line_cut_in_half_waits_for_its_rest(tmp_path):
    log = tmp_path / "dovecot.log"
    whole = (login() + login(at="09:50:00")).encode()
    found, position = 0, None
    for length in range(0, len(whole) + 1, 7):
        log.write_bytes(whole[:length])
        reading = read(log, position)
        found, position = found + sum(x.sign_ins for x in reading.attendances), reading.position
    log.write_bytes(whole)
    reading = read(log, position)

    assert found + sum(one.sign_ins for one in reading.attendances) == 2
    assert read(log, reading.position).attendances == []


def test_address_is_written_in_one_way(said):
    found = said(login(address="::ffff:198.51.100.7"), login(address="2001:db8:0:0::1"))

    assert [one.address for one in found] == ["198.51.100.7", "2001:db8::1"]
