"""What breaks, breaks on a real mail server: nothing that was accepted is lost."""

from __future__ import annotations

import os
import resource
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from celery import current_app
from django.conf import settings
from django.db import Error, connection, connections
from redis import Redis

from accounts.access import system
from hosting.celery import make_folders
from mailstore import credentials, provisioning, quotas, tasks
from mailstore.engine import EngineError
from mailstore.engine.admin_api import NOTHING_FOUND
from mailstore.models import Mailbox, Usage
from mailstore.models.mailboxes import SPECIAL_FOLDERS
from tests.factories import AT, make_mailbox
from tests.live.test_mail import answer, subjects
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import postgresql_program, redis

ACTOR = system("tests")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def deliver_until(program, stop, *, most):
    """Deliver numbered messages; returns the subjects that the server took responsibility for."""
    accepted = []
    for number in range(most):
        if stop.is_set():
            break
        try:
            program.deliver(f"Number {number}")
        except EngineError:
            time.sleep(0.05)
            continue
        accepted.append(f"Subject: Number {number}")
    return accepted


@contextmanager
def in_background(work):
    """Run `work(stop)` beside the test; the list that is given gets its result."""
    result, stop = [], threading.Event()
    thread = threading.Thread(target=lambda: result.append(work(stop)))
    thread.start()
    try:
        yield result
    finally:
        stop.set()
        thread.join(timeout=PATIENCE_SECONDS)


# The mail server ------------------------------------------------------------------------


def test_order_stands_while_the_mail_server_is_down(cast, live, dovecot):
    dovecot.stop()

    mailbox = make_mailbox(cast.domain, is_ready=False)
    assert provisioning.prepare_pending(engine=live, at=AT) == 0
    mailbox.refresh_from_db()
    assert (mailbox.state, mailbox.get_state_display()) == ("pending", "Being prepared")
    dovecot.start()

    assert provisioning.prepare_pending(engine=live, at=AT) == 1
    found = {folder.folder for folder in live.folder_usage(user=mailbox.address)}
    assert found == {"INBOX", *SPECIAL_FOLDERS}


def test_no_accepted_message_is_lost_when_the_mail_server_is_killed(make_program, dovecot):
    program = make_program()
    with in_background(lambda stop: deliver_until(program, stop, most=5000)) as result:
        eventually(lambda: len(program.live.messages(user=program.address, folder="INBOX")) > 20)
        dovecot.kill()
        dovecot.start()
        before = len(program.live.messages(user=program.address, folder="INBOX"))
        eventually(
            lambda: len(program.live.messages(user=program.address, folder="INBOX")) > before
        )
    [accepted] = result

    there = subjects(program.imap())

    assert len(accepted) > 20
    assert set(accepted) - set(there) == set()


def test_sign_in_and_mail_need_neither_panel_nor_worker(make_program, dovecot):
    program = make_program()
    connections.close_all()
    dovecot.stop()
    dovecot.start()

    program.deliver("One")

    assert subjects(program.imap()) == ["Subject: One"]


def test_a_full_disk_puts_mail_off_and_loses_nothing(make_program, dovecot):
    program = make_program()
    program.deliver("Before")
    receivers = [dovecot.master, *dovecot.processes("lmtp")]
    limits = {receiver.pid: receiver.rlimit(resource.RLIMIT_FSIZE) for receiver in receivers}
    for receiver in receivers:
        receiver.rlimit(resource.RLIMIT_FSIZE, (20_000, limits[receiver.pid][1]))

    refused = answer(program, 100_000)

    for receiver in (r for r in receivers if r.is_running()):
        receiver.rlimit(resource.RLIMIT_FSIZE, limits[receiver.pid])
    for receiver in dovecot.processes("lmtp"):
        receiver.kill()
    assert 400 <= refused < 500
    assert subjects(program.imap()) == ["Subject: Before"]
    assert answer(program, 100_000) == 250
    assert len(subjects(program.imap())) == 2
    eventually(lambda: Usage.objects.get(username=program.address).messages == 2)


