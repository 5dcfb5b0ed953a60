"""Real mail programs on a real Dovecot: mbsync for IMAP, mpop for POP, curl for both."""

from __future__ import annotations

import imaplib
import mailbox
import re
import subprocess

import pytest
from django.conf import settings

from accounts.access import system
from mailstore import credentials, provisioning
from mailstore.engine.process import make_certificate
from mailstore.models import Usage
from mailstore.models.mailboxes import SPECIAL_FOLDERS
from tests.factories import AT
from tests.patience import PATIENCE_SECONDS, eventually

ACTOR = system("tests")
HOST = "localhost"
# How the name `Work/Über uns` travels in IMAP; mbsync names its folders like this, too.
WIRE_NAME = "Work/&ANw-ber uns"
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def run(*arguments):
    """What a program answered and said; its words stay English."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        env=environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def write_privately(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


class Computer:
    """A computer with a Maildir of its own that mbsync keeps equal to the mailbox."""

    def __init__(self, folder, program, *, tls="IMAPS", certificate=None):
        server = program.server
        self.mail = folder / "mail"
        self.mail.mkdir(parents=True)
        lines = (
            "IMAPAccount remote",
            f"Host {HOST}",
            f"Port {server.imaps_port if tls == 'IMAPS' else server.imap_port}",
            f"User {program.address}",
            f"Pass {program.secret}",
            f"SSLType {tls}",
            "SystemCertificates no",
            f"CertificateFile {certificate or server.certificate}",
            "",
            "IMAPStore remote",
            "Account remote",
            "",
            "MaildirStore local",
            f"Path {self.mail}/",
            f"Inbox {self.mail}/INBOX",
            "SubFolders Verbatim",
            "",
            "Channel all",
            "Far :remote:",
            "Near :local:",
            "Patterns *",
            "Create Both",
            "Remove Both",
            "Expunge Both",
            "CopyArrivalDate yes",
            "SyncState *",
            "",
        )
        self.configuration = write_privately(folder / "mbsyncrc", "\n".join(lines))

    def try_to_synchronise(self):
        return run("mbsync", "-c", self.configuration, "all")

    def synchronise(self):
        done = self.try_to_synchronise()
        assert done.returncode == 0, done.stderr

    def folder(self, name="INBOX"):
        return mailbox.Maildir(self.mail / name, factory=None, create=False)

    def make_folder(self, name):
        path = self.mail / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return mailbox.Maildir(path)

    @property
    def folders(self):
        return {str(path.parent.relative_to(self.mail)) for path in self.mail.rglob("cur")}

    def shows(self):
        """Subjects and flags of every folder that has mail."""
        found = {
            name: sorted((message["Subject"], message.get_flags()) for message in self.folder(name))
            for name in self.folders
        }
        return {name: messages for name, messages in found.items() if messages}


@pytest.fixture
def computers(make_program, tmp_path):
    """A mailbox, and two computers that have synchronised with it once."""
    program = make_program()
    program.deliver("One")
    program.deliver("Two")
    both = [Computer(tmp_path / name, program) for name in ("first", "second")]
    for computer in both:
        computer.synchronise()
    return program, *both


class Fetcher:
    """A computer that fetches by mpop."""

    def __init__(self, folder, program, *, keeps, tls="wrapped", **changed):
        server = program.server
        self.folder = folder
        mailbox.Maildir(folder / "mail", create=True)
        options = {
            "host": HOST,
            "port": server.pop3s_port if tls == "wrapped" else server.pop3_port,
            "user": program.address,
            "password": program.secret,
            "auth": "user",
            "tls": "on",
            "tls_starttls": "off" if tls == "wrapped" else "on",
            "tls_trust_file": server.certificate,
            "keep": "on" if keeps else "off",
            "received_header": "off",
            "uidls_file": folder / "uidls",
            "delivery": f"maildir {folder / 'mail'}",
        } | changed
        text = "account default\n" + "".join(f"{name} {value}\n" for name, value in options.items())
        self.configuration = write_privately(folder / "mpoprc", text)

    def try_to_fetch(self):
        return run("mpop", "--file", self.configuration)

    def fetch(self):
        """Fetch what is new; returns the subjects of all mail on this computer."""
        done = self.try_to_fetch()
        assert done.returncode == 0, done.stderr
        return sorted(message["Subject"] for message in mailbox.Maildir(self.folder / "mail"))


def said(done):
    assert done.returncode != 0
    return done.stderr.decode()


# IMAP on two computers ------------------------------------------------------------------


def test_two_computers_show_the_same_folders(computers):
    _, first, second = computers

    assert first.folders == second.folders == {"INBOX", *SPECIAL_FOLDERS}
    assert first.shows() == second.shows() == {"INBOX": [("One", ""), ("Two", "")]}


def test_what_one_computer_does_the_other_one_shows(computers):
    program, first, second = computers
    inbox = first.folder()
    keys = {message["Subject"]: key for key, message in inbox.items()}
    read = inbox[keys["One"]]
    read.set_subdir("cur")
    read.set_flags("FRS")
    inbox[keys["One"]] = read
    first.folder("Sent").add("Subject: Mine\n\nI wrote this.\n")
    work = first.make_folder(WIRE_NAME)
    work.add(inbox[keys["Two"]])
    inbox.remove(keys["Two"])

    first.synchronise()
    second.synchronise()

    assert second.shows() == {
        "INBOX": [("One", "FRS")],
        "Sent": [("Mine", "")],
        WIRE_NAME: [("Two", "")],
    }
    shown = {
        folder.folder: folder.messages for folder in program.live.folder_usage(user=program.address)
    }
    assert shown["Work/Über uns"] == 1


def test_a_deletion_travels_and_the_store_keeps_the_message(computers):
    program, first, second = computers
    first.folder().clear()

    first.synchronise()
    second.synchronise()

    assert second.shows() == {}
    kept = program.live.removed_mail(user=program.address)
    assert sorted((m.folder, m.subject) for m in kept) == [("INBOX", "One"), ("INBOX", "Two")]


def test_both_computers_change_before_either_synchronises(computers):
    program, first, second = computers
    first.folder("Drafts").add("Subject: Draft\n\nNot yet.\n")
    inbox = second.folder()
    [key] = [key for key, message in inbox.items() if message["Subject"] == "Two"]
    inbox.remove(key)
    program.deliver("Three")

    for computer in (first, second, first):
        computer.synchronise()

    assert (
        first.shows()
        == second.shows()
        == {
            "Drafts": [("Draft", "")],
            "INBOX": [("One", ""), ("Three", "")],
        }
    )


def test_a_folder_that_one_computer_removes_is_gone_on_the_other(computers):
    _, first, second = computers
    first.make_folder("Passing")
    first.synchronise()
    second.synchronise()
    assert "Passing" in second.folders

    client = computers[0].imap()
    client.delete("Passing")
    first.synchronise()
    second.synchronise()

    assert first.folders == second.folders == {"INBOX", *SPECIAL_FOLDERS}


def test_every_special_folder_is_announced_once(make_program):
    program = make_program()
    listed = program.imap().list()[1]

    announced = sorted(
        (flag, line.rpartition(b" ")[2].decode())
        for line in listed
        for flag in re.findall(r"\\(Sent|Drafts|Junk|Trash|Archive)\b", line.decode())
    )
    assert announced == sorted((name, name) for name in SPECIAL_FOLDERS)


# POP ------------------------------------------------------------------------------------


def test_pop_program_that_keeps_fetches_nothing_twice(make_program, tmp_path):
    program = make_program("pop")
    program.deliver("One")
    program.deliver("Two")
    fetcher = Fetcher(tmp_path, program, keeps=True)

    assert fetcher.fetch() == ["One", "Two"]
    known = fetcher.folder.joinpath("uidls").read_text()
    assert fetcher.fetch() == ["One", "Two"]
    assert fetcher.folder.joinpath("uidls").read_text() == known
    program.deliver("Three")
    assert fetcher.fetch() == ["One", "Three", "Two"]
    assert program.pop().stat()[0] == 3
    assert program.live.removed_mail(user=program.address) == []


def test_pop_program_that_takes_leaves_the_mail_to_the_store(make_program, tmp_path):
    program = make_program("pop")
    for subject in ("One", "Two"):
        program.deliver(subject)
    eventually(lambda: Usage.objects.get(username=program.address).messages == 2)

    assert Fetcher(tmp_path, program, keeps=False).fetch() == ["One", "Two"]

    assert program.pop().stat() == (0, 0)
    kept = program.live.removed_mail(user=program.address)
    assert sorted((m.folder, m.subject) for m in kept) == [("INBOX", "One"), ("INBOX", "Two")]
    eventually(lambda: Usage.objects.get(username=program.address).bytes == 0)


def test_identifiers_survive_a_limit_a_suspension_and_a_new_password(make_program, tmp_path):
    program = make_program("pop")
    program.deliver("One")
    fetcher = Fetcher(tmp_path, program, keeps=True)
    fetcher.fetch()
    provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=AT)
    provisioning.resume(actor=ACTOR, mailbox=program.mailbox, at=AT)
    provisioning.prepare_pending(engine=program.live, at=AT)
    program.live.recalculate_usage(user=program.address)

    assert fetcher.fetch() == ["One"]


# Transport ------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["IMAPS", "STARTTLS"])
def test_imap_program_verifies_the_certificate(make_program, tmp_path, tls):
    program = make_program()
    program.deliver("One")
    computer = Computer(tmp_path, program, tls=tls)
    computer.synchronise()

    assert computer.shows() == {"INBOX": [("One", "")]}


@pytest.mark.parametrize("tls", ["wrapped", "upgraded"])
def test_pop_program_verifies_the_certificate(make_program, tmp_path, tls):
    program = make_program("pop")
    program.deliver("One")

    assert Fetcher(tmp_path, program, keeps=True, tls=tls).fetch() == ["One"]


@pytest.mark.parametrize("scheme", ["imap", "imaps", "pop3", "pop3s"])
@pytest.mark.parametrize("family", ["--ipv4", "--ipv6"])
def test_programs_reach_every_port_by_both_families(make_program, tmp_path, scheme, family):
    program = make_program("imap" if scheme.startswith("imap") else "pop")
    program.deliver("One")
    port = getattr(program.server, f"{scheme}_port")
    configuration = write_privately(
        tmp_path / "curlrc", f'user = "{program.address}:{program.secret}"\n'
    )
    path = "INBOX;MAILINDEX=1" if scheme.startswith("imap") else "1"

    done = run(
        *("curl", "--silent", "--show-error", "--config", configuration, family, "--ssl-reqd"),
        *("--cacert", program.server.certificate, f"{scheme}://{HOST}:{port}/{path}"),
    )

    assert done.returncode == 0, done.stderr
    assert b"Subject: One\r\n" in done.stdout


def test_programs_refuse_a_certificate_that_is_not_the_servers(make_program, tmp_path):
    other = tmp_path / "other.pem"
    make_certificate(other, tmp_path / "other.key", host_name=HOST)
    pop, imap = make_program("pop", "till"), make_program("imap", "hello")
    folder = tmp_path / "pop"
    folder.mkdir()

    fetched = Fetcher(folder, pop, keeps=True, tls_trust_file=other).try_to_fetch()
    synchronised = Computer(tmp_path / "imap", imap, certificate=other).try_to_synchronise()

    assert "certificate" in said(fetched)
    assert "certificate" in said(synchronised)


# Refusals, as a person reads them -------------------------------------------------------


def test_programs_show_why_a_sign_in_is_refused(make_program, tmp_path):
    pop, imap = make_program("pop", "till"), make_program("imap", "hello")
    names = iter("abcdefgh")

    def fetch(program, **changed):
        folder = tmp_path / next(names)
        folder.mkdir()
        return said(Fetcher(folder, program, keeps=True, **changed).try_to_fetch())

    def synchronise(program):
        return said(Computer(tmp_path / next(names), program).try_to_synchronise())

    assert "POP3 is not enabled for this mailbox. Use IMAP" in fetch(imap)
    assert "IMAP is not enabled for this mailbox. Use POP3" in synchronise(pop)
    wrong = fetch(pop, password="wrong")
    assert "Authentication failed." in wrong
    assert "not enabled" not in wrong
    for program in (pop, imap):
        provisioning.suspend(actor=ACTOR, mailbox=program.mailbox, at=AT)
    assert "This mailbox is suspended." in fetch(pop)
    assert "This mailbox is suspended." in synchronise(imap)
    assert "suspended" not in fetch(pop, password="wrong")


def test_no_app_password_opens_a_pop_mailbox_by_imap(make_program):
    program = make_program("pop")
    issued = credentials.issue(
        actor=ACTOR, mailbox=program.mailbox, label="Any", allows_pop=False, at=AT
    )

    with pytest.raises(imaplib.IMAP4.error, match="IMAP is not enabled"):
        program.imap(issued.secret)
    home = settings.MAIL_ROOT / program.mailbox.uuid.hex[:2] / program.mailbox.uuid.hex
    assert [path.name for path in home.glob("mail/mailboxes/*")] == ["INBOX"]
