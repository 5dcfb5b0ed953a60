"""Letters: each on its own, tried again, never lost."""

from __future__ import annotations

import smtplib
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from accounts import notices
from accounts.access import Forbidden
from accounts.models import Event, Notice, Organisation
from hosting import doctor
from tests.factories import AT

pytestmark = pytest.mark.django_db(databases="__all__")

MINUTE = timedelta(minutes=1)
FOREVER = timedelta(days=30)


class Relay(EmailBackend):
    """Takes mail, unless `trouble` says otherwise for its recipient."""

    trouble: dict[str, BaseException]
    meanwhile = None

    def send_messages(self, messages):
        if self.meanwhile:
            meanwhile, type(self).meanwhile = type(self).meanwhile, None
            meanwhile()
        for message in messages:
            for to in (*message.to, "*"):
                if to in self.trouble:
                    raise self.trouble[to]
        return super().send_messages(messages)


@pytest.fixture
def relay(settings):
    settings.EMAIL_BACKEND = f"{__name__}.Relay"
    Relay.trouble, Relay.meanwhile = {}, None
    return Relay


def wait_for(*people):
    for person in people:
        Notice.objects.create(
            to=person,
            name="dunning_below",
            context={"reseller": "Rowan", "organisation": "Alder", "now_text": "All works."},
            created_at=AT,
        )


def refusal(person):
    return smtplib.SMTPRecipientsRefused({person: (550, b"no such user")})


def reached():
    return [message.to[0] for message in mail.outbox]


def unsent():
    return list(Notice.objects.filter(sent_at=None).values_list("to", flat=True))


@pytest.mark.parametrize(
    "trouble", [refusal("gone@example.test"), smtplib.SMTPDataError(554, b"looks like spam")]
)
def test_a_refused_recipient_holds_up_nobody(relay, trouble):
    relay.trouble["gone@example.test"] = trouble
    wait_for("gone@example.test", "ann@example.test", "ben@example.test")

    assert notices.send_waiting(at=AT) == 2

    assert reached() == ["ann@example.test", "ben@example.test"]
    assert unsent() == ["gone@example.test"]
    assert notices.refused().get().failure == str(trouble)


def test_more_refused_recipients_than_one_round_takes_hold_up_nobody(relay):
    gone = [f"gone{number}@example.test" for number in range(3)]
    relay.trouble.update({person: refusal(person) for person in gone})
    wait_for(*gone, "ann@example.test")

    notices.send_waiting(at=AT, limit=3)

    assert notices.send_waiting(at=AT + MINUTE, limit=3) == 1
    assert reached() == ["ann@example.test"]


def test_it_is_tried_again_ever_more_rarely_and_never_given_up(relay):
    relay.trouble["gone@example.test"] = refusal("gone@example.test")
    wait_for("gone@example.test")
    tried_at = []
    for minute in range(0, 60 * 48, 5):
        before = Notice.objects.get().tries
        notices.send_waiting(at=AT + minute * MINUTE)
        if Notice.objects.get().tries > before:
            tried_at.append(minute)

    waits = [later - earlier for earlier, later in pairwise(tried_at)]
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 320, 360]
    assert set(waits[8:]) == {360}
    relay.trouble.clear()
    assert notices.send_waiting(at=AT + FOREVER) == 1
    assert not notices.refused().exists()


def test_a_relay_that_is_away_costs_no_letter_its_turn(relay):
    relay.trouble["*"] = ConnectionRefusedError("nobody listens")
    wait_for("ann@example.test", "ben@example.test")
    assert notices.send_waiting(at=AT) == 0
    assert set(Notice.objects.values_list("tries", "next_try_at", "failure")) == {(0, None, "")}

    relay.trouble.clear()

    assert notices.send_waiting(at=AT) == 2


