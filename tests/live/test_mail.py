"""POP and IMAP as they really are: a real Dovecot, real clients."""

from __future__ import annotations

import imaplib
import poplib
import time
from datetime import timedelta

import pytest
from django.conf import settings

from accounts import notices
from accounts.access import system
from mailstore import closing, credentials, logbook, provisioning, quotas
from mailstore.engine import DeliveryRefused, EngineUnavailable
from mailstore.models import LastLogin, Mailbox, Usage, UsageDay
from mailstore.models.mailboxes import SPECIAL_FOLDERS
from tests.factories import AT, make_mailbox
from tests.patience import eventually

ACTOR = system("tests")
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def is_ended(session, program, *, at):
    """Whether a session is over, once the sweep has looked; who has just come is known late."""
    provisioning.end_due_sessions(engine=program.live, at=at)
    try:
        session.noop()
        session.noop()
    except (imaplib.IMAP4.abort, OSError):
        return True
    return False


def refusal(sign_in):
    with pytest.raises((imaplib.IMAP4.error, poplib.error_proto)) as caught:
        sign_in()
    return caught.value.args[0].decode()


def subjects(client):
    client.select("INBOX")
    _, found = client.search(None, "ALL")
    return [
        client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode().strip()
        for number in found[0].split()
    ]


# POP ------------------------------------------------------------------------------------


def test_pop_takes_mail_away_and_the_store_keeps_it(make_program):
    program = make_program("pop")
    program.deliver("One")
    client = program.pop()
    assert client.stat()[0] == 1
    client.retr(1)
    client.dele(1)
    client.quit()

    assert program.pop().stat()[0] == 0
    [kept] = program.live.removed_mail(user=program.address)
    assert (kept.folder, kept.subject) == ("INBOX", "One")
    eventually(lambda: Usage.objects.get(username=program.address).messages == 0)


def test_pop_copies_keep_their_identifiers(make_program):
    program = make_program("pop")
    for subject in ("One", "Two", "Three"):
        program.deliver(subject)
    before = program.pop()
    identifiers = before.uidl()[1]
    before.dele(2)
    before.quit()
    program.deliver("Four")

    after = program.pop().uidl()[1]

    assert [line.split()[1] for line in after[:2]] == [
        identifiers[0].split()[1],
        identifiers[2].split()[1],
    ]
    assert len({line.split()[1] for line in after}) == 3


def test_pop_mailbox_has_an_inbox_only(make_program):
    program = make_program("pop")

    assert [f.folder for f in program.live.folder_usage(user=program.address)] == ["INBOX"]


# IMAP -----------------------------------------------------------------------------------


def test_imap_programs_see_the_same(make_program):
    program = make_program()
    program.deliver("One")
    phone, laptop = program.imap(), program.imaps()
    phone.create("Projects")
    phone.append("Sent", r"(\Seen)", None, b"Subject: Mine\r\n\r\nx")
    phone.select("INBOX")
    phone.store("1", "+FLAGS", r"(\Flagged \Seen)")
    phone.copy("1", "Projects")
    laptop.select("INBOX")

    assert rb"\Flagged" in laptop.fetch("1", "(FLAGS)")[1][0]
    assert laptop.status("Projects", "(MESSAGES)")[1][0].endswith(b"(MESSAGES 1)")
    assert laptop.status("Sent", "(MESSAGES)")[1][0].endswith(b"(MESSAGES 1)")
    laptop.store("1", "+FLAGS", r"(\Deleted)")
    laptop.expunge()
    phone.noop()
    assert phone.search(None, "ALL")[1] == [b""]


def test_imap_has_special_folders_with_their_flags(make_program):
    listed = b"\n".join(make_program().imap().list()[1]).decode()

    for folder in SPECIAL_FOLDERS:
        assert f"\\{folder}) " in listed


def test_removed_mail_is_hidden_and_does_not_count(make_program):
    program = make_program()
    program.deliver("Gone")
    client = program.imap()
    client.create("Projects")
    client.select("INBOX")
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()

    assert "EXPUNGED" not in str(client.list('""', '"*"'))
    assert client.select(".EXPUNGED/INBOX")[0] == "NO"
    assert client.delete(".EXPUNGED/INBOX")[0] == "NO"
    [kept] = program.live.removed_mail(user=program.address)
    assert (kept.folder, kept.subject) == ("INBOX", "Gone")
    eventually(lambda: Usage.objects.get(username=program.address).bytes == 0)


