"""The tripwire, from lines of the mail server's log to the owner's answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts import notices
from accounts.access import Forbidden, system
from accounts.models import Membership, Notice, Setback, User
from mailstore import (
    closing,
    cooling,
    credentials,
    health,
    holding,
    logbook,
    provisioning,
    recovery,
    retention,
    sweeping,
    tripwire,
)
from mailstore.engine.folder_names import shown, to_wire
from mailstore.engine.maillog import read
from mailstore.models import Alarm, Mailbox, Removal, Usage
from tests.factories import make_mailbox, make_member

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SYSTEM = system("tests")
FOLDERS = [
    "INBOX: box=.EXPUNGED/INBOX, uid=1, size=9",
    "Entwürfe & Söhne",
    "&ANw-ber",
    "日本語" * 12,
    "x" * 54,
    "x" * 55,
    "x" * 65,
    f"{'u' * 200}/{'v' * 150}",
    'a"b [c] (d) \\e',
    "what?",
    "ends with...",
]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "dovecot.log"


@pytest.fixture
def mailbox(cast, twin):
    return known(make_mailbox(cast.domain), twin)


@pytest.fixture
def pop(cast, twin):
    return known(make_mailbox(cast.domain, "popper", "pop"), twin)


def known(mailbox, twin):
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def line(mailbox, text, *, service="imap", session="s1", device="-", at=NOW):
    return (
        f"{at:%Y-%m-%dT%H:%M:%S} {service}({mailbox.address})<12><{session}><192.0.2.7>"
        f"<{device}>: Info: {text}\n"
    )


def remove(twin, log, mailbox, folder, count, *, sent="top=0/0, retr=0/0", **who):
    """Remove messages as a program would, and log it as Dovecot does.

    `sent` is what went out to a POP session, which ends with what it removes.
    """
    account = twin.accounts[mailbox.address]
    uids = [m.uid for m in account.folders[folder].kept][:count]
    first = account.store[folder].next_uid if folder in account.store else 1
    twin.remove(user=mailbox.address, folder=folder, uids=uids)
    with log.open("a") as out:
        for uid in range(first, first + len(uids)):
            out.write(line(mailbox, removal(folder, uid), **who))
        if who.get("service") == "pop3":
            out.write(line(mailbox, end(len(uids), sent), **who))
    report(mailbox, account)
    logbook.read(path=log)


def end(removed, sent):
    glanced, fetched = (part.split("/")[0].split("=")[1] for part in sent.split(", "))
    did = f"fetched={fetched} glanced={glanced} removed={removed}"
    return f"Disconnected: Logged out {did}; {sent}, del={removed}/{removed}, size=9"


def removal(folder, uid):
    kept = shown(f".EXPUNGED/{to_wire(folder)}")
    return f"copy from {shown(folder)}: box={kept}, uid={uid}, size=100"


def report(mailbox, account):
    held = sum(len(folder.kept) for folder in account.folders.values())
    Usage.objects.update_or_create(username=mailbox.address, defaults={"messages": held})


def put(twin, mailbox, folder, count, flags=()):
    box = twin.accounts[mailbox.address].folders[folder]
    for number in range(count):
        box.append(f"Subject: {number}\r\n\r\nx\r\n".encode())
        object.__setattr__(box.kept[-1], "flags", frozenset(flags))


def fired(twin, mailbox, at=NOW):
    tripwire.watch(engine=twin, at=at)
    mailbox.refresh_from_db()
    alarm = Alarm.objects.filter(mailbox=mailbox).order_by("pk").last()
    return alarm.reason if mailbox.frozen_at else None


def test_log_becomes_one_row_for_each_session_and_folder(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 5)
    remove(twin, log, mailbox, "INBOX", 2)
    remove(twin, log, mailbox, "INBOX", 2)
    remove(twin, log, mailbox, "INBOX", 1, session="s2")

    rows = Removal.objects.order_by("pk").values_list("session", "uids", "messages", "bytes")
    assert list(rows) == [("s1", "1:4", 4, 400), ("s2", "5", 1, 100)]
    mailbox.refresh_from_db()
    assert mailbox.store_due_at == NOW + timedelta(days=mailbox.window_days)


@pytest.mark.parametrize(
    "text",
    [
        "copy from INBOX: box=, uid=1, size=9",
        "copy from A: box=.EXPUNGED/B, uid=1, size=9",
        "copy from INBOX: box=.EXPUNGED/INBOX, uid=1, size=9, subject=x",
        "x copy from INBOX: box=.EXPUNGED/INBOX, uid=1, size=9",
        "Mailbox deleted",
        "Disconnected: Logged out fetched=0 glanced=0 removed=1; top=0/0, retr=0/0, del=1/3",
    ],
)
def test_line_that_only_looks_like_it_means_nothing(text, log, mailbox):
    log.write_text(line(mailbox, text))

    assert read(log, None).records == []


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_may_have_any_name(name, twin, log, mailbox):
    twin.create_mailbox(user=mailbox.address, folders=[name])
    put(twin, mailbox, "INBOX", 500)
    put(twin, mailbox, name, 20)
    remove(twin, log, mailbox, name, 20)

    assert Removal.objects.get().folder == shown(name)
    assert fired(twin, mailbox) == f"The whole folder {shown(name)} was removed."
    alarm = Alarm.objects.get()
    run = tripwire.roll_back(actor=SYSTEM, alarm=alarm, engine=twin, at=NOW)
    assert {batch.folder for batch in run.batches.all()} == {name}


def test_what_was_done_to_an_earlier_mailbox_of_the_address_is_not_told_of_this_one(log, mailbox):
    opened_at = mailbox.created_at
    with log.open("a") as out:
        out.write(line(mailbox, removal("INBOX", 1), at=opened_at - timedelta(seconds=1)))
        out.write(line(mailbox, removal("INBOX", 2), at=opened_at))

    logbook.read(path=log)

    assert [row.uids for row in Removal.objects.all()] == ["2"]


def test_many_messages_fire(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    remove(twin, log, mailbox, "INBOX", 199)
    assert fired(twin, mailbox) is None
    remove(twin, log, mailbox, "INBOX", 1, session="s2")

    assert fired(twin, mailbox) == "200 messages were removed within 10 minutes."


def test_a_large_share_fires(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 60)
    remove(twin, log, mailbox, "INBOX", 29)
    assert fired(twin, mailbox) is None
    remove(twin, log, mailbox, "INBOX", 1)

    assert fired(twin, mailbox) == "50 % of the mailbox was removed within 10 minutes."


def test_report_of_use_that_is_late_hides_no_share(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 60)
    remove(twin, log, mailbox, "INBOX", 30)
    Usage.objects.update(messages=60)

    assert fired(twin, mailbox) == "50 % of the mailbox was removed within 10 minutes."


def test_a_whole_folder_fires(twin, log, mailbox):
    twin.create_mailbox(user=mailbox.address, folders=["Work"])
    put(twin, mailbox, "INBOX", 500)
    put(twin, mailbox, "Work", 20)
    remove(twin, log, mailbox, "Work", 20)

    assert fired(twin, mailbox) == "The whole folder Work was removed."


def test_few_messages_never_fire(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 9)
    remove(twin, log, mailbox, "INBOX", 9)

    assert fired(twin, mailbox) is None


def test_small_mailbox_that_is_emptied_fires(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 10)
    remove(twin, log, mailbox, "INBOX", 10)

    assert fired(twin, mailbox) == "100 % of the mailbox was removed within 10 minutes."


def test_what_is_few_may_be_set_for_a_mailbox(twin, log, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(trip_fewest=3)
    twin.create_mailbox(user=mailbox.address, folders=["Work"])
    put(twin, mailbox, "INBOX", 500)
    put(twin, mailbox, "Work", 3)
    remove(twin, log, mailbox, "Work", 3)

    assert fired(twin, mailbox) == "The whole folder Work was removed."


def test_what_was_long_ago_does_not_count(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    remove(twin, log, mailbox, "INBOX", 150, at=NOW - timedelta(minutes=11))
    remove(twin, log, mailbox, "INBOX", 150, session="s2")

    assert fired(twin, mailbox) is None


def test_thief_who_stays_silent_until_the_log_is_read_is_seen(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    remove(twin, log, mailbox, "INBOX", 300, at=NOW - timedelta(minutes=30))
    remove(twin, log, mailbox, "INBOX", 1, session="s2")

    assert fired(twin, mailbox) == "300 messages were removed within 10 minutes."
    assert Alarm.objects.get().since == NOW - timedelta(minutes=30)


def test_day_of_work_in_one_session_is_no_alarm(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    for hour in range(10):
        remove(twin, log, mailbox, "INBOX", 30, at=NOW - timedelta(hours=10 - hour))
        assert fired(twin, mailbox) is None

    remove(twin, log, mailbox, "INBOX", 170, at=NOW - timedelta(hours=1) + timedelta(minutes=5))
    assert fired(twin, mailbox) == "200 messages were removed within 10 minutes."


def test_many_sessions_folders_and_devices_are_weighed_together(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    for number in range(10):
        folder = f"Project {number}"
        twin.create_mailbox(user=mailbox.address, folders=[folder])
        put(twin, mailbox, folder, 30)
        moment = NOW - timedelta(minutes=9) + timedelta(seconds=50 * number)
        who = {"session": f"s{number}", "device": f"{number:032x}", "at": moment}
        remove(twin, log, mailbox, folder, 19, **who)

    assert fired(twin, mailbox) is None
    remove(twin, log, mailbox, "INBOX", 10, session="s10")
    assert fired(twin, mailbox) == "200 messages were removed within 10 minutes."


def test_pop_sessions_that_each_remove_a_few_unfetched_are_weighed_together(twin, log, pop):
    put(twin, pop, "INBOX", 400)
    for number in range(11):
        remove(twin, log, pop, "INBOX", 19, service="pop3", session=f"s{number}")

    assert fired(twin, pop) == "209 messages were removed within 10 minutes."


def test_what_came_back_is_not_taken_for_removed_unfetched(twin, log, pop):
    put(twin, pop, "INBOX", 300, flags=["\\Seen"])
    remove(twin, log, pop, "INBOX", 300, service="pop3")
    assert fired(twin, pop) is None
    kept = [message.uid for message in twin.accounts[pop.address].store["INBOX"].kept]
    twin.restore(user=pop.address, folder="INBOX", uids=kept, as_unfetched=True)
    remove(twin, log, pop, "INBOX", 1, service="pop3", session="s2")

    assert fired(twin, pop) is None


def test_emptying_the_trash_is_no_alarm_unless_it_is_most_of_the_mail(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 1000)
    put(twin, mailbox, "Trash", 400)
    remove(twin, log, mailbox, "Trash", 400)
    assert fired(twin, mailbox) is None
    put(twin, mailbox, "Trash", 1400)
    remove(twin, log, mailbox, "Trash", 1400, session="s2")

    assert fired(twin, mailbox).startswith("64 % of the mailbox")


def test_pop_program_that_fetches_and_removes_is_no_alarm(twin, log, pop):
    put(twin, pop, "INBOX", 500, flags=["\\Seen"])
    remove(twin, log, pop, "INBOX", 500, service="pop3")
    assert fired(twin, pop) is None
    put(twin, pop, "INBOX", 300)
    remove(twin, log, pop, "INBOX", 300, service="pop3", session="s2")

    assert fired(twin, pop) == "300 messages were removed within 10 minutes."


def test_share_of_a_pop_mailbox_is_of_all_that_it_held(twin, log, pop):
    """A filter removes junk by its headers alone, and a program fetches all else."""
    put(twin, pop, "INBOX", 40)
    remove(twin, log, pop, "INBOX", 13, service="pop3")
    remove(twin, log, pop, "INBOX", 27, service="pop3", session="s2", sent="top=0/0, retr=27/9999")
    assert fired(twin, pop) is None

    put(twin, pop, "INBOX", 40)
    remove(twin, log, pop, "INBOX", 40, service="pop3", session="s3")
    assert fired(twin, pop) == "66 % of the mailbox was removed within 10 minutes."


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("top=0/0, retr=300/12000", None),
        ("top=300/12000, retr=0/0", None),
        ("top=100/4000, retr=200/8000", None),
        ("top=300/4000, retr=0/0", "300 messages were removed within 10 minutes."),
        ("top=9/12000, retr=0/0", "300 messages were removed within 10 minutes."),
        ("top=0/0, retr=9/12000", "291 messages were removed within 10 minutes."),
    ],
)
def test_what_was_sent_to_a_pop_session_tells_what_it_fetched(sent, reason, twin, log, pop):
    """Nothing is marked as seen that goes in the session that fetched it."""
    put(twin, pop, "INBOX", 300)
    remove(twin, log, pop, "INBOX", 300, service="pop3", sent=sent)

    assert fired(twin, pop) == reason


def test_one_pop_session_answers_for_no_other(twin, log, pop):
    put(twin, pop, "INBOX", 600)
    remove(twin, log, pop, "INBOX", 300, service="pop3", sent="top=0/0, retr=600/60000")
    remove(twin, log, pop, "INBOX", 300, service="pop3", session="s2")

    assert fired(twin, pop) == "300 messages were removed within 10 minutes."


def test_what_was_begun_in_a_session_that_broke_off_may_be_removed_by_any_later_one(twin, log, pop):
    put(twin, pop, "INBOX", 600)
    begun = [message.uid for message in twin.accounts[pop.address].folders["INBOX"].kept[:300]]
    twin.set_reads_aside(user=pop.address, uids=begun, as_begun=True)
    remove(twin, log, pop, "INBOX", 300, service="pop3")
    assert fired(twin, pop) is None
    # That says nothing of the others.
    remove(twin, log, pop, "INBOX", 300, service="pop3", session="s2")

    assert fired(twin, pop) == "300 messages were removed within 10 minutes."


def test_what_came_back_after_a_session_broke_off_is_untouched(twin, log, pop):
    put(twin, pop, "INBOX", 300)
    every = [message.uid for message in twin.accounts[pop.address].folders["INBOX"].kept]
    twin.set_reads_aside(user=pop.address, uids=every, as_begun=True)
    remove(twin, log, pop, "INBOX", 300, service="pop3")
    kept = [message.uid for message in twin.accounts[pop.address].store["INBOX"].kept]
    twin.restore(user=pop.address, folder="INBOX", uids=kept, as_unfetched=True)

    remove(twin, log, pop, "INBOX", 300, service="pop3", session="s2")

    assert fired(twin, pop) == "300 messages were removed within 10 minutes."


def test_one_pop_session_after_the_other_hides_nothing_for_long(twin, log, pop):
    put(twin, pop, "INBOX", 310)
    remove(twin, log, pop, "INBOX", 300, service="pop3")
    remove(twin, log, pop, "INBOX", 1, service="pop3", session="s2", at=NOW + timedelta(seconds=59))
    Removal.objects.filter(session="s2").update(fetched_messages=None, fetched_bytes=None)
    assert fired(twin, pop, at=NOW + timedelta(seconds=59)) is None

    assert fired(twin, pop, at=NOW + timedelta(seconds=61))


def test_pop_session_is_weighed_when_the_log_has_told_of_its_end(twin, log, pop):
    put(twin, pop, "INBOX", 300)
    remove(twin, log, pop, "INBOX", 300, service="pop3")
    Removal.objects.update(fetched_messages=None, fetched_bytes=None)

    assert fired(twin, pop) is None
    assert Removal.objects.filter(is_weighed=False).count() == 1
    # A mail server that died has no more to say.
    later = NOW + timedelta(minutes=1)
    assert fired(twin, pop, at=later) == "300 messages were removed within 10 minutes."


def test_alarm_freezes_and_tells_owner_and_reseller(twin, log, mailbox, mailoutbox):
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300)

    assert fired(twin, mailbox)
    assert mailbox.sessions_end_asked_at == NOW
    assert notices.send_waiting(at=NOW) == 2
    assert notices.send_waiting(at=NOW) == 0
    told = {mail.to[0]: mail for mail in mailoutbox}
    assert set(told) == {"alice@example.test", "rita@example.test"}
    alarm = Alarm.objects.get()
    assert f"/mailboxes/alarms/{alarm.uuid}/" in told["alice@example.test"].body
    assert "300 messages" in told["alice@example.test"].body
    assert fired(twin, mailbox)
    assert Alarm.objects.count() == 1


def test_owner_says_it_was_me(twin, cast, log, mailbox):
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300)
    fired(twin, mailbox)
    alarm = Alarm.objects.get()
    with pytest.raises(Forbidden):
        tripwire.dismiss(actor=cast.actor(cast.bob), alarm=alarm, at=NOW)

    tripwire.dismiss(actor=cast.actor(cast.alice), alarm=alarm, at=NOW)

    mailbox.refresh_from_db()
    assert (mailbox.frozen_at, alarm.answer) == (None, "own_doing")
    assert fired(twin, mailbox) is None
    with pytest.raises(tripwire.NothingToAnswer):
        tripwire.dismiss(actor=cast.actor(cast.alice), alarm=alarm, at=NOW)


def test_owner_rolls_back_and_the_devices_are_locked_out(twin, cast, log, mailbox):
    alice = cast.actor(cast.alice)
    thief = credentials.issue(actor=SYSTEM, mailbox=mailbox, label="Lost", at=NOW).app_password
    other = credentials.issue(actor=SYSTEM, mailbox=mailbox, label="Laptop", at=NOW).app_password
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300, device=thief.uuid.hex)
    fired(twin, mailbox)

    run = tripwire.roll_back(actor=alice, alarm=Alarm.objects.get(), engine=twin, at=NOW)
    recovery.work_off(run=run, engine=twin, now=lambda: NOW)

    assert len(twin.accounts[mailbox.address].folders["INBOX"].kept) == 300
    thief.refresh_from_db()
    other.refresh_from_db()
    assert (thief.revoked_at, other.revoked_at) == (NOW, None)
    mailbox.refresh_from_db()
    assert mailbox.frozen_at is None


def test_roll_back_that_does_not_fit_changes_nothing(twin, cast, log, mailbox):
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300)
    fired(twin, mailbox)
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=10)

    with pytest.raises(recovery.NotEnoughSpace):
        tripwire.roll_back(
            actor=cast.actor(cast.alice), alarm=Alarm.objects.get(), engine=twin, at=NOW
        )
    mailbox.refresh_from_db()
    assert mailbox.frozen_at is not None
    assert Alarm.objects.get().answer == ""


def test_mailbox_that_cannot_be_asked_holds_up_no_other(twin, cast, log, mailbox):
    other = known(make_mailbox(cast.domain, "other"), twin)
    put(twin, mailbox, "INBOX", 30)
    remove(twin, log, mailbox, "INBOX", 30)
    put(twin, other, "INBOX", 300)
    remove(twin, log, other, "INBOX", 300, session="s2")
    account = twin.accounts.pop(mailbox.address)

    assert fired(twin, other) == "300 messages were removed within 10 minutes."
    assert fired(twin, mailbox) is None
    twin.accounts[mailbox.address] = account
    assert Setback.objects.get().name == mailbox.address
    assert (
        fired(twin, mailbox, at=NOW + timedelta(minutes=2))
        == "100 % of the mailbox was removed within 10 minutes."
    )


def test_mailbox_that_can_never_be_asked_does_not_take_every_turn(twin, cast, log, mailbox):
    other = known(make_mailbox(cast.domain, "other"), twin)
    for number in range(3):
        put(twin, mailbox, "INBOX", 20)
        remove(twin, log, mailbox, "INBOX", 20, session=f"s{number}")
    put(twin, other, "INBOX", 20)
    remove(twin, log, other, "INBOX", 20)
    del twin.accounts[mailbox.address]

    assert tripwire.watch(engine=twin, at=NOW, limit=2) == 1
    assert Removal.objects.filter(mailbox=mailbox, is_weighed=False).count() == 3


def test_removals_wait_for_a_mail_server_that_is_down(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 30)
    remove(twin, log, mailbox, "INBOX", 30)
    twin.is_down = True
    assert tripwire.watch(engine=twin, at=NOW) == 0
    twin.is_down = False

    assert fired(twin, mailbox) == "100 % of the mailbox was removed within 10 minutes."


def test_tripwire_that_is_off_stays_silent(twin, log, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(tripwire_off_at=NOW)
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300)

    assert fired(twin, mailbox) is None


def test_mailbox_may_have_thresholds_of_its_own(twin, log, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(trip_messages=30)
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 30)

    assert fired(twin, mailbox) == "30 messages were removed within 10 minutes."


def test_pop_session_that_fetched_asks_for_a_look(twin, log, pop):
    put(twin, pop, "INBOX", 2, flags=["\\Seen"])
    ended = "Disconnected: Logged out fetched=2 glanced=0 removed=0; top=0/0, retr=2/800"
    log.write_text(line(pop, ended, service="pop3"))
    logbook.read(path=log)

    assert sweeping.note_retrievals(engine=twin, at=NOW) == 2
    assert sweeping.note_retrievals(engine=twin, at=NOW) == 0
    pop.refresh_from_db()
    assert pop.retrievals_asked_at is None
    later = retention.outlook(mailbox=pop, engine=twin, until=NOW + timedelta(days=30))
    assert [len(found.fates) for found in later] == [2]


def test_mailbox_that_cannot_be_looked_at_is_looked_at_later(twin, log, pop, cast):
    put(twin, pop, "INBOX", 2, flags=["\\Seen"])
    other = known(make_mailbox(cast.domain, "other", "pop"), twin)
    put(twin, other, "INBOX", 1, flags=["\\Seen"])
    Mailbox.objects.update(retrievals_asked_at=NOW)
    account = twin.accounts.pop(pop.address)

    assert sweeping.note_retrievals(engine=twin, at=NOW + timedelta(minutes=1)) == 1
    twin.accounts[pop.address] = account
    assert sweeping.note_retrievals(engine=twin, at=NOW + timedelta(minutes=2)) == 2
    assert not Mailbox.objects.exclude(retrievals_asked_at=None).exists()


def emptied(twin, log, mailbox):
    put(twin, mailbox, "INBOX", 300)
    remove(twin, log, mailbox, "INBOX", 300)
    assert fired(twin, mailbox)
    return Alarm.objects.get()


def letters():
    return set(Notice.objects.values_list("to", "context__owner_unreached"))


def test_owner_and_reseller_are_told_at_addresses_outside(twin, log, cast, mailbox):
    make_member("owner@elsewhere.test", cast.customer, Membership.Role.OWNER)
    neighbour = make_mailbox(cast.domain, "neighbour").address
    make_member(neighbour, cast.customer, Membership.Role.OWNER)

    alarm = emptied(twin, log, mailbox)

    assert {to for to, _ in letters()} == {
        cast.alice.email,
        "owner@elsewhere.test",
        cast.rita.email,
    }
    assert alarm.owners_told == 2


def test_owner_without_an_address_outside_is_called_by_those_above(
    twin, log, cast, mailbox, mailoutbox
):
    User.objects.filter(pk=cast.alice.pk).update(email=mailbox.address)

    alarm = emptied(twin, log, mailbox)

    assert letters() == {(cast.rita.email, "Alder"), (cast.sam.email, "Alder")}
    assert alarm.owners_told == 0
    assert health.report(at=NOW).untold_alarms == 1
    notices.send_waiting(at=NOW)
    assert all("Please call them." in letter.body for letter in mailoutbox)


def test_owner_who_only_has_another_mailbox_here_is_told_there_as_well(twin, log, cast, mailbox):
    neighbour = make_mailbox(cast.domain, "neighbour").address
    User.objects.filter(pk=cast.alice.pk).update(email=neighbour)

    alarm = emptied(twin, log, mailbox)

    assert letters() == {
        (neighbour, ""),
        (cast.rita.email, "Alder"),
        (cast.sam.email, "Alder"),
    }
    assert alarm.owners_told == 0


def test_frozen_mailbox_is_not_closed_by_any_way(twin, log, cast, mailbox):
    alice, wait, grace = cast.actor(cast.alice), timedelta(hours=72), timedelta(days=1)
    change = cooling.ask_to_close(actor=alice, mailbox=mailbox, grace=grace, wait=wait, at=NOW)
    alarm = emptied(twin, log, mailbox)

    with pytest.raises(holding.Stopped):
        cooling.ask_to_close(actor=alice, mailbox=mailbox, grace=grace, wait=wait, at=NOW)
    with pytest.raises(holding.Stopped):
        provisioning.close(actor=alice, mailbox=mailbox, grace=grace, at=NOW)
    assert cooling.make_due(engine=twin, at=NOW + wait) == 0
    change.refresh_from_db()
    assert (change.state, "frozen" in change.failure) == ("waiting", True)
    Mailbox.objects.update(state="closing", erase_after=NOW)
    assert closing.close_for_good(actor=SYSTEM, at=NOW + grace) == 0

    tripwire.dismiss(actor=alice, alarm=alarm, at=NOW)
    assert closing.close_for_good(actor=SYSTEM, at=NOW + grace) == 1