# Limits and rights that change in the middle --------------------------------------------


def test_limit_lowered_during_delivery_stores_all_that_was_accepted(make_program):
    program = make_program()
    most = 5000
    with in_background(lambda stop: deliver_until(program, stop, most=most)) as result:
        eventually(lambda: len(program.live.messages(user=program.address, folder="INBOX")) > 5)
        quotas.change_limit(actor=ACTOR, mailbox=program.mailbox, quota_bytes=4000, at=AT)
        eventually(lambda: answer(program, 4000) == 452)
    [accepted] = result

    assert 5 < len(accepted) < most
    assert subjects(program.imap()) == accepted


def end_by_suspending(program):
    provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=AT)


def end_by_closing(program):
    provisioning.close(actor=ACTOR, mailbox=program.mailbox, grace=AT - AT, at=AT)


def end_by_revoking(program):
    password = program.mailbox.app_passwords.get()
    credentials.revoke(actor=ACTOR, app_password=password, at=AT)


def is_known(program):
    """Whether Dovecot knows of a session, which it does a moment after it has begun."""
    return program.live._api.call("who", NOTHING_FOUND, mask=[program.address])


@pytest.mark.parametrize("protocol", ["imap", "pop"])
@pytest.mark.parametrize("end", [end_by_suspending, end_by_closing, end_by_revoking])
def test_open_sessions_end_at_once(make_program, protocol, end):
    program = make_program(protocol)
    client = program.imap() if protocol == "imap" else program.pop()
    if protocol == "imap":
        client.select("INBOX")
        client.send(b"a IDLE\r\n")
        assert client.readline().startswith(b"+ idling")
    eventually(lambda: is_known(program))

    end(program)
    tasks.end_sessions(mailbox_id=program.mailbox.pk)

    said = client.readline() if protocol == "imap" else client.file.readline()
    assert said.startswith((b"* BYE", b"-ERR")) or said == b""


# The broker and the worker --------------------------------------------------------------


@pytest.fixture
def own_redis(tmp_path, monkeypatch):
    """A Redis that a test can end, as the broker of this process."""
    with redis(tmp_path) as url:
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
        yield url


def test_order_stands_while_redis_is_away(cast, live, own_redis):
    port = int(own_redis.rpartition(":")[2].partition("/")[0])
    make_mailbox(cast.domain, "first", is_ready=False)
    with Redis(port=port) as client:
        assert client.llen(settings.CELERY_TASK_DEFAULT_QUEUE) > 0
        client.shutdown(nosave=True)
    begin = time.monotonic()

    second = make_mailbox(cast.domain, "second", is_ready=False)

    assert time.monotonic() - begin < 5
    assert second.state == "pending"
    assert provisioning.prepare_pending(engine=live, at=AT) == 2
    second.refresh_from_db()
    assert second.state == "active"


def environment_of_the_program():
    """The environment in which the program itself works on the tests' database."""
    made = os.environ | {"DJANGO_SETTINGS_MODULE": "hosting.settings", "PYTHONPATH": str(ROOT)}
    if settings.DATABASE_URL:
        url = settings.DATABASE_URL.rpartition("/")[0]
        made["DATABASE_URL"] = f"{url}/{connection.settings_dict['NAME']}"
    return made


