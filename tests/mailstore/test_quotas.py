from __future__ import annotations

from datetime import timedelta

import pytest

from accounts import notices
from accounts.models import Event, Membership, Notice
from mailstore import logbook, quotas
from mailstore.engine.maillog import read
from mailstore.engine.rotation import Position
from mailstore.models import LogPosition, Mailbox, QuotaWarning, Usage
from tests.factories import AT, make_mailbox, make_member

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

GRACE = timedelta(days=3)


@pytest.fixture
def mailbox(cast):
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=1000)
    mailbox.refresh_from_db()
    return mailbox


def report(mailbox, used_bytes):
    Usage.objects.update_or_create(
        username=mailbox.address,
        defaults={"bytes": used_bytes, "messages": 1},
    )
    quotas.watch(at=AT)
    mailbox.refresh_from_db()


def warned(mailbox):
    return list(mailbox.quota_warnings.order_by("pk").values_list("percent", flat=True))


@pytest.mark.parametrize(
    ("used", "level"),
    [(0, 0), (799, 0), (800, 80), (899, 80), (900, 90), (999, 90), (1000, 100), (5000, 100)],
)
def test_level_is_the_highest_threshold_reached(used, level):
    assert quotas.level(used_bytes=used, quota_bytes=1000) == level


def test_watch_warns_once_a_threshold(mailbox):
    for used in (700, 810, 850, 910, 950, 1000, 1000):
        report(mailbox, used)

    assert warned(mailbox) == [80, 90, 100]
    assert mailbox.full_since == AT


def test_watch_sends_one_warning_for_a_jump(mailbox):
    report(mailbox, 950)

    assert warned(mailbox) == [90]


def test_watch_warns_again_after_use_fell_below(mailbox):
    for used in (850, 500, 850):
        report(mailbox, used)

    assert warned(mailbox) == [80, 80]


def test_watch_looks_at_changed_reports_only(mailbox):
    report(mailbox, 850)

    assert quotas.watch(at=AT) == 0
    Usage.objects.filter(username=mailbox.address).update(bytes=10)
    assert quotas.watch(at=AT) == 1


def test_watch_forgets_reports_of_nobody(cast):
    Usage.objects.create(username="nobody@alder.test", bytes=5)

    assert quotas.watch(at=AT) == 1
    assert quotas.watch(at=AT) == 0


def test_lowering_the_limit_warns_at_once(cast, mailbox):
    report(mailbox, 500)

    quotas.change_limit(actor=cast.actor(cast.alice), mailbox=mailbox, quota_bytes=600, at=AT)

    assert warned(mailbox) == [80]
    event = Event.objects.get(kind="mailbox.updated")
    assert event.data == {"quota_bytes": {"old": 1000, "new": 600}}


@pytest.mark.parametrize("quota_bytes", [0, -1])
def test_limit_must_hold_something(cast, mailbox, quota_bytes):
    with pytest.raises(quotas.ImpossibleLimit):
        quotas.change_limit(
            actor=cast.actor(cast.alice), mailbox=mailbox, quota_bytes=quota_bytes, at=AT
        )


def test_refusal_counts_as_full_until_there_is_more_room(mailbox):
    report(mailbox, 700)
    quotas.note_refusal(address=mailbox.address, at=AT)
    mailbox.refresh_from_db()
    assert (mailbox.full_since, warned(mailbox)) == (AT, [100])

    report(mailbox, 750)
    assert mailbox.full_since == AT
    report(mailbox, 400)

    assert (mailbox.full_since, mailbox.full_bytes, mailbox.warned_percent) == (None, None, 0)
    assert Event.objects.filter(kind="mailbox.quota_recovered").count() == 1


def test_refusal_for_nobody_is_ignored(db):
    quotas.note_refusal(address="nobody@alder.test", at=AT)

    assert not QuotaWarning.objects.exists()


def test_grace_ends_for_those_that_stayed_full(mailbox):
    report(mailbox, 1000)

    assert quotas.end_grace(grace=GRACE, at=AT + GRACE / 2) == 0
    assert quotas.end_grace(grace=GRACE, at=AT + GRACE) == 1
    assert quotas.end_grace(grace=GRACE, at=AT + GRACE) == 0

    report(mailbox, 100)
    assert not mailbox.refuses_when_full