# Answers on the wire --------------------------------------------------------------------


def test_each_refusal_has_its_own_answer_after_the_right_password_only(make_program):
    pop, imap = make_program("pop", "till"), make_program("imap", "hello")
    wrong = "[AUTHENTICATIONFAILED] Authentication failed."

    assert refusal(pop.imap).startswith("[CONTACTADMIN] IMAP is not enabled for this mailbox.")
    assert "[AUTH] POP3 is not enabled for this mailbox." in refusal(imap.pop)
    assert refusal(lambda: pop.imap("wrong")) == wrong
    assert refusal(lambda: imap.imap("wrong")) == wrong
    provisioning.suspend(actor=ACTOR, mailbox=imap.mailbox, at=AT)
    assert "This mailbox is suspended." in refusal(imap.imap)
    assert refusal(lambda: imap.imap("wrong")) == wrong


def test_unknown_mailbox_answers_like_a_wrong_password(make_program):
    program = make_program()
    program.address = "nobody@alder.test"

    assert refusal(program.imap) == "[AUTHENTICATIONFAILED] Authentication failed."


@pytest.mark.parametrize(
    "name", ["' OR 1=1 --", '"', "../../etc", "%u", "a" * 500, "x@y\\", "*", "hello@alder.test'"]
)
def test_hostile_user_names_fail_to_sign_in(make_program, name):
    program = make_program()
    program.address = name

    with pytest.raises(poplib.error_proto):
        program.pop()


def test_digest_is_no_password(make_program):
    program = make_program()

    assert "AUTHENTICATIONFAILED" in refusal(
        lambda: program.imap(credentials.digest(program.secret))
    )


def test_app_password_of_another_mailbox_does_not_open_this_one(make_program):
    mine, other = make_program("imap", "mine"), make_program("imap", "other")

    assert "AUTHENTICATIONFAILED" in refusal(lambda: mine.imap(other.secret))


def test_revoked_app_password_is_dead_and_its_sessions_end(make_program, cast):
    program = make_program()
    session = program.imap()
    password = program.mailbox.app_passwords.get()

    credentials.revoke(actor=ACTOR, app_password=password, at=AT)
    eventually(lambda: is_ended(session, program, at=AT))
    assert "AUTHENTICATIONFAILED" in refusal(program.imap)


@pytest.mark.parametrize("verb", ["suspend", "close"])
def test_suspend_and_close_end_sessions(make_program, verb):
    program = make_program()
    session = program.imap()
    grace = {"grace": timedelta(days=1)} if verb == "close" else {}

    getattr(provisioning, verb)(actor=ACTOR, mailbox=program.mailbox, at=AT, **grace)
    eventually(lambda: is_ended(session, program, at=AT))


def test_mailbox_password_works_until_it_is_removed(make_program):
    program = make_program()
    credentials.set_mailbox_password(
        actor=ACTOR, mailbox=program.mailbox, password="plain words of mine", at=AT
    )
    assert program.imap("plain words of mine").noop()[0] == "OK"

    credentials.set_mailbox_password(actor=ACTOR, mailbox=program.mailbox, password="", at=AT)

    assert "AUTHENTICATIONFAILED" in refusal(lambda: program.imap("plain words of mine"))


def test_app_password_is_held_to_its_protocols(make_program):
    program = make_program()
    issued = credentials.issue(
        actor=ACTOR, mailbox=program.mailbox, label="POP", allows_imap=False, at=AT
    )

    assert "not meant for IMAP" in refusal(lambda: program.imap(issued.secret))


def test_last_sign_in_names_device_and_address(make_program):
    program = make_program()
    before = int(time.time())
    program.imap().logout()

    eventually(LastLogin.objects.filter(username=program.address).exists)
    login = LastLogin.objects.get(username=program.address)
    device = program.mailbox.app_passwords.get().uuid.hex
    assert (login.proto, login.device, login.address) == ("imap", device, "127.0.0.1")
    assert before <= login.last_login <= time.time()


# Quota ----------------------------------------------------------------------------------


def answer(program, size):
    try:
        program.deliver("Big", size)
    except DeliveryRefused as refused:
        return refused.code
    except EngineUnavailable:
        return 0  # A reload cuts the line; a sender comes again.
    return 250


