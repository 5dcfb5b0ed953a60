from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from accounts import membership, outbox
from accounts.models import Membership, Organisation, Setback, User
from hosting import demo, doctor, invoicing, ledger, tasks
from hosting.models import Invoice, Pulse
from mailstore import health
from mailstore import tasks as mail_tasks
from mailstore.models import (
    Alarm,
    Domain,
    Drift,
    FullSweep,
    Mailbox,
    PurgeRun,
    Recount,
    RestoreRun,
    Usage,
)
from tests.factories import PASSWORD, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def said_by(*command, **options):
    output = StringIO()
    call_command(*command, stdout=output, **options)
    return output.getvalue()


@pytest.fixture
def demo_folder(settings, tmp_path):
    settings.SECRETS_FOLDER = tmp_path
    return tmp_path


def test_demo_is_made_once(demo_folder):
    assert said_by("load_demo") == "The demo was made.\n"
    assert said_by("load_demo") == "There is something here already.\n"

    assert set(Mailbox.objects.values_list("protocol", flat=True)) == {"pop", "imap"}
    assert Domain.objects.filter(state="confirmed").count() == 2
    assert User.objects.get(is_staff=True).email == "sam@restante.test"
    assert len(demo.sign_ins()) == User.objects.count() + Mailbox.objects.count()
    assert demo.sign_ins_path().stat().st_mode & 0o077 == 0


def test_demo_has_a_past_of_use_bills_and_payments(demo_folder):
    demo.load(at=datetime(2026, 11, 25, 10, tzinfo=UTC))

    bills = Invoice.objects.select_related("customer", "open_item")
    assert {
        (str(bill.customer), bill.period.month, ledger.open_minor(bill) == 0) for bill in bills
    } == {
        (customer, month, month == 9)
        for customer in ("Alder Books", "Juniper Garden", "Rowan Hosting")
        for month in (9, 10)
    }
    assert [found for bill in bills for found in invoicing.verify(bill)] == []


def test_without_a_demo_there_are_no_sign_ins(demo_folder):
    assert demo.sign_ins() == []


def test_demo_letters_arrive(demo_folder, twin):
    demo.load(at=doctor.timezone.now())
    for mailbox in Mailbox.objects.all():
        twin.know(mailbox.address)

    assert said_by("load_demo", letters=True) == "15 letters delivered.\n"

    assert len(twin.accounts["hello@alder.test"].folders["INBOX"].raws) == 5


def test_demo_letters_need_a_mail_server(demo_folder, twin):
    demo.load(at=doctor.timezone.now())
    twin.is_down = True

    with pytest.raises(CommandError, match="Is Dovecot running"):
        call_command("load_demo", letters=True)


def test_doctor_says_what_is_wrong_and_what_to_do(db, twin, monkeypatch):
    monkeypatch.setattr(doctor, "_PATIENCE_SECONDS", 0)
    twin.is_down = True
    output = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=output)

    assert ended.value.code == 1
    said = output.getvalue()
    assert "wrong worker: No worker did a small task" in said
    assert "wrong beat: Nothing that beat plans was done lately." in said
    assert "wrong dovecot: The mail server cannot be reached." in said
    assert "wrong ports: Nothing answers for" in said
    assert "Start bin/run" in said
    assert not Domain.objects.exists()


def test_doctor_speaks_json(db, twin, monkeypatch):
    monkeypatch.setattr(doctor, "_PATIENCE_SECONDS", 0)
    output = StringIO()

    with pytest.raises(SystemExit):
        call_command("doctor", json=True, stdout=output)

    report = json.loads(output.getvalue())
    assert report["well"] is False
    assert {check["name"] for check in report["checks"]} == set(doctor.CHECKS)


