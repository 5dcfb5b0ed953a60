"""Plans for many mailboxes at once are those that each would get alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import system
from mailstore import planning, purging, retrievals, rules, sweeping
from mailstore.engine import OutcomeUnknown, looking
from mailstore.engine.memory import MemoryEngine
from mailstore.models import Mailbox, PurgeBatch, PurgeRun, RetentionPolicy, WorkState
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class HangsUpOnMany(MemoryEngine):
    """A server on which one question ends the whole request."""

    def folder_states_each(self, *, users, removed=False):
        raise OutcomeUnknown("It hung up.")


def many(cast, twin, count, *ages, protocol="imap", name="box"):
    made = [make_mailbox(cast.domain, f"{name}-{protocol}{n}", protocol) for n in range(count)]
    for number, mailbox in enumerate(made):
        twin.know(mailbox.address)
        twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
        folders = twin.accounts[mailbox.address].folders
        for age in ages:
            raw = f"Message-ID: <{number}-{age}@x.test>\r\n\r\n{age}\r\n".encode()
            folders["INBOX" if protocol == "pop" else "Junk"].append(raw, at=NOW - age * DAY)
    return made


def plans():
    return {
        (
            run.mailbox.address,
            run.kind,
            run.policy_version,
            tuple((b.folder, b.uidvalidity, b.in_store, str(b.items)) for b in run.batches.all()),
        )
        for run in PurgeRun.objects.select_related("mailbox")
    }


def statements_of(work):
    with CaptureQueriesContext(connection) as asked:
        work()
    return len(asked)


def test_plans_made_together_are_those_made_alone(cast, twin):
    mailboxes = many(cast, twin, 3, 31, 32, 2)
    fetching = many(cast, twin, 2, 400, protocol="pop")
    own = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=32)
    rules.set_rule(actor=system("tests"), target=mailboxes[1], rule=own, at=NOW)
    Mailbox.objects.filter(pk=mailboxes[2].pk).update(
        former_policy=RetentionPolicy.objects.get(slug="pop")
    )
    for mailbox in fetching[:1]:
        inbox = twin.accounts[mailbox.address].folders["INBOX"]
        object.__setattr__(inbox.kept[0], "flags", frozenset({"\\Seen"}))
        retrievals.note(mailbox=mailbox, engine=twin, at=NOW - 31 * DAY)

    assert sweeping.plan_due(engine=twin, at=NOW) == 5
    together = plans()
    moments = dict(Mailbox.objects.values_list("address", "retention_due_at"))
    PurgeBatch.objects.all().delete()
    PurgeRun.objects.all().delete()
    for mailbox in Mailbox.objects.all():
        purging.plan_retention(mailbox=mailbox, engine=twin, at=NOW)

    assert plans() == together
    assert dict(Mailbox.objects.values_list("address", "retention_due_at")) == moments
    assert {address for address, *_rest in together} == {
        mailboxes[0].address,
        mailboxes[1].address,
        fetching[0].address,
    }


def test_store_is_emptied_by_plans_made_together(cast, twin):
    mailboxes = many(cast, twin, 3, 31)
    sweeping.plan_due(engine=twin, at=NOW)
    sweeping.run_open(engine=twin, now=lambda: NOW)
    later = datetime.now(tz=UTC) + (mailboxes[0].window_days + 1) * DAY
    Mailbox.objects.update(retention_due_at=later + DAY, store_due_at=later)
    twin.accounts[mailboxes[2].address].store.clear()

    assert sweeping.plan_due(engine=twin, at=later) == 3
    sweeping.run_open(engine=twin, now=lambda: later)

    done = PurgeRun.objects.filter(kind="store", state=WorkState.DONE)
    assert sorted(run.mailbox.address for run in done) == [m.address for m in mailboxes[:2]]
    assert set(Mailbox.objects.values_list("store_due_at", flat=True)) == {None}


def test_the_number_of_statements_does_not_grow_with_what_is_planned(cast, twin):
    counts = []
    for name, size in (("few", 1), ("more", 20)):
        many(cast, twin, size, 31, name=name)
        counts.append(statements_of(lambda: sweeping.plan_due(engine=twin, at=NOW)))

    assert PurgeRun.objects.count() == 21
    assert counts[0] == counts[1]


def test_mailbox_that_the_server_does_not_know_holds_up_nobody(cast, twin, caplog):
    mailboxes = many(cast, twin, 3, 31)
    del twin.accounts[mailboxes[1].address]

    assert sweeping.plan_due(engine=twin, at=NOW) == 2

    planned = PurgeRun.objects.values_list("mailbox", flat=True)
    assert sorted(planned) == [mailboxes[0].pk, mailboxes[2].pk]
    assert f"The work of looking by the rules fails for {mailboxes[1]}" in caplog.text


def test_mailbox_that_goes_between_two_questions_is_left_out(cast, twin):
    mailboxes = many(cast, twin, 2, 31)

    def forgetful(state):
        twin.accounts.pop(mailboxes[0].address, None)
        return looking.MessageSearch(user=mailboxes[0].address, folder=state.folder)

    choices = {mailbox.address: forgetful for mailbox in mailboxes[:1]}

    assert list(looking.look_each(engine=twin, choices=choices)) == [{}]


def test_server_that_hangs_up_on_many_is_asked_for_each_alone(cast):
    twin = HangsUpOnMany()
    many(cast, twin, 3, 31)

    assert sweeping.plan_due(engine=twin, at=NOW) == 3
    assert PurgeRun.objects.count() == 3


def test_run_that_is_open_already_does_not_hold_up_the_others(cast, twin):
    mailboxes = many(cast, twin, 3, 31)
    purging.plan_retention(mailbox=mailboxes[1], engine=twin, at=NOW)

    for drafts in planning.by_rules_each(mailboxes=mailboxes, engine=twin, at=NOW):
        planning.settle_each(drafts, at=NOW)

    planned = PurgeRun.objects.values_list("mailbox", flat=True)
    assert sorted(planned) == [mailbox.pk for mailbox in mailboxes]


def test_messages_held_at_one_time_are_bounded(cast, twin, monkeypatch):
    monkeypatch.setattr(looking, "_MESSAGES_AT_ONCE", 5)
    mailboxes = many(cast, twin, 4, 31, 32)

    found = list(planning.by_rules_each(mailboxes=mailboxes, engine=twin, at=NOW))

    assert [len(drafts) for drafts in found] == [2, 2]
    monkeypatch.setattr(looking, "_MESSAGES_AT_ONCE", 1)
    found = list(planning.by_rules_each(mailboxes=mailboxes, engine=twin, at=NOW))
    assert [len(drafts) for drafts in found] == [1, 1, 1, 1]


def test_only_named_runs_are_worked_off(cast, twin):
    many(cast, twin, 3, 31)
    sweeping.plan_due(engine=twin, at=NOW)
    keys = list(PurgeRun.objects.order_by("pk").values_list("pk", flat=True))

    assert sweeping.run_open(engine=twin, now=lambda: NOW, keys=keys[:2]) == 2

    open_runs = PurgeRun.objects.open().values_list("pk", flat=True)
    assert list(open_runs) == keys[2:]