def test_a_worker_that_dies_over_a_letter_has_not_sent_it(relay):
    relay.trouble["ann@example.test"] = SystemExit()
    wait_for("ann@example.test", "ben@example.test")
    with pytest.raises(SystemExit):
        notices.send_waiting(at=AT)
    assert unsent() == ["ann@example.test", "ben@example.test"]
    relay.trouble.clear()

    assert notices.send_waiting(at=AT + MINUTE) == 1
    assert notices.send_waiting(at=AT + 5 * MINUTE) == 1

    assert reached() == ["ben@example.test", "ann@example.test"]


def test_a_letter_that_another_worker_took_meanwhile_is_sent_once(relay):
    wait_for("ann@example.test", "ben@example.test")
    relay.meanwhile = lambda: notices.send_waiting(at=AT)

    assert notices.send_waiting(at=AT) == 1

    assert sorted(reached()) == ["ann@example.test", "ben@example.test"]


def test_a_wait_from_a_clock_that_was_set_back_does_not_count(relay):
    wait_for("ann@example.test")
    Notice.objects.update(tries=1, next_try_at=datetime(2040, 1, 1, tzinfo=UTC))

    assert notices.send_waiting(at=AT) == 1


def test_a_letter_that_cannot_be_written_holds_up_nobody_and_says_why(relay, caplog):
    Notice.objects.create(to="ann@example.test", name="no_such_letter", created_at=AT)
    wait_for("ben@example.test")

    assert notices.send_waiting(at=AT) == 1

    assert (reached(), unsent()) == (["ben@example.test"], ["ann@example.test"])
    assert notices.refused().get().failure.startswith("TemplateDoesNotExist: emails/no_such_letter")
    assert "cannot be written" in caplog.text


def test_sent_again_its_waits_begin_anew(relay, cast):
    relay.trouble["gone@example.test"] = refusal("gone@example.test")
    wait_for("gone@example.test")
    for minute in (0, 5, 15):
        notices.send_waiting(at=AT + minute * MINUTE)
    relay.trouble.clear()
    assert notices.send_waiting(at=AT + 16 * MINUTE) == 0

    notices.send_again(actor=cast.actor(cast.sam), notice=Notice.objects.get(), at=AT)

    assert notices.send_waiting(at=AT + 16 * MINUTE) == 1
    assert Event.objects.get(kind="notice.sent_again").subject_name == (
        "dunning_below → gone@example.test"
    )


def test_what_has_left_is_not_sent_again_and_nobody_else_may(relay, cast):
    wait_for("ann@example.test")
    with pytest.raises(Forbidden):
        notices.send_again(actor=cast.actor(cast.rita), notice=Notice.objects.get(), at=AT)
    notices.send_waiting(at=AT)

    with pytest.raises(notices.SentAlready, match="meanwhile"):
        notices.send_again(actor=cast.actor(cast.sam), notice=Notice.objects.get(), at=AT)


def test_doctor_names_who_is_refused_and_fails_while_the_relay_is_away(relay):
    [finding] = doctor.examine(only=["letters"])
    assert (finding.is_well, finding.text) == (True, "none is refused")

    relay.trouble["gone@example.test"] = refusal("gone@example.test")
    wait_for("gone@example.test")
    notices.send_waiting(at=AT)
    [finding] = doctor.examine(only=["letters"])
    assert finding.is_well
    assert finding.text.startswith(
        "1 not taken and tried again, see Notices in the staff pages; gone@example.test: {"
    )

    wait_for("ann@example.test")
    [finding] = doctor.examine(only=["letters"])
    assert (finding.is_well, finding.text) == (False, "Letters wait since 2026-11-02 09:30 UTC.")


@pytest.mark.parametrize("count", [1, 30])
def test_owners_of_many_are_told_in_as_many_statements_as_those_of_one(
    cast, count, django_assert_num_queries
):
    for number in range(count):
        Organisation.objects.create(kind="customer", name=f"C{number}", parent=cast.reseller)
    concerned = Organisation.objects.filter(parent=cast.reseller)

    # The organisations, their owners, those who are still to come, and the letters.
    with django_assert_num_queries(4):
        told = notices.announce(organisations=concerned, name="spend_cap", context={}, at=AT)

    assert told == 1
