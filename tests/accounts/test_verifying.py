"""Each way to change the past shows, and says where."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import chaining, checkpoints, numbering, outbox, seals, tasks, verifying
from accounts.access import system
from accounts.models import ChainHead, Checkpoint, Event, EventCheck, Notice, OwnChain
from tests.accounts.unguarded import unguarded
from tests.factories import AT

EVERY = timedelta(days=7)


@pytest.fixture
def memory(settings, tmp_path):
    settings.CHECKPOINT_FILE = str(tmp_path / "made" / "checkpoints")
    return Path(settings.CHECKPOINT_FILE)


@pytest.fixture
def trail(cast, memory):
    """Twelve more facts of two organisations, chained; gives their rows by place."""
    for number in range(12):
        outbox.record(
            kind="mailbox.suspended",
            at=AT,
            actor=system("tests"),
            organisation=cast.customer if number % 3 else cast.other_customer,
            subject=("mailbox", "0" * 32, f"m{number}"),
            data={"number": number},
        )
    chained()
    return dict(Event.objects.values_list("position", "seq"))


def chained():
    numbering.number_all()
    chaining.chain_all()


def tamper(statement, *parameters):
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def places():
    return [fault.position for fault in verifying.verify().faults]


def link_anew(after):
    """What somebody does who can compute links and has no key: all behind a place is open again."""
    Event.objects.filter(position__gt=after).update(link="", own_link="", own_place=None)
    kept = Event.objects.filter(position=after).first()
    ChainHead.objects.update(position=after, link=kept.link)
    for own in OwnChain.objects.all():
        last = Event.objects.filter(organisation=own.organisation_id, own_place__isnull=False)
        newest = last.order_by("-own_place").first()
        if newest is None:
            own.delete()
        else:
            OwnChain.objects.filter(pk=own.pk).update(place=newest.own_place, link=newest.own_link)


def test_a_trail_that_nobody_touched_is_whole(trail, memory):
    checkpoints.write(at=AT)

    findings = verifying.verify()

    assert (findings.faults, findings.position) == ([], max(trail))
    assert json.loads(memory.read_text())["position"] == max(trail)


COLUMNS = {
    "kind": "mailbox.resumed",
    "actor_id": "9",
    "actor_name": "nobody",
    "actor_kind": "user",
    "subject_name": "other",
    "subject_id": "1" * 32,
    "door": "panel",
    "standing": "own",
    "role": "owner",
    "commitment": "0" * 64,
    "data": {"number": 99},
    "at": AT + timedelta(microseconds=1),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_line_shows_at_its_place(trail, column):
    place = max(trail) - 5

    with unguarded():
        Event.objects.filter(position=place).update(**{column: COLUMNS[column]})

    assert places() == [place]


def test_an_event_that_moved_to_another_organisation_shows(trail, cast):
    place = max(trail) - 5

    tamper(
        "UPDATE accounts_event SET organisation_id = %s, own_place = 999 WHERE position = %s",
        cast.reseller.pk,
        place,
    )

    assert place in places()


def test_a_removed_line_shows_at_its_place(trail):
    place = max(trail) - 5

    tamper("DELETE FROM accounts_event WHERE position = %s", place)

    assert place in places()
    assert "gone" in str(verifying.verify().faults)


def test_a_removed_line_shows_also_where_the_places_were_closed_up(trail):
    place, end = max(trail) - 5, max(trail)

    tamper("DELETE FROM accounts_event WHERE position = %s", place)
    for later in range(place + 1, end + 1):
        tamper("UPDATE accounts_event SET position = %s WHERE position = %s", later - 1, later)

    assert place in places()


def test_two_lines_that_changed_places_show(trail):
    first = max(trail) - 6
    swap = "UPDATE accounts_event SET position = %s WHERE position = %s"

    tamper(swap, -1, first)
    tamper(swap, first, first + 1)
    tamper(swap, first + 1, -1)

    assert places()[0] == first


def test_an_inserted_line_shows(trail, cast):
    place, end = max(trail) - 5, max(trail)

    for later in range(end, place - 1, -1):
        tamper("UPDATE accounts_event SET position = %s WHERE position = %s", later + 1, later)
    with unguarded():
        Event.objects.create(
            kind="mailbox.resumed", at=AT, organisation=cast.customer, position=place, data={}
        )

    assert places()[0] == place


def test_a_tail_that_was_cut_off_shows(trail):
    tamper("DELETE FROM accounts_event WHERE position > %s", max(trail) - 3)

    assert verifying.verify().fault_count >= 1
    assert "does not end" in verifying.trouble(at=AT)


def test_a_tail_that_was_cut_off_with_the_head_set_back_shows_by_the_seal(trail):
    with unguarded():
        Event.objects.filter(position__gt=max(trail) - 3).delete()
        link_anew(max(trail) - 3)

    faults = verifying.verify().faults

    assert [fault.position for fault in faults] == [max(trail) - 3]
    assert "SECRET_KEY" in faults[0].text


def test_a_past_that_was_written_anew_without_the_key_shows(trail, settings):
    checkpoints.write(at=AT)
    place = max(trail) - 5
    with unguarded():
        Event.objects.filter(position=place).update(actor_name="nobody")
        link_anew(place - 1)
        ours, settings.SECRET_KEY = settings.SECRET_KEY, "a guess"
        chaining.chain_all()
        settings.SECRET_KEY = ours

    texts = [fault.text for fault in verifying.verify().faults]

    assert any("SECRET_KEY" in text for text in texts)
    assert any("another one than on" in text for text in texts)


def test_what_was_sealed_under_an_older_key_holds(trail, settings):
    checkpoints.write(at=AT)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next one"

    assert verifying.verify().faults == []


def test_a_backup_that_came_back_shows_by_the_file(trail, memory):
    checkpoints.write(at=AT)
    # What the database was before: whole by itself, with a head that the house sealed.
    before = max(trail) - 3
    with unguarded():
        Checkpoint.objects.all().delete()
        Event.objects.filter(position__gt=before).delete()
        link_anew(before)
        head = ChainHead.objects.get()
        ChainHead.objects.update(seal=seals.seal(head.position, head.link))

    faults = verifying.verify().faults

    assert [fault.position for fault in faults] == [max(trail)]
    assert "backup" in faults[0].text


def test_a_checkpoint_that_was_left_out_shows(trail, cast):
    for number in range(3):
        outbox.record(
            kind="ping",
            at=AT,
            actor=system("tests"),
            organisation=cast.customer,
            subject=("x", "x", f"{number}"),
        )
        checkpoints.write(at=AT + timedelta(days=number))
    middle = Checkpoint.objects.order_by("position")[1]

    with unguarded():
        middle.delete()

    assert "checkpoint" in str(verifying.verify().faults)


def test_a_changed_address_shows(trail, cast):
    place = max(trail) - 5

    tamper("UPDATE accounts_event SET address = '192.0.2.9' WHERE position = %s", place)

    assert places() == [place]


def test_organisation_whose_newest_events_were_unlinked_shows(trail, cast):
    with unguarded():
        OwnChain.objects.filter(organisation=cast.customer).update(place=999)

    assert "newest events" in str(verifying.verify().faults)


# In turns -------------------------------------------------------------------------------


def test_a_look_in_turns_finds_the_same(trail, monkeypatch):
    monkeypatch.setattr(verifying, "_TURN", 3)
    monkeypatch.setattr(verifying, "BATCH", 2)
    monkeypatch.setattr(verifying.look_on, "__kwdefaults__", {"limit": 2})
    place = max(trail) - 5
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", place)

    turns = 0
    while verifying.sweep(at=AT, every=EVERY):
        turns += 1

    check = EventCheck.objects.get()
    assert turns > 3
    assert (check.is_running, check.fault_count, check.position) == (False, 1, max(trail))
    assert check.faults[0]["position"] == place
    assert verifying.last_finished() == check


def test_the_next_look_comes_a_week_later(trail):
    assert verifying.sweep(at=AT, every=EVERY)
    assert not verifying.sweep(at=AT + timedelta(days=6), every=EVERY)
    assert verifying.sweep(at=AT + timedelta(days=7), every=EVERY)
    assert EventCheck.objects.count() == 2


def test_a_part_that_two_workers_looked_at_counts_once(trail):
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", max(trail))
    check = EventCheck.objects.create(started_at=AT, position=3)
    findings = verifying.Findings(position=max(trail), fault_count=1)
    verifying._keep(check, findings, ended_at=None)

    verifying._keep(check, findings, ended_at=AT)

    check.refresh_from_db()
    assert check.is_running


def test_owners_of_the_house_are_told_of_damage_once(trail, cast):
    cast.provider.memberships.update(role="owner")
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", max(trail))

    while verifying.sweep(at=AT, every=EVERY):
        pass

    [letter] = Notice.objects.filter(name="events_damaged")
    assert letter.context["place"] == max(trail)


def test_nobody_is_told_where_all_is_whole(trail):
    verifying.sweep(at=AT, every=EVERY)

    assert not Notice.objects.filter(name="events_damaged").exists()


# The doctor -----------------------------------------------------------------------------


def test_the_doctor_finds_nothing_where_all_is_whole(trail):
    checkpoints.write(at=AT)

    assert verifying.trouble(at=AT) == ""
    assert verifying.summary() == f"{max(trail)} linked, not looked through yet"


def test_the_doctor_tells_what_the_last_look_found(trail):
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", max(trail) - 5)
    verifying.sweep(at=AT, every=EVERY)

    assert f"At place {max(trail) - 5}: This event is not as" in verifying.trouble(at=AT)


def test_the_doctor_misses_looks_and_checkpoints(trail, cast):
    verifying.sweep(at=AT, every=EVERY)
    assert "looked through last" in verifying.trouble(at=AT + timedelta(days=15))
    checkpoints.write(at=AT)
    assert verifying.trouble(at=AT + timedelta(days=13)) == ""

    outbox.record(
        kind="ping",
        at=AT,
        actor=system("tests"),
        organisation=cast.customer,
        subject=("x", "x", "x"),
    )
    numbering.number_all()

    assert "sealed last" in verifying.trouble(at=AT + timedelta(days=13))
    assert "more to come" in verifying.summary()


# The command ----------------------------------------------------------------------------


def test_the_command_says_that_all_is_whole(trail, capsys):
    call_command("verify_events")

    said = capsys.readouterr().out
    assert f"All {max(trail)} events are as they were written." in said
    assert ChainHead.objects.get().link in said


def test_the_command_names_the_place_and_exits_with_one(trail, capsys):
    place = max(trail) - 5
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", place)

    with pytest.raises(SystemExit) as end:
        call_command("verify_events")

    assert end.value.code == 1
    assert f"At place {place}: This event is not as it was written." in capsys.readouterr().out


def test_the_command_goes_on_behind_a_place(trail, capsys):
    tamper("UPDATE accounts_event SET kind = 'x.y' WHERE position = %s", 2)

    call_command("verify_events", "--after", "5")

    assert "as they were written" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["-1", "999999"])
def test_the_command_refuses_a_place_that_is_none(trail, place):
    with pytest.raises(CommandError) as refusal:
        call_command("verify_events", "--after", place)

    assert refusal.value.returncode == 2


def test_the_command_says_where_it_was_stopped(trail, monkeypatch):
    def stopped(*_given, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(verifying, "at_the_end", stopped)

    with pytest.raises(CommandError) as stop:
        call_command("verify_events", "--after", "4")

    assert stop.value.returncode == 2
    assert "Go on with --after 4" in str(stop.value)


# Checkpoints ----------------------------------------------------------------------------


def test_a_day_on_which_nothing_happened_has_no_checkpoint(trail):
    assert checkpoints.write(at=AT) is not None
    assert checkpoints.write(at=AT + timedelta(days=1)) is None


def test_a_file_that_cannot_be_written_stops_nothing(trail, settings):
    settings.CHECKPOINT_FILE = "/dev/null/at/all"

    assert checkpoints.write(at=AT) is not None


def test_lines_that_were_cut_off_say_nothing(trail, memory):
    checkpoints.write(at=AT)
    with memory.open("a") as file:
        file.write('{"at": "2026-11-\n[]\nnull\n')

    assert len(list(checkpoints.remembered())) == 1
    assert verifying.verify().faults == []


def test_tasks_chain_and_seal(trail, cast):
    outbox.record(
        kind="ping",
        at=AT,
        actor=system("tests"),
        organisation=cast.customer,
        subject=("x", "x", "x"),
    )

    assert tasks.chain_events() == 1
    assert tasks.write_checkpoint()
    assert not tasks.write_checkpoint()
    assert tasks.verify_events()
    assert tasks.forget_origins() == 0