def test_limit_is_exact_first_put_off_then_refused(make_program):
    program = make_program()
    program.deliver("Small")
    quotas.change_limit(actor=ACTOR, mailbox=program.mailbox, quota_bytes=3000, at=AT)

    assert answer(program, 5000) == 452
    assert answer(program, 1000) == 250
    assert logbook.read(path=program.server.log) >= 1
    program.mailbox.refresh_from_db()
    assert program.mailbox.full_since is not None
    quotas.end_grace(grace=timedelta(0), at=program.mailbox.full_since)
    assert answer(program, 5000) == 552
    client = program.imap()
    assert len(subjects(client)) == 2
    client.store("1:2", "+FLAGS", r"(\Deleted)")
    client.expunge()
    assert answer(program, 2000) == 250


def test_warning_reaches_a_full_mailbox(make_program, mailoutbox):
    program = make_program()
    program.deliver("One", 2000)
    quotas.change_limit(actor=ACTOR, mailbox=program.mailbox, quota_bytes=1000, at=AT)
    eventually(lambda: Usage.objects.get(username=program.address).bytes > 2000)
    quotas.watch(at=AT)

    quotas.send_warnings(engine=program.live, at=AT)

    assert subjects(program.imap())[-1] == "Subject: hello@alder.test is full"
    notices.send_waiting(at=AT)
    assert [mail.to for mail in mailoutbox] == [["alice@example.test"]]


# A mailbox's life -----------------------------------------------------------------------


def test_closing_mailbox_takes_no_mail_and_comes_back_whole(make_program):
    program = make_program()
    program.deliver("Kept")
    provisioning.close(actor=ACTOR, mailbox=program.mailbox, grace=timedelta(days=1), at=AT)
    assert answer(program, 1) == 550
    provisioning.reopen(actor=ACTOR, mailbox=program.mailbox, at=AT)
    provisioning.prepare_pending(engine=program.live, at=AT)

    assert subjects(program.imap()) == ["Subject: Kept"]


def test_address_opened_again_is_empty_and_outlives_the_old_home(make_program, cast, live):
    program = make_program()
    program.deliver("Old")
    old = program.mailbox
    provisioning.close(actor=ACTOR, mailbox=old, grace=timedelta(0), at=AT)
    closing.close_for_good(actor=ACTOR, at=AT)
    new = make_program()
    new.deliver("New")

    assert closing.erase_closed(engine=live, at=AT) == 1

    assert subjects(new.imap()) == ["Subject: New"]
    homes = {path.name for path in settings.MAIL_ROOT.glob("*/*")}
    assert new.mailbox.uuid.hex in homes
    left = settings.MAIL_ROOT / old.uuid.hex[:2] / old.uuid.hex
    assert [path for path in left.rglob("u.*") if path.is_file()] == []


def test_mail_for_a_mailbox_that_is_not_prepared_yet_arrives(cast, live):
    mailbox = make_mailbox(cast.domain, is_ready=False)

    live.deliver(recipient=mailbox.address, message=b"Subject: Early\r\n\r\nx", sender="a@x.test")

    assert provisioning.prepare_pending(engine=live, at=AT) == 1
    assert Mailbox.objects.get().state == "active"


def test_no_file_appears_outside_the_mail_root(make_program):
    make_program().deliver("One")

    homes = [path.name for path in settings.MAIL_ROOT.glob("*/*")]
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in homes)


def test_meter_closes_the_days_that_passed_between_two_reports(make_program):
    program = make_program("imap", "metered")
    program.deliver("one")
    eventually(lambda: Usage.objects.get(username=program.address).messages == 1)
    first = Usage.objects.get(username=program.address)
    # As if the first message had come three days ago.
    Usage.objects.filter(username=program.address).update(since=first.since - 3 * 86_400)

    program.deliver("two")
    eventually(lambda: Usage.objects.get(username=program.address).messages == 2)

    second = Usage.objects.get(username=program.address)
    # Midnight may have come between the two.
    whole_days = 2 + second.since // 86_400 - first.since // 86_400
    days = UsageDay.objects.filter(username=program.address).order_by("day")
    assert [(row.days, row.byte_seconds) for row in days] == [
        (1, first.bytes * (86_400 - first.since % 86_400)),
        (whole_days, first.bytes * 86_400),
    ]