def test_doctor_finds_what_the_sweeps_could_not_do(cast):
    mailbox = make_mailbox(cast.domain)
    now = doctor.timezone.now()
    MigrationRecorder.Migration.objects.update(applied=now)
    later = now + timedelta(days=1)
    Mailbox.objects.update(retention_due_at=later)
    assert "not yet" in doctor.CHECKS["purges"]()

    MigrationRecorder.Migration.objects.update(applied=now - timedelta(days=15))
    with pytest.raises(doctor.Ailment, match="There was no full sweep yet"):
        doctor.CHECKS["purges"]()
    sweep = FullSweep.objects.create(started_at=now, finished_at=now, looked_at=3, missed=2)
    with pytest.raises(doctor.Ailment, match="found 2 mailboxes"):
        doctor.CHECKS["purges"]()
    FullSweep.objects.filter(pk=sweep.pk).update(missed=0)
    alarm = {"at": now, "since": now, "messages": 9, "bytes": 9, "reason": "x"}
    Alarm.objects.create(mailbox=mailbox, **alarm)
    with pytest.raises(doctor.Ailment, match="owners of 1 frozen"):
        doctor.CHECKS["purges"]()
    Alarm.objects.update(owners_told=1)
    Setback.objects.create(
        work=health.BY_RULES,
        row_id=mailbox.pk,
        name=mailbox.address,
        organisation=cast.customer,
        failure="EngineRefused: no",
        failed_first_at=now,
        failed_at=now,
        next_try_at=later,
    )
    with pytest.raises(doctor.Ailment, match="such as hello@alder") as ailment:
        doctor.CHECKS["purges"]()
    assert ailment.value.remedy.startswith("It says: EngineRefused: no")


def test_doctor_says_how_purging_is_doing(cast):
    now = doctor.timezone.now()
    frozen, failed = make_mailbox(cast.domain, "frozen"), make_mailbox(cast.domain, "failed")
    Mailbox.objects.filter(pk=frozen.pk).update(
        frozen_at=now, store_bytes=5000, retention_due_at=now
    )
    Mailbox.objects.filter(pk=failed.pk).update(retention_due_at=now + timedelta(days=1))
    FullSweep.objects.create(started_at=now, finished_at=now)
    assert doctor.CHECKS["purges"]() == (
        f"0 due, 0 running, 0 paused, lag 0 min, last full sweep {now:%Y-%m-%d}, 1 frozen, "
        "0 held, 5 kB recoverable"
    )

    FullSweep.objects.update(started_at=now - timedelta(days=15))
    with pytest.raises(doctor.Ailment, match="The last full sweep began on"):
        doctor.CHECKS["purges"]()
    old = now - timedelta(hours=1)
    Mailbox.objects.filter(pk=failed.pk).update(retention_due_at=old)
    with pytest.raises(doctor.Ailment, match="Purging is 60 minutes behind"):
        doctor.CHECKS["purges"]()
    PurgeRun.objects.create(mailbox=failed, kind="store", planned_at=old, failure="It is full.")
    with pytest.raises(doctor.Ailment, match="1 purges or restores do not get on") as ailment:
        doctor.CHECKS["purges"]()
    assert ailment.value.remedy.startswith("It says: It is full.")

    PurgeRun.objects.update(failure="")
    RestoreRun.objects.create(mailbox=failed, planned_at=now, planned_by="A", failure="Too full.")
    with pytest.raises(doctor.Ailment) as ailment:
        doctor.CHECKS["purges"]()
    assert ailment.value.remedy.startswith("It says: Too full.")


def test_doctor_warns_of_a_full_disk(settings, monkeypatch):
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", 10**18)

    with pytest.raises(doctor.Ailment, match="are free at"):
        doctor.CHECKS["disk"]()


def test_doctor_tells_of_the_recount(db):
    assert doctor.CHECKS["meter"]() == "not recounted yet"
    now = timezone.now()
    run = Recount.objects.create(started_at=now - timedelta(hours=9), looked_at=7, unanswered=1)
    Drift.objects.create(
        username="a@x.test", since=1, until=int(now.timestamp()), noted_bytes=1, true_bytes=2
    )
    assert doctor.CHECKS["meter"]() == "recounted 7 mailboxes, 1 silent, 1 had drifted"
    Recount.objects.filter(pk=run.pk).update(started_at=now - timedelta(days=3))

    with pytest.raises(doctor.Ailment, match="The last recount began at"):
        doctor.CHECKS["meter"]()


def test_doctor_finds_meters_that_stand_still(db):
    soon = int(timezone.now().timestamp()) + 5_000
    Usage.objects.create(username="a@x.test", bytes=1, since=soon)

    with pytest.raises(doctor.Ailment, match="The meter of 1 addresses is ahead of the clock"):
        doctor.CHECKS["meter"]()


def test_role_is_for_postgresql_only(db):
    with pytest.raises(CommandError, match="Only PostgreSQL has roles"):
        call_command("create_mail_role")


