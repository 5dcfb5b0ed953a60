"""Purges, restores and their receipts in the staff pages, and the page about all of purging."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import system
from mailstore import holding, purging, receipts, recovery, rules, sweeping
from mailstore.engine import RemovedSearch
from mailstore.models import FullSweep, Hold, Mailbox, PurgeBatch, PurgeRun, RestoreRun
from mailstore.policy import CountedFrom, Rule
from tests.factories import make_domain, make_mailbox
from tests.staffing import act, facts, in_role, lines_of, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

RUNS = "/staff/mailstore/purgerun/"
RESTORES = "/staff/mailstore/restorerun/"
HEALTH = f"{RUNS}health/"
DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def mailbox(cast, twin, now):
    """Hello, with two messages in Junk that are due and one that is not."""
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    for age in (40, 35, 3):
        raw = f"Message-ID: <{age}@x.test>\r\n\r\n{age}\r\n".encode()
        twin.accounts[mailbox.address].folders["Junk"].append(raw, at=now - age * DAY)
    return mailbox


@pytest.fixture
def run(mailbox, twin, now):
    return purging.plan_retention(mailbox=mailbox, engine=twin, at=now - timedelta(minutes=3))


def work_off(run, twin, now):
    assert purging.work_off(run=run, engine=twin, now=lambda: now)
    run.refresh_from_db()


def page_of(client, run, base=RUNS):
    return client.get(f"{base}{run.pk}/change/")


def table(page, number):
    return [list(row.cells) for row in page.context["tables"][number].rows]


def test_finished_run_shows_its_receipt_folder_by_folder(staff, run, twin, now):
    work_off(run, twin, now)

    page = page_of(staff, run)

    [receipt] = receipts.of(run)
    assert table(page, 0) == [
        ["Junk", str(receipt.uidvalidity), 2, f"{run.bytes} B", receipt.digest, "1:2"]
    ]
    assert table(page, 1) == [[1, "Junk", 2, "Done", PurgeBatch.objects.get().done_at]]
    text = page.content.decode()
    assert run.policy_version in text
    assert "the plan, \\Junk: 30 days from arrival" in text


def test_removed_mail_is_named_in_the_receipt_of_the_recovery_window(
    staff, run, mailbox, twin, now
):
    work_off(run, twin, now)
    later = now + 90 * DAY
    last = purging.plan_store(mailbox=mailbox, engine=twin, at=later)
    work_off(last, twin, later)

    page = page_of(staff, last)

    assert table(page, 0)[0][0] == "Junk (removed mail)"
    assert "Removed mail can be brought back for 30 days." in page.content.decode()


def test_planned_run_has_no_receipt_yet(staff, run):
    page = page_of(staff, run)

    assert table(page, 0) == []
    assert b"Nothing has been removed." in page.content
    assert [row[3] for row in table(page, 1)] == ["Planned"]


def test_only_the_first_batches_of_many_are_shown(staff, run):
    PurgeBatch.objects.bulk_create(
        PurgeBatch(run=run, position=position, folder="Junk") for position in range(1, 150)
    )

    page = page_of(staff, run)

    assert len(table(page, 1)) == 100
    assert b"The first 100 are shown." in page.content


def test_run_is_paused_resumed_and_cancelled_by_the_verbs(staff, cast, run):
    offered = [page_of(staff, run).context["row_actions"]]
    paused = act(staff, "pause", run, path=RUNS)
    offered.append(page_of(staff, run).context["row_actions"])
    resumed = act(staff, "resume", run, path=RUNS)
    act(staff, "pause", run, path=RUNS)
    cancelled = act(staff, "cancel", run, path=RUNS)

    assert [[name for name, _label in each] for each in offered] == [
        ["pause", "cancel"],
        ["resume", "cancel"],
    ]
    assert said(paused) == ["Runs that stop before their next batch: 1."]
    assert said(resumed) == ["Runs that go on where they stopped: 1."]
    assert said(cancelled) == ["Runs that are given up, with nothing removed: 1."]
    assert PurgeRun.objects.get().state == "cancelled"
    assert facts("purge.cancelled") == [("hello@alder.test", cast.sam.email)]


def test_refusals_of_the_verbs_are_messages(staff, run, twin, now):
    moved_on = "This has moved on meanwhile, so that cannot be done now."
    PurgeBatch.objects.update(state="doing")

    begun = act(staff, "cancel", run, path=RUNS)
    early = act(staff, "resume", run, path=RUNS)
    work_off(run, twin, now)
    late = act(staff, "pause", run, path=RUNS)

    assert said(begun) == ["Part of this has been removed already. Pause it instead."]
    assert said(early) == said(late) == [moved_on]
    assert PurgeRun.objects.get().state == "done"


def test_finished_run_never_changes_not_even_for_a_superuser(staff, run, twin, now):
    work_off(run, twin, now)
    before = PurgeRun.objects.values().get()

    for action in ("pause", "resume", "cancel", "delete_selected"):
        act(staff, action, run, path=RUNS, post="yes")
    for what in ("change", "delete"):
        assert staff.post(f"{RUNS}{run.pk}/{what}/", {"state": "planned"}).status_code == 403
    assert staff.post(f"{RUNS}add/", {"mailbox": run.mailbox_id}).status_code == 403

    assert PurgeRun.objects.values().get() == before
    assert page_of(staff, run).context["row_actions"] == []


def test_whoever_may_only_look_at_runs_does_not_act(cast, run):
    client = in_role(cast.sam, "support")

    act(client, "pause", run, path=RUNS)

    assert page_of(client, run).context["row_actions"] == []
    assert client.get(HEALTH).status_code == 200
    assert PurgeRun.objects.get().state == "planned"


def test_runs_are_narrowed_by_progress_and_exported(staff, cast, run, twin, now):
    late, failed = (make_mailbox(cast.domain, name) for name in ("late", "failed"))
    old = now - timedelta(hours=2)
    for mailbox, failure in ((late, ""), (failed, "The disk is full.")):
        PurgeRun.objects.create(mailbox=mailbox, kind="store", planned_at=old, failure=failure)
    work_off(run, twin, now)

    def found(**query):
        return [run.mailbox.local_part for run in staff.get(RUNS, query).context["cl"].result_list]

    assert found() == ["failed", "late", "hello"]
    assert found(progress="open") == ["failed", "late"]
    assert found(progress="late") == ["late"]
    assert found(progress="failed") == ["failed"]
    assert found(q="hello") == ["hello"]
    header, *lines = lines_of(staff.get(f"{RUNS}export/?state__exact=done"))
    line = dict(zip(header, lines[0], strict=True))
    assert (len(lines), line["messages"], line["kind"]) == (1, "2", "retention")


@pytest.mark.parametrize("count", [1, 3])
def test_list_of_runs_takes_as_many_queries_for_one_as_for_many(staff, cast, count, now):
    for number in range(count):
        mailbox = make_mailbox(make_domain(f"d{number}.test", cast.customer))
        PurgeRun.objects.create(mailbox=mailbox, kind="store", planned_at=now)

    # The session, the user, the device, and the runs with their mailboxes.
    with CaptureQueriesContext(connection) as queries:
        staff.get(RUNS)
    assert len(queries) == 4


def test_restore_is_only_read(staff, cast, run, twin, now):
    mailbox = run.mailbox
    work_off(run, twin, now)
    search = RemovedSearch()
    chosen = [(m.folder, m.uid) for m in twin.removed_mail(user=mailbox.address, search=search)]
    restore = recovery.restore(
        actor=cast.actor(cast.alice), mailbox=mailbox, engine=twin, chosen=chosen, at=now
    )

    page = page_of(staff, restore, RESTORES)

    assert table(page, 0) == [[1, "Junk", 2, "Planned", ""]]
    assert page.context["row_actions"] == []
    changed = staff.post(f"{RESTORES}{restore.pk}/change/", {"state": "done"})
    assert changed.status_code == 403
    assert RestoreRun.objects.get().state == "planned"


# The state of purging -------------------------------------------------------------------


def figures(page):
    return {figure.name: figure.value for figure in page.context["figures"]}


def test_quiet_house_says_so(staff, cast):
    page = staff.get(HEALTH)

    assert b"Purging is on time." in page.content
    assert set(figures(page).values()) == {"0", "0 minutes", "never yet", "0 B"}
    assert [table(page, number) for number in range(7)] == [[]] * 7


def test_page_tells_what_is_due_late_failed_frozen_and_held(staff, cast, mailbox, run, now):
    due, late, frozen = (make_mailbox(cast.domain, name) for name in ("due", "late", "frozen"))
    failed = make_mailbox(cast.other_domain, "failed")
    old = now - timedelta(hours=2)
    Mailbox.objects.filter(pk=due.pk).update(retention_due_at=old, store_bytes=5000)
    Mailbox.objects.filter(pk=frozen.pk).update(frozen_at=old)
    PurgeRun.objects.create(mailbox=late, kind="store", planned_at=old)
    PurgeRun.objects.create(
        mailbox=failed, kind="store", planned_at=old, failure="The disk is full."
    )
    PurgeRun.objects.filter(pk=run.pk).update(state="paused")
    Hold.objects.create(
        organisation=cast.reseller, matter="Case 7", reason="x", placed_by=cast.sam, placed_at=old
    )
    FullSweep.objects.create(started_at=old, finished_at=now, looked_at=6, missed=1)

    page = staff.get(HEALTH)

    shown = figures(page)
    assert (shown["Due"], shown["Lag"]) == ("1", "120 minutes")
    assert (shown["Running or planned"], shown["Paused"], shown["Late"]) == ("2", "1", "1")
    assert (shown["Failed"], shown["Frozen mailboxes"], shown["Held mailboxes"]) == ("1", "1", "4")
    assert shown["Last full sweep"] == now
    assert shown["Recoverable store"] == "5 kB"
    names = [[row[0].partition("@")[0] for row in table(page, number)] for number in range(7)]
    assert names == [
        ["failed"],
        ["late"],
        ["hello", "late", "failed"],
        [],
        ["due"],
        ["frozen"],
        ["Case 7"],
    ]
    text = page.content.decode()
    assert "The disk is full." in text
    assert "Purging is late" in text
    assert "Rowan and all below" in text
    for figure in page.context["figures"]:
        assert not figure.url or staff.get(figure.url).status_code == 200


def test_mailbox_whose_rules_changed_counts_as_due_until_it_was_looked_at(
    staff, mailbox, twin, now
):
    Mailbox.objects.update(retention_due_at=now + DAY)
    assert figures(staff.get(HEALTH))["Due"] == "0"

    keeps = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=90)
    rules.set_rule(actor=system("t"), target=mailbox, rule=keeps, at=now)

    page = staff.get(HEALTH)
    assert figures(page)["Due"] == "1"
    assert "new or with new rules: 1" in page.content.decode()
    sweeping.plan_due(engine=twin, at=now)
    assert figures(staff.get(HEALTH))["Due"] == "0"


def test_run_that_a_hold_stops_has_not_failed(staff, cast, run, now):
    PurgeRun.objects.filter(pk=run.pk).update(failure="hello@alder.test is held: Case 7.")
    assert b"Some runs have failed" in staff.get(HEALTH).content

    Hold.objects.create(
        organisation=cast.reseller, matter="Case 7", reason="x", placed_by=cast.sam, placed_at=now
    )

    assert b"Some runs have failed" not in staff.get(HEALTH).content


def test_failure_alone_is_told_without_calling_purging_late(staff, cast, now):
    mailbox = make_mailbox(cast.domain)
    PurgeRun.objects.create(mailbox=mailbox, kind="store", planned_at=now, failure="Held.")

    assert b"Some runs have failed" in staff.get(HEALTH).content


@pytest.mark.parametrize("count", [1, 30])
def test_page_takes_as_many_queries_for_one_mailbox_as_for_many(staff, cast, now, count):
    for number in range(count):
        mailbox = make_mailbox(cast.domain, f"box{number}")
        Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=now, retention_due_at=now)
        PurgeRun.objects.create(mailbox=mailbox, kind="store", planned_at=now, failure="x")
        Hold.objects.create(
            mailbox=mailbox, matter="x", reason="x", placed_by=cast.sam, placed_at=now
        )

    # Three for who asks, sixteen for the report, one for the store, six for the tables.
    with CaptureQueriesContext(connection) as queries:
        staff.get(HEALTH)
    assert len(queries) == 26


def test_state_of_purging_is_linked_where_staff_begin(staff):
    assert f'href="{HEALTH}"' in staff.get("/staff/").content.decode()
    assert f'href="{HEALTH}"' in staff.get(RUNS).content.decode()


def test_state_of_purging_is_for_who_may_see_runs(cast):
    client = in_role(cast.sam, "staff_billing")

    assert client.get(HEALTH).status_code == 403
    assert HEALTH not in client.get("/staff/").content.decode()


def test_held_mailboxes_are_those_that_a_hold_reaches(cast, now):
    ours, theirs = make_mailbox(cast.domain), make_mailbox(cast.other_domain)
    other = make_mailbox(cast.domain, "other")

    def held_by(**scope):
        hold = Hold.objects.create(
            matter="x", reason="x", placed_by=cast.sam, placed_at=now, **scope
        )
        found = set(holding.held())
        assert found == {m for m in Mailbox.objects.all() if Hold.objects.standing().on(m)}
        holding.release(actor=system("tests"), by=cast.rita, hold=hold, reason="over", at=now)
        return found

    assert held_by(mailbox=ours) == {ours}
    assert held_by(domain=cast.domain) == {ours, other}
    assert held_by(organisation=cast.reseller) == {ours, other}
    assert held_by(organisation=cast.provider) == {ours, other, theirs}
    assert set(holding.held()) == set()