def test_warning_reaches_the_full_mailbox_and_the_owner(mailbox, twin, mailoutbox):
    twin.know(mailbox.address, quota_bytes=1)
    report(mailbox, 1000)

    assert quotas.send_warnings(engine=twin, at=AT) == 1

    [stored] = twin.accounts[mailbox.address].folders["INBOX"].raws
    assert b"Subject: hello@alder.test is full" in stored
    assert notices.send_waiting(at=AT) == 1
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == (["alice@example.test"], "hello@alder.test is full")
    assert quotas.send_warnings(engine=twin, at=AT) == 0


def test_warning_waits_for_a_mail_server_that_is_down(mailbox, twin, mailoutbox):
    twin.know(mailbox.address)
    twin.is_down = True
    report(mailbox, 850)
    quotas.send_warnings(engine=twin, at=AT)
    twin.is_down = False

    quotas.send_warnings(engine=twin, at=AT)

    assert len(twin.accounts[mailbox.address].folders["INBOX"].raws) == 1
    notices.send_waiting(at=AT)
    assert len(mailoutbox) == 1


def test_warning_for_a_mailbox_that_is_gone_is_not_tried_for_ever(mailbox, twin, mailoutbox):
    report(mailbox, 850)

    assert quotas.send_warnings(engine=twin, at=AT) == 1
    assert quotas.send_warnings(engine=twin, at=AT) == 0


def test_warning_is_one_letter_for_each_owner_and_is_not_written_again(cast, mailbox, twin):
    make_member("anna@example.test", cast.customer, Membership.Role.OWNER)
    twin.know(mailbox.address)
    report(mailbox, 850)

    quotas.send_warnings(engine=twin, at=AT)
    quotas.send_warnings(engine=twin, at=AT)

    letters = Notice.objects.filter(name="quota_warning", sent_at=None)
    assert sorted(letter.to for letter in letters) == ["alice@example.test", "anna@example.test"]


REFUSAL = (
    "2026-11-02T09:30:00 lmtp(hello@alder.test)<12><abc><127.0.0.1><->: Info: msgid=<x@y>: "
    "save failed to open mailbox INBOX: Quota exceeded (mailbox for user is full)\n"
)


def test_log_is_read_once(mailbox, tmp_path):
    log = tmp_path / "dovecot.log"
    log.write_text(REFUSAL)

    assert logbook.read(path=log) == 1
    assert logbook.read(path=log) == 0

    mailbox.refresh_from_db()
    assert mailbox.full_since == AT
    assert LogPosition.objects.get().offset == len(REFUSAL)


def test_missing_log_is_no_error(db, tmp_path):
    assert logbook.read(path=tmp_path / "none.log") == 0


def test_log_leaves_an_unfinished_line_for_later(tmp_path):
    log = tmp_path / "dovecot.log"
    log.write_text(REFUSAL + REFUSAL[:60])

    first = read(log, None)
    log.write_text(REFUSAL + REFUSAL)
    more = read(log, first.position)

    assert (len(first.records), len(more.records)) == (1, 1)


def test_log_is_read_anew_after_rotation_and_cutting(tmp_path):
    log = tmp_path / "dovecot.log"
    log.write_text(REFUSAL)
    position = read(log, None).position

    again = read(log, Position(inode=position.inode + 1, offset=position.offset))
    log.write_text("")
    cut = read(log, position)

    assert (len(again.records), cut.records, cut.position.offset) == (1, [], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"2026-11-02T09:30:00 lmtp(): Info: Quota exceeded\n",
        b"2026-11-02T09:30:00 imap(a@b.test)<1><x>: Info: Quota exceeded\n",
        b"2026-11-02T09:30:00 lmtp(a b)<1><x>: Info: Quota exceeded\n",
        b"x 2026-11-02T09:30:00 lmtp(a@b.test)<1><x>: Info: Quota exceeded\n",
        b"\xff\xfe\x00garbage\n",
        b"A" * 70_000 + b"\n",
    ],
)
def test_log_lines_that_are_no_refusals_are_passed_over(tmp_path, line):
    log = tmp_path / "dovecot.log"
    log.write_bytes(line)

    found = read(log, None)

    assert (found.records, found.position.offset) == ([], len(line))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (10**9, "1 GB"), (2 * 10**12, "2 TB")],
)
def test_byte_text_counts_in_thousands(count, text):
    assert quotas.byte_text(count) == text
