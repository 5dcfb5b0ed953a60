"""The database refuses to remove holds, and to change or remove receipts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts.access import system
from mailstore import holding, purging, settled
from mailstore.engine.memory import Folder
from mailstore.models import Hold, PurgeBatch, PurgeRun, WorkState
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(databases="__all__")
SYSTEM = system("tests")


def refused(work, match):
    with pytest.raises(DatabaseError, match=match), transaction.atomic():
        work()


@pytest.fixture
def hold(cast):
    return holding.place(
        actor=SYSTEM, by=cast.sam, scope=cast.domain, matter="Case 7", reason="A court.", at=AT
    )


@pytest.fixture
def run(cast, twin):
    mailbox = make_mailbox(cast.domain)
    junk = twin.know(mailbox.address).folders.setdefault("Junk", Folder())
    junk.append(b"Message-ID: <1@x.test>\r\n\r\nx\r\n", at=AT - timedelta(days=31))
    run = purging.plan_retention(mailbox=mailbox, engine=twin, at=AT)
    assert run is not None
    return run


@pytest.fixture
def done(run, twin):
    assert purging.work_off(run=run, engine=twin, now=lambda: AT)
    run.refresh_from_db()
    return run


def test_hold_is_never_removed(hold):
    refused(hold.delete, "released once")
    refused(lambda: Hold.objects.all().delete(), "released once")


@pytest.mark.parametrize(
    "change", [{"matter": "x"}, {"reason": "x"}, {"placed_at": AT + timedelta(1)}, {"domain": None}]
)
def test_what_was_held_stays(hold, change):
    refused(lambda: Hold.objects.filter(pk=hold.pk).update(**change), "released once")


def test_release_is_said_once(hold, cast):
    holding.release(actor=SYSTEM, by=cast.rita, hold=hold, reason="over", at=AT)

    again = {"released_at": None, "released_by": None}
    refused(lambda: Hold.objects.filter(pk=hold.pk).update(**again), "released once")
    refused(lambda: Hold.objects.filter(pk=hold.pk).update(release_reason="x"), "released once")
    refused(hold.delete, "released once")


@pytest.mark.parametrize("change", [{"messages": 77}, {"state": "planned"}, {"failure": "x"}])
def test_receipt_stays(done, change):
    refused(lambda: PurgeRun.objects.filter(pk=done.pk).update(**change), "written once")


@pytest.mark.parametrize("change", [{"items": []}, {"state": "planned"}, {"folder": "x"}])
def test_what_was_removed_stays_on_the_receipt(done, change):
    refused(lambda: PurgeBatch.objects.filter(run=done).update(**change), "written once")


def test_receipt_is_never_removed(done):
    refused(lambda: PurgeBatch.objects.all().delete(), "written once")
    with connection.cursor() as cursor:
        refused(lambda: cursor.execute("DELETE FROM mailstore_purgerun"), "written once")


def test_run_that_was_called_off_stays_so(run):
    purging.cancel(actor=SYSTEM, run=run, at=AT)

    refused(lambda: PurgeRun.objects.update(state=WorkState.PLANNED), "written once")
    refused(lambda: PurgeRun.objects.filter(pk=run.pk).update(messages=1), "written once")


def test_guards_are_made_anew_by_every_migration(done, hold):
    with connection.cursor() as cursor:
        for guard in settled.GUARDS:
            for statement in guard.let_go(connection.vendor):
                cursor.execute(statement)

    for alias in [*connections, *connections]:
        settled.hold(using=alias)

    refused(hold.delete, "released once")
    refused(lambda: PurgeBatch.objects.all().delete(), "written once")
