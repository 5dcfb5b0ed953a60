"""The moment at which a mailbox is looked at again: never too late, and never an older one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.access import system
from mailstore import due, logbook, planning, rules, sweeping
from mailstore.engine.memory import Folder
from mailstore.models import FullSweep, Mailbox, PurgeRun
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SYSTEM = system("tests")


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    # The twin dates what is removed by the real clock.
    Mailbox.objects.filter(pk=mailbox.pk).update(window_days=1000)
    mailbox.refresh_from_db()
    return mailbox


def put(twin, mailbox, folder, at):
    box = twin.accounts[mailbox.address].folders.setdefault(folder, Folder())
    box.append(f"Message-ID: <{folder}-{box.next_uid}@x.test>\r\n\r\nx\r\n".encode(), at=at)


def set_rule(target, folder, days):
    rule = Rule(folder=folder, counted_from=CountedFrom.ARRIVAL, days=days)
    rules.set_rule(actor=SYSTEM, target=target, rule=rule, at=NOW)


def next_look(mailbox):
    mailbox.refresh_from_db()
    return mailbox.retention_due_at


# Folders that are not there yet ---------------------------------------------------------


@pytest.mark.parametrize("folder", ["Projects", "*", "\\Archive", "Archive"])
def test_mail_in_a_folder_made_after_the_look_goes_in_time(folder, twin, cast, mailbox):
    for passing in ("\\Junk", "\\Trash"):
        set_rule(cast.domain, passing, 365)
    for other in ("INBOX", "Sent", "Drafts"):
        set_rule(cast.domain, other, 300)
    set_rule(cast.domain, folder, 30)
    name = "Archive" if "Archive" in folder else "Projects"
    twin.accounts[mailbox.address].folders.pop(name, None)
    sweeping.plan_due(engine=twin, at=NOW)
    put(twin, mailbox, name, NOW + 5 * DAY)

    for days in range(0, 41, 5):
        at = NOW + days * DAY
        sweeping.plan_due(engine=twin, at=at)
        sweeping.run_open(engine=twin, now=lambda at=at: at)

    assert sweeping.sweep_fully(engine=twin, at=NOW + 40 * DAY, every=7 * DAY) is False
    assert FullSweep.objects.get().missed == 0
    assert PurgeRun.objects.get().messages == 1


def test_folders_to_come_cost_no_look_where_no_rule_speaks_of_them(twin, cast, mailbox):
    for passing in ("\\Junk", "\\Trash"):
        set_rule(cast.domain, passing, 365)

    sweeping.plan_due(engine=twin, at=NOW)

    assert next_look(mailbox) == NOW + 365 * DAY


def test_folders_that_are_there_cost_no_other_look_than_their_mail(twin, cast, mailbox):
    for passing in ("\\Junk", "\\Trash"):
        set_rule(cast.domain, passing, 365)
    set_rule(cast.domain, "Projects", 30)
    put(twin, mailbox, "Projects", NOW - 2 * DAY)

    sweeping.plan_due(engine=twin, at=NOW)

    assert next_look(mailbox) == NOW + 28 * DAY


def test_pop_mailbox_gets_no_other_folder(twin, cast):
    pop = make_mailbox(cast.domain, "popper", "pop")
    twin.know(pop.address)
    set_rule(cast.domain, "Projects", 30)

    sweeping.plan_due(engine=twin, at=NOW)

    assert next_look(pop) > NOW + 3000 * DAY


# Folders with another name --------------------------------------------------------------


def log_of(path, user, text, *, at=NOW + DAY):
    path.write_text(f"{at:%Y-%m-%dT%H:%M:%S} imap({user})<12><s1><192.0.2.7><->: Info: {text}\n")
    return logbook.read(path=path)


def test_old_mail_in_a_folder_that_gets_a_rules_name_goes_with_the_next_sweep(
    twin, cast, mailbox, tmp_path
):
    set_rule(cast.domain, "Old", 30)
    put(twin, mailbox, "Work", NOW - 40 * DAY)
    sweeping.plan_due(engine=twin, at=NOW)
    assert next_look(mailbox) == NOW + 30 * DAY

    folders = twin.accounts[mailbox.address].folders
    folders["Old"] = folders.pop("Work")
    assert log_of(tmp_path / "log", mailbox.address, "Mailbox renamed: Work -> Old") == 1
    sweeping.plan_due(engine=twin, at=NOW + DAY)

    assert PurgeRun.objects.get().planned_messages == 1


@pytest.mark.parametrize(
    ("text", "is_asked"),
    [
        ("Mailbox renamed: a -> b -> c", True),
        ("Mailbox renamed: Work", False),
        ("x Mailbox renamed: Work -> Old", False),
        ("Mailbox deleted: a -> b", False),
    ],
)
def test_only_another_name_has_the_mailbox_looked_at(text, is_asked, twin, mailbox, tmp_path):
    Mailbox.objects.update(retention_due_at=NOW + 9 * DAY)

    log_of(tmp_path / "log", mailbox.address, text)

    assert (next_look(mailbox) is None) == is_asked


def test_another_name_in_an_earlier_mailbox_of_the_address_asks_for_nothing(mailbox, tmp_path):
    Mailbox.objects.update(retention_due_at=NOW + 9 * DAY)
    before = mailbox.created_at - DAY

    log_of(tmp_path / "log", mailbox.address, "Mailbox renamed: a -> b", at=before)

    assert next_look(mailbox) == NOW + 9 * DAY


# What changes during a look -------------------------------------------------------------


@pytest.mark.parametrize("before", [None, NOW - DAY])
def test_rule_set_during_a_look_has_the_mailbox_looked_at_again(before, twin, mailbox):
    put(twin, mailbox, "Junk", NOW - 20 * DAY)
    Mailbox.objects.update(retention_due_at=before)
    mailbox.refresh_from_db()

    draft = planning.by_rules(mailbox=mailbox, engine=twin, at=NOW)
    set_rule(mailbox, "\\Junk", 10)
    planning.settle(draft, at=NOW)

    assert next_look(mailbox) is None
    sweeping.plan_due(engine=twin, at=NOW)
    assert PurgeRun.objects.get().planned_messages == 1


@pytest.mark.parametrize("before", [None, NOW - DAY])
def test_rule_set_during_a_look_at_many_has_each_looked_at_again(
    before, twin, cast, mailbox, monkeypatch
):
    other = make_mailbox(cast.domain, "other")
    twin.know(other.address)
    put(twin, mailbox, "Junk", NOW - 20 * DAY)
    Mailbox.objects.update(retention_due_at=before)
    real = planning.settle_each

    def after_a_rule(drafts, *, at):
        set_rule(mailbox, "\\Junk", 10)
        real(drafts, at=at)

    with monkeypatch.context() as patch:
        patch.setattr(planning, "settle_each", after_a_rule)
        assert sweeping.plan_due(engine=twin, at=NOW) == 2

    assert next_look(mailbox) is None
    assert next_look(other) > NOW


@pytest.mark.parametrize("before", [None, NOW + 100 * DAY])
def test_rule_set_during_the_full_sweep_has_the_mailbox_looked_at_again(
    before, twin, mailbox, monkeypatch
):
    Mailbox.objects.update(retention_due_at=before)
    real = due.next_moments

    def before_a_rule(*given, **named):
        moments = real(*given, **named)
        set_rule(mailbox, "\\Junk", 10)
        return moments

    monkeypatch.setattr(due, "next_moments", before_a_rule)
    sweeping.sweep_fully(engine=twin, at=NOW, every=7 * DAY)

    assert next_look(mailbox) is None


def test_mail_removed_during_a_look_at_the_store_is_not_forgotten(twin, mailbox):
    Mailbox.objects.update(store_due_at=NOW - DAY, store_bytes=0, store_messages=0)
    mailbox.refresh_from_db()

    draft = planning.of_store(mailbox=mailbox, engine=twin, at=NOW)
    # The log tells of a removal from after the question.
    came = due.stored_moments(mailbox, messages=1, size=7, at=NOW)
    due.note(mailbox, **came)
    planning.settle(draft, at=NOW)

    mailbox.refresh_from_db()
    assert (mailbox.store_due_at, mailbox.store_messages) == (NOW - DAY, 1)


def test_empty_store_is_not_looked_at_again(twin, mailbox):
    Mailbox.objects.update(store_due_at=NOW - DAY, store_bytes=9, store_messages=1)
    mailbox.refresh_from_db()

    planning.settle(planning.of_store(mailbox=mailbox, engine=twin, at=NOW), at=NOW)

    mailbox.refresh_from_db()
    assert (mailbox.store_due_at, mailbox.store_bytes, mailbox.store_messages) == (None, 0, 0)