def start_worker():
    make_folders()
    options = ("--pool=solo", "--without-gossip", "--without-mingle", "--loglevel=ERROR")
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "hosting.celery", "worker", *options],
        cwd=ROOT,
        env=environment_of_the_program(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def is_calling(worker, port):
    connected = psutil.Process(worker.pid).net_connections(kind="tcp")
    return any(one.raddr and one.raddr.port == port for one in connected)


def test_worker_killed_in_the_middle_leaves_work_that_the_sweep_ends(cast, live, dovecot):
    # What other tests asked for would come first.
    current_app.control.purge()
    dovecot.hold("doveadm")
    mailbox = make_mailbox(cast.domain, is_ready=False)
    tasks.provision_mailbox.delay(mailbox_id=mailbox.pk)
    worker = start_worker()
    try:
        eventually(lambda: is_calling(worker, dovecot.server.doveadm_port))
    finally:
        worker.kill()
        worker.wait()
        dovecot.resume()
    mailbox.refresh_from_db()
    assert mailbox.state == "pending"

    assert provisioning.prepare_pending(engine=live, at=AT) == 1

    assert provisioning.prepare_pending(engine=live, at=AT) == 0
    found = sorted(folder.folder for folder in live.folder_usage(user=mailbox.address))
    assert found == sorted(["INBOX", *SPECIAL_FOLDERS])


ORDER = """
import sys, django
django.setup()
from django.utils import timezone
from accounts.access import system
from hosting.models import Plan
from hosting.ordering import order
from mailstore.models import Domain
from mailstore.provisioning import AddressTaken
plan, domain = Plan.objects.get(slug="imap"), Domain.objects.get(name="alder.test")
print("ready", flush=True)
sys.stdin.readline()
try:
    order(actor=system("tests"), domain=domain, local_part="once", plan=plan, at=timezone.now())
    print("made")
except AddressTaken:
    print("taken")
"""


def test_the_same_order_twice_at_once_makes_one_mailbox(cast, live):
    buyers = [
        subprocess.Popen(
            [sys.executable, "-c", ORDER],
            cwd=ROOT,
            env=environment_of_the_program(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [buyer.stdout.readline() for buyer in buyers] == ["ready\n"] * 3
    for buyer in buyers:
        buyer.stdin.write("\n")
        buyer.stdin.flush()

    said = sorted(buyer.communicate(timeout=PATIENCE_SECONDS)[0].strip() for buyer in buyers)

    assert said == ["made", "taken", "taken"]
    assert Mailbox.objects.filter(address="once@alder.test").count() == 1
    assert provisioning.prepare_pending(engine=live, at=AT) == 1


# The database ---------------------------------------------------------------------------


class OnSQLite:
    @pytest.mark.parametrize("alias", ["default", "reports"])
    def test_a_locked_database_holds_up_no_mail_and_no_sign_in(self, make_program, alias):
        program = make_program()
        held = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        while time.monotonic() - begin < 3.5:
            assert answer(program, 10) == 250
            program.imap().logout()
        held.execute("ROLLBACK")
        held.close()

        program.deliver("Last")

        count = len(subjects(program.imap()))
        eventually(lambda: Usage.objects.get(username=program.address).messages == count)


class Server:
    """The PostgreSQL that the suite runs on."""

    def __init__(self):
        with connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            self.folder = Path(cursor.fetchone()[0])
        self.command = shlex.split((self.folder / "postmaster.opts").read_text())

    def stop(self):
        connections.close_all()
        program = postgresql_program("pg_ctl")
        arguments = [program, "stop", "-D", self.folder, "-m", "fast"]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(self.command, **quiet))
        eventually(self.answers)

    def answers(self):
        try:
            connection.ensure_connection()
        except Error:
            return False
        return True


# Whoever started PostgreSQL for the suite ends this one with it.
started = []


class OnPostgreSQL:
    def test_mail_waits_while_the_database_is_away_and_goes_on_after_it(self, make_program, live):
        program = make_program()
        program.deliver("Before")
        server = Server()
        assert tasks.reload_after_outage() is False
        server.stop()
        with in_background(lambda stop: deliver_until(program, stop, most=1)) as result:
            with pytest.raises(Error):
                tasks.reload_after_outage()
            time.sleep(2)
            server.start()

            assert tasks.reload_after_outage() is True

        assert tasks.reload_after_outage() is False
        # A reload ends the sessions of senders with a 4xx, after which they come again.
        eventually(lambda: answer(program, 10) == 250)
        there = subjects(program.imap())
        assert {"Subject: Before", *result[0], "Subject: Big"} <= set(there)


TestDatabase = OnPostgreSQL if settings.DATABASE_URL else OnSQLite
