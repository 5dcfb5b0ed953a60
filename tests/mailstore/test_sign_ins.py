"""The history of sign-ins: added up from the log, each line once, bounded, and forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailstore import logbook, networks, sign_ins
from mailstore.models import Device, LogPosition, Mailbox, Place, SignIn
from tests.factories import make_mailbox
from tests.mailstore.log_lines import PHONE, failed, fetched, held_back, login, refused

pytestmark = pytest.mark.django_db(databases="__all__")

HOUR = datetime(2026, 11, 30, 9, tzinfo=UTC)


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "dovecot.log"


@pytest.fixture
def read(log):
    def read(*lines):
        with log.open("a") as out:
            out.writelines(lines)
        logbook.read(path=log)

    return read


def rows(**chosen):
    columns = ("outcome", "address", "sign_ins", "ended", "fetched", "removed")
    return list(SignIn.objects.filter(**chosen).order_by("outcome", "pk").values_list(*columns))


def test_hour_goes_on_where_the_last_reading_ended(mailbox, read):
    read(login(at="09:00:01", service="pop3"), fetched(2, at="09:00:02", removed=1))
    read(login(at="09:30:00", service="pop3", session="later"), fetched(1, at="09:30:01"))

    [row] = SignIn.objects.all()
    assert (row.mailbox, row.hour_at, row.protocol, row.credential) == (mailbox, HOUR, "pop", PHONE)
    assert (row.sign_ins, row.ended, row.fetched, row.removed) == (2, 2, 3, 1)
    assert (row.first_at, row.last_at) == (
        HOUR.replace(second=1),
        HOUR.replace(minute=30, second=1),
    )
    assert row.session == "later"
    device = Device.objects.get()
    assert (device.sign_ins, device.first_at, device.last_at) == (2, row.first_at, row.last_at)
    assert device.last_removed_at == HOUR.replace(second=2)


def test_lines_in_the_wrong_order_keep_first_and_last(mailbox, read):
    read(login(at="09:30:00", address="198.51.100.9"))
    read(login(at="09:10:00", address="198.51.100.7"))

    device = Device.objects.get()
    assert (device.first_at, device.last_at) == (
        HOUR.replace(minute=10),
        HOUR.replace(minute=30),
    )
    assert device.last_address == "198.51.100.9"
    assert Place.objects.get().sign_ins == 2


def test_removal_of_before_stays_known(mailbox, read):
    read(fetched(1, removed=1, at="09:00:00"))
    read(fetched(1, at="10:00:00"))

    assert Device.objects.get().last_removed_at == HOUR


def test_what_was_read_is_not_read_again(mailbox, read, log):
    read(login(), failed())
    before = rows()
    read()
    text = log.read_text()
    log.unlink()
    read()
    log.write_text("")
    read()

    assert rows() == before
    assert text.count("\n") == 2


def test_position_and_history_are_written_together(mailbox, log, monkeypatch):
    log.write_text(login())

    def broken(_told):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(sign_ins, "note", broken)
        with pytest.raises(ZeroDivisionError):
            logbook.read(path=log)

    assert not LogPosition.objects.exclude(offset=0).exists()
    logbook.read(path=log)
    assert rows() == [("signed_in", "198.51.100.7", 1, 0, 0, 0)]


def test_much_is_taken_in_part_by_part(mailbox, log, monkeypatch):
    monkeypatch.setattr(logbook.maillog.rotation, "_MOST_AT_ONCE", 1000)
    log.write_text("".join(login(at=f"09:{minute:02}:00") for minute in range(60)))

    logbook.read(path=log)

    assert rows() == [("signed_in", "198.51.100.7", 60, 0, 0, 0)]


def test_patience_ends_and_the_rest_is_read_next_time(mailbox, log, monkeypatch):
    monkeypatch.setattr(logbook.maillog.rotation, "_MOST_AT_ONCE", 1000)
    monkeypatch.setattr(logbook, "_PATIENCE_SECONDS", -1.0)
    log.write_text("".join(login(at=f"09:{minute:02}:00") for minute in range(60)))

    logbook.read(path=log)
    assert 0 < rows()[0][2] < 60

    for _ in range(30):
        logbook.read(path=log)
    assert rows()[0][2] == 60


def test_guess_is_held_back_only_where_a_mailbox_password_could_be_right(mailbox, read):
    read(held_back(), failed(), held_back(at="09:50:00"))
    assert rows() == [("wrong_password", "203.0.113.9", 3, 0, 0, 0)]

    Mailbox.objects.filter(pk=mailbox.pk).update(password_hash="{ARGON2ID}x")
    read(held_back(at="09:55:00"))
    assert [row[:3] for row in rows()] == [
        ("throttled", "203.0.113.9", 1),
        ("wrong_password", "203.0.113.9", 3),
    ]


def test_nobodys_address_leaves_nothing(mailbox, read):
    read(login(user="nobody@alder.test"), failed(user="nobody@alder.test"))

    assert not SignIn.objects.exists()
    assert not Device.objects.exists()


def test_one_mailbox_never_gets_what_is_anothers(cast, mailbox, read):
    other = make_mailbox(cast.other_domain, "hello")
    names = [mailbox.address, other.address]
    lines = [
        login(user=names[minute % 2], at=f"09:{minute:02}:00", address=f"203.0.113.{minute % 2}")
        for minute in range(60)
    ]

    read(*lines, *(failed(user=name) for name in names for _ in range(3)))

    for each, address in ((mailbox, "203.0.113.0"), (other, "203.0.113.1")):
        assert rows(mailbox=each) == [
            ("signed_in", address, 30, 0, 0, 0),
            ("wrong_password", "203.0.113.9", 3, 0, 0, 0),
        ]
        assert Device.objects.get(mailbox=each).last_address == address


def test_earlier_mailbox_with_the_address_is_another(mailbox, read):
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=HOUR.replace(minute=30, microsecond=9))

    read(login(at="09:29:59"), login(at="10:00:00"), failed(at="09:29:59"))

    assert [row[2] for row in rows()] == [1]


def test_million_guesses_do_not_make_a_million_rows(mailbox, read):
    lines = [
        failed(address=f"203.0.{number // 250}.{number % 250}", at="09:10:00")
        for number in range(3000)
    ]
    read(*lines[:2000])
    read(*lines[2000:])

    found = rows()
    assert len(found) == sign_ins.MOST_ADDRESSES + 1
    assert sum(row[2] for row in found) == 3000
    assert SignIn.objects.get(address="").sign_ins == 3000 - sign_ins.MOST_ADDRESSES
    assert not Device.objects.exists()


def test_more_guesses_from_an_address_that_is_told_apart_stay_there(mailbox, read):
    read(*(failed(address=f"203.0.113.{number}") for number in range(60)))
    read(failed(address="203.0.113.3"), failed(address="203.0.113.59"))

    assert SignIn.objects.get(address="203.0.113.3").sign_ins == 2
    assert SignIn.objects.get(address="").sign_ins == 11


def test_refusals_stand_beside_sign_ins(mailbox, read):
    read(login(), refused("This mailbox is suspended. Contact your provider.", count=2))

    assert [row[:3] for row in rows()] == [
        ("refused", "198.51.100.7", 2),
        ("signed_in", "198.51.100.7", 1),
    ]


def test_history_is_forgotten_by_its_hour(mailbox, read, monkeypatch):
    monkeypatch.setattr(sign_ins, "_AT_ONCE", 2)
    read(*(login(at=f"{hour:02}:00:00") for hour in range(10)))

    assert sign_ins.forget(before=HOUR - timedelta(hours=3)) == 6

    assert sorted(row.hour for row in SignIn.objects.values_list("hour_at", flat=True)) == [
        6,
        7,
        8,
        9,
    ]
    assert Device.objects.get().sign_ins == 10


def test_forgetting_costs_what_is_due(mailbox, read):
    read(*(login(at=f"{hour:02}:00:00") for hour in range(24)))

    with CaptureQueriesContext(connection) as asked:
        assert sign_ins.forget(before=HOUR - timedelta(days=1)) == 0

    assert len(asked) == 1


def test_all_that_is_known_of_a_mailbox_can_be_dropped(cast, mailbox, read):
    other = make_mailbox(cast.domain, "other")
    read(login(), failed(), login(user=other.address))

    sign_ins.forget_all(mailbox)

    assert set(SignIn.objects.values_list("mailbox", flat=True)) == {other.pk}
    assert [device.mailbox_id for device in Device.objects.all()] == [other.pk]


def test_reading_asks_as_often_for_many_mailboxes_as_for_one(cast, log):
    def asked(names, *, hour):
        for name in names:
            make_mailbox(cast.domain, name)
        with log.open("a") as out:
            for name in names:
                out.write(login(user=f"{name}@alder.test", at=f"{hour}:00:00"))
                out.write(failed(user=f"{name}@alder.test", at=f"{hour}:00:00"))
        with CaptureQueriesContext(connection) as queries:
            logbook.read(path=log)
        return len([q for q in queries if "SELECT" in q["sql"]])

    assert asked(["one"], hour="08") == asked([f"m{n}" for n in range(30)], hour="09")


@pytest.mark.parametrize(
    ("address", "place", "kind"),
    [
        ("198.51.100.7", "198.51.0.0/16", "public"),
        ("8.8.8.8", "8.8.0.0/16", "public"),
        ("2a00:1450:4001::1", "2a00:1450::/32", "public"),
        ("10.1.2.3", "10.1.0.0/16", "private"),
        ("fd00::1", "fd00::/32", "private"),
        ("fe80::1", "fe80::/32", "private"),
        ("100.64.0.1", "100.64.0.0/16", "shared"),
        ("127.0.0.1", "127.0.0.0/16", "same_machine"),
        ("::1", "::/32", "same_machine"),
    ],
)
def test_address_says_which_part_of_the_internet_it_is(address, place, kind):
    assert networks.place_of(address) == place
    if not address.startswith("198.51"):  # Python counts what is for documents as private.
        assert networks.kind_of(address) == kind
