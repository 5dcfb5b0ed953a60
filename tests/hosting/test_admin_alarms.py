"""Alarms of the tripwire and changes that cool off, in the staff pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Event
from mailstore import cooling, credentials
from mailstore.models import Alarm, AppPassword, Mailbox, PendingChange, Removal, RestoreRun
from tests.factories import make_domain, make_mailbox
from tests.staffing import act, facts, in_role, lines_of, said

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

ALARMS = "/staff/mailstore/alarm/"
CHANGES = "/staff/mailstore/pendingchange/"
REMOVALS = "/staff/mailstore/removal/"
WAIT = timedelta(hours=72)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def confirm(client, action, *rows, path, **fields):
    return act(client, action, *rows, path=path, confirmed="yes", **fields)


def errors_of(response):
    return response.context["form"].non_field_errors()


def page_of(client, row, path):
    return client.get(f"{path}{row.pk}/change/")


def offered(page):
    return [name for name, _label in page.context["row_actions"]]


# Alarms ---------------------------------------------------------------------------------


@pytest.fixture
def phone(cast, mailbox, now):
    issued = credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Old phone", at=now
    )
    return issued.app_password


@pytest.fixture
def alarm(mailbox, phone, twin, now):
    """The phone removed three messages, of which the log told, and the mailbox froze."""
    box = twin.accounts[mailbox.address].folders["INBOX"]
    for number in range(3):
        box.append(f"Subject: {number}\r\n\r\nx\r\n".encode(), at=now - timedelta(days=1))
    twin.remove(user=mailbox.address, folder="INBOX", uids=[1, 2, 3])
    since = now - timedelta(minutes=1)
    for device, messages in ((phone.uuid.hex, 1), ("-", 1), ("gone", 1), ("moved", 0)):
        Removal.objects.create(
            mailbox=mailbox,
            folder="INBOX",
            service="imap",
            session=device[:8],
            device=device,
            address="192.0.2.7",
            uids="1:3",
            messages=messages,
            bytes=messages * 1000,
            began_at=since,
            ended_at=since,
        )
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=now)
    return Alarm.objects.create(
        mailbox=mailbox, at=now, since=since, messages=3, bytes=3000, reason="3 messages went."
    )


def test_alarm_tells_who_from_where_and_how_much(staff, alarm):
    page = page_of(staff, alarm, ALARMS)

    [table] = page.context["tables"]
    assert [list(row.cells)[:6] for row in table.rows] == [
        ["Old phone", "192.0.2.7", "IMAP", "INBOX", 1, "1 kB"],
        ["The mailbox password", "192.0.2.7", "IMAP", "INBOX", 1, "1 kB"],
        ["gone", "192.0.2.7", "IMAP", "INBOX", 1, "1 kB"],
    ]
    assert "3 messages went." in page.content.decode()
    removal = staff.get(table.rows[0].url).content.decode()
    assert "Old phone" in removal
    assert offered(page) == ["dismiss", "roll_back"]


def test_alarm_of_which_the_log_is_gone_says_so(staff, alarm):
    Removal.objects.all().delete()

    assert b"The log of it is gone." in page_of(staff, alarm, ALARMS).content


def test_staff_unlock_a_mailbox_after_they_were_asked(staff, cast, alarm):
    asked = act(staff, "dismiss", alarm, path=ALARMS)
    assert Mailbox.objects.get().frozen_at is not None
    done = confirm(staff, "dismiss", alarm, path=ALARMS)
    again = confirm(staff, "dismiss", alarm, path=ALARMS)

    assert b"hello@alder.test: 3 messages went." in asked.content
    assert said(done) == ["Mailboxes that are unlocked, with nothing else changed: 1."]
    assert errors_of(again) == ["hello@alder.test: 3: This alarm was answered already."]
    assert Mailbox.objects.get().frozen_at is None
    assert Alarm.objects.get().answered_by == cast.sam.email
    assert facts("tripwire.answered") == [("hello@alder.test", cast.sam.email)]
    assert offered(page_of(staff, alarm, ALARMS)) == []


def test_staff_roll_back_and_lock_the_devices_out(staff, alarm, phone):
    done = confirm(staff, "roll_back", alarm, path=ALARMS)

    assert said(done) == ["Mailboxes that get back all that went: 1."]
    assert RestoreRun.objects.get().moment == alarm.since
    assert AppPassword.objects.get(pk=phone.pk).revoked_at is not None
    assert Alarm.objects.get().answer == "roll_back"


def test_roll_back_that_is_refused_changes_nothing(staff, alarm, phone, twin):
    Mailbox.objects.update(quota_bytes=1)
    tight = confirm(staff, "roll_back", alarm, path=ALARMS)
    Mailbox.objects.update(quota_bytes=10**9)
    twin.is_down = True
    down = confirm(staff, "roll_back", alarm, path=ALARMS)

    [error] = errors_of(tight)
    assert error.startswith("hello@alder.test: 3: 3 messages need ")
    assert errors_of(down) == [
        "hello@alder.test: 3: The mail server cannot be reached. Try again in a minute."
    ]
    assert Alarm.objects.open().count() == 1
    assert AppPassword.objects.get(pk=phone.pk).revoked_at is None
    assert not RestoreRun.objects.exists()


def test_alarms_are_found_by_answer_and_not_shown_without_the_right(cast, alarm, now):
    other = make_mailbox(cast.domain, "other")
    Alarm.objects.create(
        mailbox=other, at=now, since=now, messages=1, bytes=1, reason="x", answer="own_doing"
    )
    client = in_role(cast.sam, "support")

    def found(**query):
        rows = client.get(ALARMS, query).context["cl"].result_list
        return [row.mailbox.local_part for row in rows]

    assert found() == ["other", "hello"]
    assert found(answer="waiting") == ["hello"]
    assert found(answer="given") == ["other"]
    assert in_role(cast.sam, "staff_billing").get(ALARMS).status_code == 403


@pytest.mark.parametrize(("path", "queries_for_rows"), [(ALARMS, 1), (REMOVALS, 2), (CHANGES, 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_list_takes_as_many_queries_for_one_as_for_many(  # noqa: PLR0917
    staff, cast, count, path, queries_for_rows, now
):
    for number in range(count):
        mailbox = make_mailbox(make_domain(f"d{number}.test", cast.customer))
        moments = {"began_at": now, "ended_at": now}
        Removal.objects.create(mailbox=mailbox, messages=1, bytes=1, **moments)
        Alarm.objects.create(mailbox=mailbox, at=now, since=now, messages=1, bytes=1)
        cooling.ask_tripwire(
            actor=cast.actor(cast.alice), mailbox=mailbox, is_on=False, wait=WAIT, at=now
        )

    # The session, the user, the device, and the rows with whatever they name and filter by.
    with CaptureQueriesContext(connection) as queries:
        staff.get(path)
    assert len(queries) == 3 + queries_for_rows


# Changes that cool off -------------------------------------------------------------------


@pytest.fixture
def change(cast, mailbox, now):
    return cooling.ask_window(
        actor=cast.actor(cast.alice), mailbox=mailbox, window_days=3, wait=WAIT, at=now, now=now
    )


def test_change_is_let_through_with_a_reason_that_stays(staff, cast, change, twin, now):
    asked = act(staff, "shorten", change, path=CHANGES)
    bare = confirm(staff, "shorten", change, path=CHANGES, reason=" ")
    done = confirm(staff, "shorten", change, path=CHANGES, reason="The owner stood here.")

    assert b"asked for by alice@example.test" in asked.content
    assert bare.context["form"].errors == {"reason": ["This field is required."]}
    assert said(done) == ["Changes that take effect now: 1."]
    assert cooling.make_due(engine=twin, at=timezone.now()) == 1
    found = PendingChange.objects.get()
    assert (found.shortened_by, found.shortening_reason, found.state) == (
        cast.sam.email,
        "The owner stood here.",
        "made",
    )
    [event] = Event.objects.filter(kind="change.shortened")
    assert event.data["reason"] == "The owner stood here."
    page = page_of(staff, change, CHANGES)
    assert offered(page) == []
    assert "The owner stood here." in page.content.decode()


def test_change_is_called_off_once(staff, cast, change, twin):
    done = confirm(staff, "call_off", change, path=CHANGES)
    again = confirm(staff, "call_off", change, path=CHANGES)
    late = confirm(staff, "shorten", change, path=CHANGES, reason="x")

    assert said(done) == ["Changes that are called off: 1."]
    refusal = f"{change}: This change was made or called off already."
    assert errors_of(again) == errors_of(late) == [refusal]
    assert PendingChange.objects.get().ended_by == cast.sam.email
    assert Mailbox.objects.get().window_days == 30
    assert PendingChange.objects.get().shortened_by == ""


def test_several_changes_are_let_through_or_none(staff, cast, change, mailbox, now):
    other = cooling.ask_tripwire(
        actor=cast.actor(cast.alice), mailbox=mailbox, is_on=False, wait=WAIT, at=now
    )
    confirm(staff, "call_off", other, path=CHANGES)

    confirm(staff, "shorten", change, other, path=CHANGES, reason="x")

    change.refresh_from_db()
    assert (change.shortened_by, change.effective_at) == ("", now + WAIT)


def test_support_calls_a_change_off_and_does_not_cut_its_wait_short(cast, change):
    client = in_role(cast.sam, "support")

    confirm(client, "shorten", change, path=CHANGES, reason="x")

    assert offered(page_of(client, change, CHANGES)) == ["call_off"]
    assert PendingChange.objects.get().shortened_by == ""
    confirm(client, "call_off", change, path=CHANGES)
    assert PendingChange.objects.get().state == "called_off"


def test_change_is_not_edited_by_anybody(staff, change):
    changed = staff.post(f"{CHANGES}{change.pk}/change/", {"effective_at": "2020-01-01"})

    assert changed.status_code == 403
    assert staff.post(f"{CHANGES}add/", {"kind": "close"}).status_code == 403


def test_changes_are_searched_filtered_and_exported(staff, change):
    header, *lines = lines_of(staff.get(f"{CHANGES}export/?q=alder&state__exact=waiting"))

    line = dict(zip(header, lines[0], strict=True))
    assert (line["kind"], line["mailbox__address"]) == ("window", "hello@alder.test")
    assert line["what"] == '{"instead_of": 30, "window_days": 3}'
    assert lines_of(staff.get(f"{CHANGES}export/?state__exact=made"))[1:] == []
