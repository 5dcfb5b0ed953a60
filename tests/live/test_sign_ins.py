"""Real programs before a real Dovecot, and the history that its log comes to."""

from __future__ import annotations

import base64
import imaplib
import signal
import socket
import threading
from itertools import count

import pytest
from django.db import connections
from django.utils import timezone

from accounts.access import system
from mailstore import credentials, devices, logbook, provisioning
from mailstore.engine import rotation
from mailstore.models import Device, LogPosition, SignIn
from tests.factories import AT, make_domain, make_mailbox
from tests.live.faults import Place, in_a_process, kill_at, killed
from tests.live.test_mail import is_ended
from tests.live.test_programs import Computer, Fetcher
from tests.patience import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ACTOR = system("tests")
_numbers = count(1)
COUNTS = ("sign_ins", "ended", "fetched", "removed")


@pytest.fixture
def log(mail_server):
    """The log, from whose end on is read."""
    logbook.read(path=mail_server.log)
    return mail_server.log


@pytest.fixture
def make_own(make_program):
    """Programs of addresses that no other test uses: sessions of theirs may end in this one."""

    def make(protocol="imap"):
        return make_program(protocol, f"box{next(_numbers)}")

    return make


def history(program, **chosen):
    """What the history says of a mailbox, all hours together."""
    logbook.read(path=program.server.log)
    found = SignIn.objects.filter(mailbox=program.mailbox, **chosen).values_list(*COUNTS)
    return tuple(map(sum, zip(*found, strict=True))) or (0,) * len(COUNTS)


def comes_to(program, expected, **chosen):
    eventually(lambda: history(program, **chosen) == expected)


