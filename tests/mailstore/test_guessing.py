"""Who is told that somebody is guessing, how often, and what is forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections

from accounts import notices
from accounts.models import Event, Notice
from mailstore import guessing
from mailstore.models import Guessing, GuessingAlarm, GuessingSource
from tests.factories import AT, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
NOW = AT + timedelta(days=3)


def guessed_at(mailbox, *, tries=412, addresses=37, began=NOW, last=None):
    row = Guessing.objects.create(
        username=mailbox.address,
        began_at=int(began.timestamp()),
        last_at=int((last or began).timestamp()),
        tries=tries,
        looked_at=9,
    )
    GuessingSource.objects.bulk_create(
        GuessingSource(guessing=row, holder=f"203.0.113.{n}", tries=1) for n in range(addresses)
    )
    return row


def test_a_spell_is_noticed_once_and_told_with_its_figures(cast):
    mailbox = make_mailbox(cast.domain)
    guessed_at(mailbox)

    assert [guessing.watch(at=NOW), guessing.watch(at=NOW)] == [1, 0]

    fact = Event.objects.get(kind="mailbox.guessing_noticed")
    assert (fact.subject_name, fact.data) == (mailbox.address, {"tries": 412, "addresses": 37})
    letter = Notice.objects.get()
    subject, text = notices.written(letter)
    assert (letter.to, subject) == (
        "alice@example.test",
        "Somebody is guessing the password of hello@alder.test",
    )
    assert "412 tries from 37 addresses" in text
    assert f"/mailboxes/{mailbox.uuid}/" in text


def test_owners_get_one_letter_a_day_about_all_their_mailboxes(cast):
    for number in range(25):
        guessed_at(make_mailbox(cast.domain, f"box{number:02}"))
    guessing.watch(at=NOW)
    assert Notice.objects.count() == 1
    subject, text = notices.written(Notice.objects.get())
    assert subject == "Somebody is guessing the password of box00@alder.test and others"
    assert (text.count("412 tries"), "and 5 more" in text) == (20, True)

    for hours in (2, 12, 23):
        at = NOW + timedelta(hours=hours)
        guessed_at(make_mailbox(cast.domain, f"late{hours}"), began=at)
        guessing.watch(at=at)
    assert Notice.objects.count() == 1

    guessing.watch(at=NOW + timedelta(hours=25))
    assert Notice.objects.count() == 2
    text = notices.written(Notice.objects.latest("pk"))[1]
    assert [name for name in ("late2@", "late12@", "late23@", "box00") if name in text] == [
        "late2@",
        "late12@",
        "late23@",
    ]
    assert not GuessingAlarm.objects.filter(told_at=None).exists()


def test_another_customer_hears_of_its_own_only(cast):
    guessed_at(make_mailbox(cast.domain))
    guessed_at(make_mailbox(cast.other_domain, "theirs"))

    guessing.watch(at=NOW)

    told = {letter.to: str(letter.context) for letter in Notice.objects.all()}
    assert sorted(told) == ["alice@example.test", "charlie@example.test"]
    assert "theirs" not in told["alice@example.test"]
    assert "alder" not in told["charlie@example.test"]


@pytest.mark.parametrize("what", ["nobody", "older than the mailbox", "long over", "few"])
def test_what_is_no_news_is_not_told(cast, what):
    mailbox = make_mailbox(cast.domain)
    if what == "nobody":
        mailbox.address = "nobody@alder.test"
    began = AT - timedelta(minutes=1) if what == "older than the mailbox" else NOW
    last = AT if what == "older than the mailbox" else began
    guessed_at(mailbox, began=began, last=last, tries=19 if what == "few" else 412)
    at = {"older than the mailbox": AT, "long over": NOW + timedelta(hours=2)}.get(what, NOW)

    assert guessing.watch(at=at) == 0
    assert not Notice.objects.exists()


def test_old_spells_are_forgotten_and_those_that_go_on_are_not(cast):
    mailbox = make_mailbox(cast.domain)
    guessed_at(mailbox, began=AT, last=NOW)
    guessed_at(make_mailbox(cast.domain, "quiet"), began=AT, last=AT)
    guessing.watch(at=NOW)

    assert guessing.forget_old(at=AT + timedelta(days=31)) == 1
    assert list(Guessing.objects.values_list("username", flat=True)) == [mailbox.address]
    assert GuessingSource.objects.count() == 37
    assert guessing.forget_old(at=NOW + timedelta(days=31)) == 1
    assert not GuessingAlarm.objects.exists()


def test_many_mailboxes_are_looked_up_in_two_queries(cast, django_assert_max_num_queries):
    mailboxes = [make_mailbox(cast.domain, f"box{n}") for n in range(3)]
    for mailbox in mailboxes:
        guessed_at(mailbox)

    with django_assert_max_num_queries(2, connection=connections[settings.REPORTS_DATABASE]):
        found = guessing.spells([mailbox.address for mailbox in mailboxes], at=NOW)
    assert {spell.addresses for spell in found.values()} == {37}