def test_pulse_is_kept_by_name(db):
    tasks.record_pulse(name="beat")
    tasks.record_pulse(name="beat")

    assert str(Pulse.objects.get()) == "beat"


def test_expired_sessions_are_forgotten(db):
    tasks.forget_expired_sessions()


def test_tasks_of_mail_may_run_any_number_of_times(cast, twin):
    mailbox = make_mailbox(cast.domain, is_ready=False)
    twin.know(mailbox.address)

    for _ in range(2):
        mail_tasks.provision_mailbox(mailbox_id=mailbox.pk)
        mail_tasks.end_sessions(mailbox_id=mailbox.pk)
        mail_tasks.provision_pending()
        mail_tasks.end_due_sessions()
        mail_tasks.erase_closed()
        mail_tasks.watch_quotas()
        mail_tasks.read_mail_log()
        mail_tasks.send_quota_warnings()
        mail_tasks.end_grace_of_full()
    mail_tasks.provision_mailbox(mailbox_id=0)
    mail_tasks.end_sessions(mailbox_id=0)

    mailbox.refresh_from_db()
    assert mailbox.state == "active"


def test_a_broker_that_is_away_is_logged_and_no_reason_to_fail(
    db, monkeypatch, caplog, django_capture_on_commit_callbacks
):
    def refuse(*args, **kwargs):
        raise OSError("no broker")

    monkeypatch.setattr(outbox.current_app, "send_task", refuse)

    with caplog.at_level(logging.WARNING), django_capture_on_commit_callbacks(execute=True):
        outbox.nudge("mailstore.provision_pending")

    assert "No worker was nudged for mailstore.provision_pending: no broker" in caplog.text


def test_things_have_names(cast):
    mailbox = make_mailbox(cast.domain)

    assert str(mailbox.contracts.get()) == "hello@alder.test · IMAP"
    assert str(Organisation.objects.get(kind="provider")) == "Restante"
    assert str(Membership.objects.get(user=cast.bob)) == "bob@example.test · Alder · Read only"
    assert str(cast.customer.events.first()).startswith("member.added")


def test_staff_are_appointed_on_the_command_line(capsys, cast, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))

    call_command("appoint_staff", "Tess@Example.test", role="support", dry_run=True)
    assert not User.objects.filter(email="tess@example.test").exists()
    call_command("appoint_staff", "Tess@Example.test", role="support")
    tess = User.objects.get(email="tess@example.test")
    before = membership.actor_for(tess).staff_role
    call_command("appoint_staff", tess.email)
    tess.refresh_from_db()

    assert (before, membership.actor_for(tess).staff_role) == ("support", "operator")
    assert tess.check_password(PASSWORD)
    assert "has the role operator of Restante." in capsys.readouterr().out
    with pytest.raises(CommandError, match="no e-mail address"):
        call_command("appoint_staff", "x")
    call_command("appoint_staff", cast.sam.email, role="support")
    with pytest.raises(CommandError, match="last operator"):
        call_command("appoint_staff", tess.email, role="support")


@pytest.mark.parametrize("dry_run", [True, False])
def test_nobody_becomes_staff_who_took_an_address_that_is_not_theirs(cast, dry_run):
    eve = User.objects.create_user("tess@example.test", PASSWORD)

    with pytest.raises(CommandError, match="confirm the address first"):
        call_command("appoint_staff", "Tess@example.test", dry_run=dry_run)
    eve.refresh_from_db()
    before = eve.is_staff, membership.actor_for(eve).staff_role
    User.objects.filter(pk=eve.pk).update(email_verified_at=timezone.now())
    call_command("appoint_staff", "tess@example.test", role="support")

    eve.refresh_from_db()
    assert before == (False, "")
    assert membership.actor_for(eve).staff_role == "support"


def test_nobody_is_appointed_before_there_is_a_house(db):
    with pytest.raises(CommandError, match="provider first"):
        call_command("appoint_staff", "tess@example.test")


def test_superuser_is_staff(db):
    user = User.objects.create_superuser("ROOT@example.test", "some plain words")

    assert (user.email, user.is_staff, user.is_superuser) == ("root@example.test", True, True)
    user.email = " Root@Example.test "
    user.clean()
    assert (user.email, user.get_short_name()) == ("root@example.test", "root@example.test")
    assert User.objects.get_by_natural_key("ROOT@example.test") == user