def talk(port, *lines):
    """What a client says, whatever comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        connection.recv(4096)
        for line in lines:
            connection.sendall(line)
            connection.recv(65_536)


def plain(user, password):
    token = base64.b64encode(b"\0" + user + b"\0" + password)
    return b"a AUTHENTICATE PLAIN " + token + b"\r\n"


def test_pop_programs_that_keep_and_remove_are_told_apart(make_own, log, tmp_path):
    program = make_own("pop")
    for subject in ("One", "Two", "Three"):
        program.deliver(subject)
    for name in ("keeper", "taker"):
        (tmp_path / name).mkdir()
    keeper = Fetcher(tmp_path / "keeper", program, keeps=True)
    keeper.fetch()
    comes_to(program, (1, 1, 3, 0))
    other = credentials.issue(actor=ACTOR, mailbox=program.mailbox, label="Desk", at=AT)
    program.secret = other.secret
    taker = Fetcher(tmp_path / "taker", program, keeps=False)
    taker.fetch()

    comes_to(program, (1, 1, 3, 3), credential=other.app_password.uuid.hex)
    first, second = Device.objects.filter(mailbox=program.mailbox).order_by("pk")
    assert (first.last_removed_at, second.last_removed_at is None) == (None, False)
    assert {first.protocol, second.protocol} == {"pop"}
    assert {row.without_tls for row in SignIn.objects.all()} == {0}
    assert {row.address for row in SignIn.objects.all()} <= {"127.0.0.1", "::1"}


def test_imap_program_is_one_device_with_what_it_fetched(make_own, log, tmp_path):
    program = make_own()
    program.deliver("One")
    computer = Computer(tmp_path / "first", program)
    computer.synchronise()
    computer.synchronise()

    eventually(lambda: history(program)[:2] == (2, 2))
    device = Device.objects.get(mailbox=program.mailbox)
    assert (device.protocol, device.sign_ins) == ("imap", 2)
    assert history(program)[2] >= 1


def test_failures_of_every_kind_stand_with_their_reason(make_own, log):
    program = make_own()
    address, secret = program.address.encode(), program.secret.encode()
    login = b"a LOGIN " + address + b" " + secret + b"\r\n"
    talk(program.server.imap_port, b"a LOGIN " + address + b" wrong\r\n")
    pop = program.server.pop3_port
    talk(pop, b"USER " + address + b"\r\n", b"PASS " + secret + b"\r\n")
    provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=AT)
    talk(program.server.imap_port, login, login)

    comes_to(program, (1, 0, 0, 0), outcome="wrong_password")
    comes_to(program, (2, 0, 0, 0), outcome="refused", protocol="imap")
    comes_to(program, (1, 0, 0, 0), outcome="refused", protocol="pop")
    assert not Device.objects.exists()


def test_right_password_hides_no_wrong_one_before_it(make_own, log):
    """Dovecot tells of the failures of a connection at its end only if nothing came of it."""
    program = make_own()
    address, secret = program.address.encode(), program.secret.encode()
    talk(
        program.server.imap_port,
        b"a LOGIN " + address + b" wrong\r\n",
        b"a LOGIN " + address + b" wrong\r\n",
        b"a LOGIN nobody@alder.test wrong\r\n",
        b"a LOGIN " + address + b" " + secret + b"\r\n",
        b"a LOGOUT\r\n",
    )

    comes_to(program, (2, 0, 0, 0), outcome="wrong_password")
    comes_to(program, (1, 1, 0, 0), outcome="signed_in")


# Each with the address of a mailbox in it.
NAMES = [
    '{}"<x>, session=<forged>, mailbox=<{}>, TLS, user=<',
    "{}>",
    "hell\u00f6{}",
    "{}\x01x",
    (
        "x\r\n2026-11-30T09:00:00 imap-login: Info: Login: session=<x>, rip=192.0.2.1, "
        "device=<>, why=<>, mailbox=<{}>, TLS, user=<{}>"
    ),
    "x\n2026-11-30T09:00:00 auth: Info: mailbox({},192.0.2.1,<a>): unknown user",
    "{},192.0.2.1,<a>): Password mismatch",
    "{}/x",
    "%u%%" + "{}" + "h" * 900,
]


def test_names_that_somebody_types_forge_nothing(make_own, log, counts):
    program = make_own()
    names = [name.format(program.address, program.address).encode() for name in NAMES]
    for name in (*names, b"\xff\xfe\x80", b"%{passdb:user}"):
        for line in (plain(name, b"x"), b"a LOGIN {%d}\r\n" % len(name)):
            literal = [] if line.startswith(b"a AUTH") else [name + b" x\r\n"]
            talk(program.server.imap_port, line, *literal, b"a LOGOUT\r\n")
            counts(names=1)
    huge = b"h" * 64_000
    for port, line in (
        (program.server.imap_port, b"a LOGIN " + huge + b" x\r\n"),
        (program.server.pop3_port, b"USER " + huge + b"\r\n"),
    ):
        try:
            talk(port, line)
        except OSError:
            counts(closed=1)
    program.imap().logout()

    comes_to(program, (1, 1, 0, 0))
    assert not SignIn.objects.exclude(outcome="signed_in").exists()
    assert not SignIn.objects.filter(address="192.0.2.1").exists()


def test_mailbox_with_a_long_address_is_found(make_own, cast, live, log):
    program = make_own()
    domain = make_domain(("d" * 60 + ".") * 2 + "test", cast.customer)
    long = make_mailbox(domain, "l" * 64, "imap", is_ready=False)
    provisioning.prepare(mailbox=long, engine=live)
    issued = credentials.issue(actor=ACTOR, mailbox=long, label="x", at=AT)
    program.mailbox, program.address, program.secret = long, long.address, issued.secret

    program.imap().logout()

    comes_to(program, (1, 1, 0, 0))


def test_each_of_two_tenants_has_its_own(make_own, cast, log):
    mine = make_own()
    theirs = make_own()
    for program, times in ((mine, 3), (theirs, 2)):
        for _ in range(times):
            program.imap().logout()
    with pytest.raises(imaplib.IMAP4.error):
        theirs.imap(mine.secret)

    comes_to(mine, (3, 3, 0, 0))
    comes_to(theirs, (2, 2, 0, 0), outcome="signed_in")
    comes_to(theirs, (1, 0, 0, 0), outcome="wrong_password")


def test_who_is_locked_out_is_out_and_the_others_stay(make_own, log):
    program = make_own()
    kept = credentials.issue(actor=ACTOR, mailbox=program.mailbox, label="Mine", at=AT)
    thief = program.imap()
    comes_to(program, (1, 0, 0, 0))
    device = Device.objects.get(mailbox=program.mailbox)

    devices.lock_out(actor=ACTOR, device=device, at=timezone.now())

    eventually(lambda: is_ended(thief, program, at=timezone.now()))
    with pytest.raises(imaplib.IMAP4.error):
        program.imap()
    program.imap(kept.secret).logout()


def test_rotation_loses_and_doubles_nothing(make_own, log, dovecot):
    program = make_own("pop")

    def come(times):
        for _ in range(times):
            program.pop().quit()

    come(2)
    log.rename(log.with_name(f"{log.name}.1"))
    come(3)
    dovecot.master.send_signal(signal.SIGUSR1)
    eventually(log.exists)
    come(4)

    comes_to(program, (9, 9, 0, 0))
    assert history(program) == (9, 9, 0, 0)


def test_log_that_was_deleted_goes_on_with_the_new_one(make_own, log, dovecot):
    program = make_own("pop")
    program.pop().quit()
    comes_to(program, (1, 1, 0, 0))
    log.unlink()
    assert history(program) == (1, 1, 0, 0)
    dovecot.master.send_signal(signal.SIGUSR1)
    eventually(log.exists)
    program.pop().quit()

    comes_to(program, (2, 2, 0, 0))


def test_restart_of_the_mail_server_loses_nothing(make_own, log, dovecot):
    program = make_own("pop")
    program.pop().quit()
    dovecot.stop()
    dovecot.start()
    program.pop().quit()

    comes_to(program, (2, 2, 0, 0))


PLACES = [
    Place(name="before the log is read", owner=rotation, function="read", is_before=True),
    Place(name="after the log is read", owner=rotation, function="read"),
    Place(name="before the position is kept", owner=LogPosition, function="save", is_before=True),
    Place(name="after the position is kept", owner=LogPosition, function="save"),
    Place(name="before devices", owner=logbook.sign_ins, function="_note_devices", is_before=True),
    Place(name="after devices", owner=logbook.sign_ins, function="_note_devices"),
    Place(name="after the history", owner=logbook.sign_ins, function="note"),
    Place(name="after the first part", owner=logbook, function="_read_part"),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_reader_that_is_killed_anywhere_reads_each_line_once(place, make_own, log, counts):
    program = make_own("pop")
    program.deliver("One")
    for _ in range(3):
        client = program.pop()
        client.retr(1)
        client.quit()
    eventually(lambda: log.read_text().count("Logged out fetched=1") >= 3)

    kill_at(place, lambda: logbook.read(path=log))

    counts(kills=1)
    assert history(program) == (3, 3, 3, 0)
    assert history(program) == (3, 3, 3, 0)
    assert Device.objects.get(mailbox=program.mailbox).sign_ins == 3


def test_two_readers_at_once_read_each_line_once(make_own, log, counts):
    program = make_own("pop")
    for _ in range(5):
        program.pop().quit()
    eventually(lambda: log.read_text().count("Disconnected: Logged out fetched=0") >= 5)

    readers = [in_a_process(lambda: logbook.read(path=log)) for _ in range(4)]
    assert not any(killed(pid) for pid in readers)

    counts(readers=4)
    assert history(program) == (5, 5, 0, 0)


def test_threads_that_read_while_somebody_answers_do_not_lock_each_other_out(make_own, log):
    program = make_own("pop")
    program.pop().quit()
    comes_to(program, (1, 1, 0, 0))
    device = Device.objects.select_related("mailbox__organisation").get(mailbox=program.mailbox)
    failures = []

    def work(verb):
        try:
            for _ in range(10):
                verb()
        except Exception as failure:  # noqa: BLE001  # The test says which.
            failures.append(failure)
        finally:
            connections.close_all()

    def come_and_read():
        program.pop().quit()
        logbook.read(path=log)

    verbs = [
        come_and_read,
        lambda: devices.confirm(actor=ACTOR, device=device, at=timezone.now()),
        lambda: devices.judge(at=timezone.now()),
    ]
    threads = [threading.Thread(target=work, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    comes_to(program, (11, 11, 0, 0))
