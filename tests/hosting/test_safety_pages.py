"""Removed mail, retention, alarms and changes, as the customer sees them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import system
from accounts.models import User
from hosting import views
from mailstore import cooling, holding, recovery, sweeping
from mailstore.models import Alarm, Mailbox, PendingChange, Removal, RestoreRun, RetentionRule
from mailstore.policy import CountedFrom, Rule
from tests.factories import PASSWORD, make_mailbox
from tests.staffing import signed_in, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture
def alice(cast):
    client = Client()
    signed_in(cast.alice, client)
    return client


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def remove(twin, mailbox, *subjects, folder="INBOX"):
    box = twin.accounts[mailbox.address].folders[folder]
    for subject in subjects:
        text = f"From: Zoe <zoe@x.test>\r\nSubject: {subject}\r\n\r\nx\r\n"
        twin.remove(user=mailbox.address, folder=folder, uids=[box.append(text.encode()).uid])


def url(name, thing):
    return reverse(name, args=[thing.uuid])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_removed_mail_is_found_and_brought_back(alice, twin, mailbox):
    remove(twin, mailbox, "Invoice 7", "<script>alert(1)</script>")
    page = alice.get(url("mailboxes:removed", mailbox))
    assert "2 messages" in text_of(page)
    assert b"<script>alert" not in page.content
    found = alice.get(url("mailboxes:removed", mailbox), {"subject": "invoice"})
    assert "1 message" in text_of(found)

    answer = alice.post(url("mailboxes:restore", mailbox), {"message": "1/INBOX"}, follow=True)

    assert "1 message comes back." in text_of(answer)
    assert "Mail is on its way back" in text_of(answer)
    recovery.run_open(engine=twin, now=timezone.now)
    assert "1 message came back" in text_of(alice.get(url("mailboxes:restore_progress", mailbox)))


def test_removed_mail_is_shown_page_by_page(alice, twin, mailbox, monkeypatch):
    monkeypatch.setattr(views.recovery, "MOST_SHOWN", 2)
    remove(twin, mailbox, *(f"Letter {number}" for number in range(5)))
    path = url("mailboxes:removed", mailbox)

    def shown(**asked):
        page = alice.get(path, asked)
        return re.findall(r"Letter \d", text_of(page)), page

    first, page = shown(subject="letter")
    assert first == ["Letter 4", "Letter 3"]
    assert "?subject=letter&amp;page=2" in page.content.decode()
    assert "Removed later" not in text_of(page)
    last, page = shown(page=3)
    assert last == ["Letter 0"]
    assert "Removed earlier" not in text_of(page)
    for number in ("0", "-1", "x", "9" * 5000, "\u0662"):
        assert shown(page=number)[0] == first


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000 + "/INBOX",
        f"{2**32}/INBOX",
        "0/INBOX",
        "1/a//b",
        "",
        "x/INBOX",
        "1",
        "9/INBOX",
        "1/../etc",
        "\u0661/INBOX",
        "-1/INBOX",
    ],
)
def test_nonsense_restores_nothing(value, alice, twin, mailbox):
    remove(twin, mailbox, "One")

    answer = alice.post(url("mailboxes:restore", mailbox), {"message": value}, follow=True)

    assert "There is nothing to bring back." in text_of(answer)
    assert not RestoreRun.objects.exists()


def test_mailbox_is_rolled_back_to_a_moment(alice, twin, mailbox):
    remove(twin, mailbox, "One", "Two")
    moment = datetime.now(tz=UTC) - timedelta(hours=1)

    answer = alice.post(
        url("mailboxes:roll_back", mailbox), {"moment": f"{moment:%Y-%m-%dT%H:%M}"}, follow=True
    )

    assert "2 messages come back." in text_of(answer)
    wrong = alice.post(url("mailboxes:roll_back", mailbox), {"moment": "yesterday"})
    assert wrong.status_code == 422
    assert "Enter a valid date/time." in text_of(wrong)


def test_pages_say_when_the_mail_server_is_away(alice, twin, mailbox):
    twin.is_down = True

    for name in ("removed", "retention"):
        page = alice.get(url(f"mailboxes:{name}", mailbox))
        assert "cannot be asked at the moment" in text_of(page)
    moment = {"moment": "2026-01-01T00:00"}
    answer = alice.post(url("mailboxes:roll_back", mailbox), moment, follow=True)
    assert "The mail server cannot be reached." in text_of(answer)
    rule = {"folder": "Junk", "days": "60", "counted_from": "arrival"}
    answer = alice.post(url("mailboxes:set_rule", mailbox), rule)
    assert "The mail server cannot be reached." in text_of(answer)


def test_destroying_asks_for_the_address_and_waits(alice, twin, mailbox):
    remove(twin, mailbox, "One")
    path = url("mailboxes:empty_store", mailbox)
    assert "in 72 hours" in text_of(alice.get(path))
    answer = alice.post(path, {"address": "hello@alder.tes"})
    assert answer.status_code == 422
    assert not PendingChange.objects.exists()

    answer = alice.post(path, {"address": mailbox.address}, follow=True)

    assert "All removed mail of hello@alder.test is destroyed." in text_of(answer)
    change = PendingChange.objects.get()
    answer = alice.post(url("changes:call_off", change), follow=True)
    assert "Called off." in text_of(answer)
    answer = alice.post(url("changes:call_off", change), follow=True)
    assert "made or called off already" in text_of(answer)


def test_single_messages_are_destroyed_after_the_same_questions(alice, twin, mailbox):
    remove(twin, mailbox, "One", "Two", "Three")
    path = url("mailboxes:empty_store", mailbox)
    ticked = {"message": ["1/INBOX", "3/INBOX"], "some": "1"}

    asked = alice.post(path, ticked)
    wrong = alice.post(path, {**ticked, "address": "x@alder.test"})

    assert asked.status_code == 200
    assert "Destroy 2 removed messages of hello@alder.test?" in text_of(asked)
    assert asked.content.decode().count('type="hidden" name="message"') == 2
    assert (wrong.status_code, PendingChange.objects.count()) == (422, 0)
    answer = alice.post(
        path, {"message": ticked["message"], "address": mailbox.address}, follow=True
    )
    assert "2 removed messages of hello@alder.test are destroyed." in text_of(answer)
    later = timezone.now() + timedelta(days=4)
    assert cooling.make_due(engine=twin, at=later) == 1
    assert sweeping.run_open(engine=twin, now=lambda: later) == 1
    assert [one.subject for one in twin.removed_mail(user=mailbox.address)] == ["Two"]


@pytest.mark.parametrize("ticked", [["9/INBOX"], ["x"], ["1/Nowhere"]])
def test_nothing_is_destroyed_for_what_is_not_there(ticked, alice, twin, mailbox):
    remove(twin, mailbox, "One")
    path = url("mailboxes:empty_store", mailbox)

    answer = alice.post(path, {"message": ticked, "address": mailbox.address})

    assert answer.status_code == 422
    assert "What was chosen is not there any more." in text_of(answer)
    twin.is_down = True
    answer = alice.post(path, {"message": ticked, "address": mailbox.address})
    assert "The mail server cannot be reached." in text_of(answer)
    assert not PendingChange.objects.exists()


def test_without_a_tick_nothing_is_destroyed(alice, mailbox):
    answer = alice.post(url("mailboxes:empty_store", mailbox), {"some": "1"}, follow=True)

    assert "Nothing is ticked." in text_of(answer)
    assert not PendingChange.objects.exists()


def test_destroying_asks_again_who_sits_there(cast, alice, twin, mailbox):
    remove(twin, mailbox, "One")
    path, proof = url("mailboxes:empty_store", mailbox), {"address": mailbox.address}

    by_password = stale(alice).post(path, proof)
    by_code = stale(verified(cast.alice)).post(path, proof)

    assert by_password.headers["Location"].startswith("/account/second-factor/password?")
    assert by_code.headers["Location"].startswith("/account/second-factor/?")
    assert not PendingChange.objects.exists()


def test_who_may_only_read_is_offered_nothing_and_refused(client, cast, mailbox, alarm):
    signed_in(cast.bob, client)
    removed = text_of(client.get(url("mailboxes:removed", mailbox)))
    asked = text_of(client.get(url("alarms:detail", alarm)))

    assert "30 messages" in removed
    assert "Bring back" not in removed
    assert "Roll back" not in removed
    assert "Somebody who may change this mailbox has to answer." in asked
    assert "Roll it back" not in asked
    for path, form in (
        (url("mailboxes:restore", mailbox), {"message": "1/INBOX"}),
        (url("mailboxes:roll_back", mailbox), {"moment": "2026-01-01T00:00"}),
        (url("alarms:roll_back", alarm), {}),
        (url("alarms:dismiss", alarm), {}),
    ):
        assert client.post(path, form).status_code == 403
    proof = {"address": mailbox.address, "password": PASSWORD}
    Mailbox.objects.update(frozen_at=None)
    assert client.post(url("mailboxes:empty_store", mailbox), proof).status_code == 403
    assert (RestoreRun.objects.count(), PendingChange.objects.count()) == (0, 0)
    assert Alarm.objects.get().answer == ""


def test_stranger_finds_nothing(client, cast, mailbox, alarm):
    signed_in(cast.charlie, client)

    for path in (url("mailboxes:removed", mailbox), url("alarms:detail", alarm)):
        assert client.get(path).status_code == 404
    for name in ("mailboxes:restore", "mailboxes:roll_back", "mailboxes:empty_store"):
        assert client.post(url(name, mailbox)).status_code == 404
    for name in ("alarms:roll_back", "alarms:dismiss"):
        assert client.post(url(name, alarm)).status_code == 404


def test_list_is_loaded_anew_once_a_restore_is_over(alice, twin, mailbox):
    remove(twin, mailbox, "One")
    alice.post(url("mailboxes:restore", mailbox), {"message": "1/INBOX"})
    polls = {"HX-Request": "true"}
    assert "HX-Refresh" not in alice.get(url("mailboxes:restore_progress", mailbox), headers=polls)

    recovery.run_open(engine=twin, now=timezone.now)

    answer = alice.get(url("mailboxes:restore_progress", mailbox), headers=polls)
    assert answer["HX-Refresh"] == "true"


def test_overview_asks_about_a_locked_mailbox_first(alice, alarm):
    page = alice.get(reverse("dashboard:overview"))

    assert "hello@alder.test is locked, because much mail was removed." in text_of(page)
    assert url("alarms:detail", alarm) in page.content.decode()


def test_destroying_is_refused_under_a_hold(alice, cast, mailbox):
    holding.place(
        actor=system("t"),
        by=cast.sam,
        scope=mailbox,
        matter="Case 7",
        reason="x",
        at=timezone.now(),
    )
    proof = {"address": mailbox.address, "password": PASSWORD}

    answer = alice.post(url("mailboxes:empty_store", mailbox), proof)

    assert "hello@alder.test is held: Case 7." in text_of(answer)


def test_retention_page_says_what_goes_when(alice, twin, mailbox):
    junk = twin.accounts[mailbox.address].folders["Junk"]
    for age in (40, 40, 3):
        junk.append(b"x" * 500, at=timezone.now() - timedelta(days=age))

    text = text_of(alice.get(url("mailboxes:retention", mailbox)))

    assert "Mail in Junk goes 30 days after it arrived in Junk: the plan says so." in text
    assert "3 of 3 messages (1.5 kB) go within 60 days:" in text
    assert "Nothing is removed from INBOX: the plan keeps it." in text


def test_rule_that_loosens_holds_and_one_that_tightens_waits(alice, mailbox):
    path = url("mailboxes:set_rule", mailbox)

    loose = alice.post(path, {"folder": "Junk", "days": "", "counted_from": "arrival"}, follow=True)
    tight = alice.post(
        path, {"folder": "\\Trash", "days": "9", "counted_from": "arrival"}, follow=True
    )

    assert "This holds from now on." in text_of(loose)
    assert "This makes mail less safe, so it takes effect on" in text_of(tight)
    assert "Mail in Trash of hello@alder.test goes after 9 days." in text_of(tight)
    assert RetentionRule.objects.get(mailbox=mailbox).days is None


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"folder": "Junk", "days": "0"}, "greater than or equal to 1"),
        ({"folder": "Junk", "days": "-1"}, "greater than or equal to 1"),
        ({"folder": "Junk", "days": "99999"}, "less than or equal to 3650"),
        ({"folder": "Junk", "days": "x"}, "Enter a whole number."),
        ({"folder": "Junk", "days": "3"}, "at least 7 days"),
        ({"folder": "*", "days": "3"}, "at least 30 days"),
        ({"folder": "\\Nope", "days": "40"}, "no special use"),
        ({"folder": "", "days": "40"}, "required"),
        ({"folder": "a\0b", "days": "40"}, "Null characters"),
        ({"folder": "Junk", "days": "40", "counted_from": "x"}, "valid choice"),
    ],
)
def test_rule_is_refused_beside_the_field(form, message, alice, mailbox):
    answer = alice.post(url("mailboxes:set_rule", mailbox), {"counted_from": "arrival", **form})

    assert answer.status_code == 422
    assert message in text_of(answer)
    assert not RetentionRule.objects.filter(mailbox=mailbox).exists()


def test_rule_is_removed_window_and_tripwire_are_changed(alice, mailbox):
    RetentionRule.objects.create(mailbox=mailbox, folder="\\Junk", days=10)

    answers = [
        alice.post(url("mailboxes:remove_rule", mailbox), {"folder": "\\Junk"}, follow=True),
        alice.post(url("mailboxes:set_window", mailbox), {"window_days": "90"}, follow=True),
        alice.post(url("mailboxes:set_tripwire", mailbox), {"state": "on"}, follow=True),
    ]

    assert all("This holds from now on." in text_of(answer) for answer in answers)
    assert Mailbox.objects.get().window_days == 90
    for name, form in (("set_window", {"window_days": "5"}), ("set_tripwire", {"state": "off"})):
        answer = alice.post(url(f"mailboxes:{name}", mailbox), form, follow=True)
        assert "takes effect on" in text_of(answer)
    assert alice.post(url("mailboxes:set_window", mailbox), {}).status_code == 422


@pytest.fixture
def alarm(twin, mailbox):
    remove(twin, mailbox, *map(str, range(30)))
    now = timezone.now()
    Mailbox.objects.filter(pk=mailbox.pk).update(frozen_at=now)
    Removal.objects.create(
        mailbox=mailbox,
        folder="INBOX",
        service="imap",
        session="s",
        device="-",
        address="192.0.2.66",
        uids="1:30",
        messages=30,
        bytes=3000,
        began_at=now - timedelta(minutes=2),
        ended_at=now - timedelta(minutes=1),
    )
    return Alarm.objects.create(
        mailbox=mailbox,
        at=now,
        since=now - timedelta(minutes=2),
        messages=30,
        bytes=3000,
        reason="100 % of the mailbox was removed within 10 minutes.",
    )


def test_alarm_shows_who_from_where_and_how_much(alice, alarm, mailbox):
    text = text_of(alice.get(url("alarms:detail", alarm)))

    assert "100 % of the mailbox was removed" in text
    assert "The mailbox password IMAP 192.0.2.66 INBOX 30 3 kB" in text
    assert "30 messages of 3 kB were removed since" in text
    assert "Was it you?" in text_of(alice.get(url("mailboxes:detail", mailbox)))


def test_owner_rolls_the_alarm_back(alice, alarm, twin, mailbox):
    answer = alice.post(url("alarms:roll_back", alarm), follow=True)

    assert "All of it comes back." in text_of(answer)
    recovery.run_open(engine=twin, now=timezone.now)
    assert len(twin.accounts[mailbox.address].folders["INBOX"].kept) == 30
    again = alice.post(url("alarms:roll_back", alarm), follow=True)
    assert "answered already" in text_of(again)
    assert "Answered by alice@example.test" in text_of(again)


def test_owner_says_it_was_me(alice, alarm, mailbox):
    answer = alice.post(url("alarms:dismiss", alarm), follow=True)

    assert "The mailbox is unlocked." in text_of(answer)
    assert "answered already" in text_of(alice.post(url("alarms:dismiss", alarm), follow=True))


def test_alarm_waits_for_the_mail_server(alice, alarm, twin):
    twin.is_down = True

    answer = alice.post(url("alarms:roll_back", alarm), follow=True)

    assert "The mail server cannot be reached." in text_of(answer)
    assert Alarm.objects.get().answer == ""


def junk_rule(days, **more):
    return {"folder": "Junk", "days": days, "counted_from": "arrival", **more}


def rules_url(name, kind, scope):
    return reverse(f"rules:{name}", args=[kind, scope.uuid])


def test_rules_of_an_organisation_and_a_domain_are_listed(alice, cast, mailbox):
    page = text_of(alice.get(reverse("rules:scopes")))

    assert "Alder" in page
    assert "alder.test" in page
    assert "juniper.test" not in page


@pytest.mark.parametrize("kind", ["organisation", "domain"])
def test_rule_is_tried_set_and_removed(kind, alice, cast, twin, mailbox):
    scope = cast.domain if kind == "domain" else cast.customer
    old = datetime.now(tz=UTC) - timedelta(days=20)
    twin.accounts[mailbox.address].folders["Junk"].append(b"x", at=old)
    twin.accounts[mailbox.address].folders["INBOX"].append(b"x")

    tried = alice.post(rules_url("set", kind, scope), junk_rule(7, **{"try": "yes"}))
    assert "What this rule would do" in text_of(tried)
    assert "No more messages go" in text_of(tried)  # Within 60 days it goes anyhow.
    assert not PendingChange.objects.exists()

    asked = alice.post(rules_url("set", kind, scope), junk_rule(7), follow=True)
    assert "Takes effect on" in text_of(asked)
    assert not RetentionRule.objects.filter(policy=None).exists()
    alice.post(rules_url("set", kind, scope), junk_rule(90))
    assert RetentionRule.objects.get(policy=None).days == 90
    assert "Junk: 90 days" in text_of(alice.get(rules_url("detail", kind, scope)))
    removed = alice.post(rules_url("remove", kind, scope), {"folder": "Junk"}, follow=True)
    assert "makes mail less safe" in text_of(removed)


def test_rule_on_trial_that_is_refused_says_why(alice, cast, mailbox):
    for data, reason in (
        (junk_rule(3, **{"try": "y"}), "at least 7 days"),
        (junk_rule("x"), "whole number"),
    ):
        response = alice.post(rules_url("set", "domain", cast.domain), data)
        assert response.status_code == 422
        assert reason in text_of(response)


def test_rule_on_trial_for_one_mailbox_counts_what_goes(alice, twin, mailbox):
    box = twin.accounts[mailbox.address].folders["Archive"]
    for age in (100, 50):
        box.append(b"x", at=datetime.now(tz=UTC) - timedelta(days=age))
    wanted = {"folder": "Archive", "days": "30", "counted_from": "arrival", "try": "yes"}

    page = alice.post(url("mailboxes:set_rule", mailbox), wanted)

    assert page.status_code == 200
    assert "2 messages more go within 60 days" in text_of(page)
    assert not PendingChange.objects.exists()


def test_mail_server_down_is_told_on_the_rule_pages(alice, cast, twin, mailbox):
    twin.is_down = True

    for data in (junk_rule(10), junk_rule(10, **{"try": "yes"})):
        response = alice.post(rules_url("set", "domain", cast.domain), data)
        assert "cannot be reached" in text_of(response)


def bounded_rule(days, **more):
    return junk_rule(days, floor_days="", ceiling_days="") | more


@pytest.mark.parametrize("kind", ["organisation", "domain"])
def test_bounds_are_set_shown_and_kept_while_a_rule_is_changed(kind, alice, cast, mailbox):
    scope = cast.domain if kind == "domain" else cast.customer
    alice.post(rules_url("set", kind, scope), bounded_rule(60, floor_days="50"))
    RetentionRule.objects.filter(policy=None).update(ceiling_days=90)

    page = alice.get(rules_url("detail", kind, scope), {"folder": "Junk"})
    initial = page.context["rule_form"].initial
    again = {**initial, "days": 70}
    alice.post(rules_url("set", kind, scope), again)

    assert "Junk: 60 days, at least 50 below, at most 90 below" in text_of(page)
    row = RetentionRule.objects.get(policy=None)
    assert (row.days, row.floor_days, row.ceiling_days) == (70, 50, 90)


def test_rule_of_a_mailbox_keeps_the_bounds_that_it_was_given_elsewhere(alice, mailbox):
    RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=60, floor_days=40)

    alice.post(url("mailboxes:set_rule", mailbox), junk_rule(70))

    row = RetentionRule.objects.get(mailbox=mailbox)
    assert (row.days, row.floor_days) == (70, 40)


def test_change_of_bounds_alone_is_told_in_words(alice, cast, mailbox):
    RetentionRule.objects.create(domain=cast.domain, folder="Junk", days=None, floor_days=50)

    alice.post(rules_url("set", "domain", cast.domain), bounded_rule("", floor_days="20"))

    assert PendingChange.objects.get().sentence == (
        "Mail in Junk of alder.test is kept for ever; rules below say at least 20 days."
    )


def test_removing_a_rule_is_tried_first_and_refused_with_its_reason(alice, cast, twin, mailbox):
    RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=None)
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.append(b"x", at=datetime.now(tz=UTC) - timedelta(days=40))
    path = url("mailboxes:remove_rule", mailbox)

    tried = text_of(alice.post(path, {"folder": "Junk", "try": "yes"}))
    refused = text_of(alice.post(path, {"folder": "Junk"}, follow=True))

    assert "What it would do to remove this rule" in tried
    assert "1 message more goes within 60 days" in tried
    assert "This would remove all 1 messages" in refused
    assert RetentionRule.objects.filter(mailbox=mailbox).exists()


def test_shorter_window_is_tried_first(alice, twin, mailbox, settings):
    settings.COOLING_OFF = timedelta(days=8)
    twin.accounts[mailbox.address].folders["INBOX"].append(b"x" * 50)
    twin.remove(user=mailbox.address, folder="INBOX", uids=[1])

    page = alice.post(url("mailboxes:set_window", mailbox), {"window_days": "5", "try": "yes"})

    assert "1 removed message would be gone for good" in text_of(page)
    assert not PendingChange.objects.exists()
    assert Mailbox.objects.get(pk=mailbox.pk).window_days == 30


def test_window_may_be_as_long_at_the_page_as_elsewhere(alice, mailbox):
    alice.post(url("mailboxes:set_window", mailbox), {"window_days": "400"})

    assert Mailbox.objects.get(pk=mailbox.pk).window_days == 400


def test_tripwire_of_one_mailbox_is_sharpened_at_once_and_weakened_later(alice, mailbox):
    path = url("mailboxes:set_thresholds", mailbox)
    rest = {"percent": "", "minutes": "", "fewest": ""}

    alice.post(path, {"messages": "50", **rest})
    alice.post(path, {"messages": "900", **rest})
    refused = alice.post(path, {"messages": "0", **rest})

    assert Mailbox.objects.get(pk=mailbox.pk).trip_messages == 50
    assert "fires at 900 messages" in PendingChange.objects.get().sentence
    assert refused.status_code == 422


def test_page_warns_where_no_owner_could_be_told_of_an_alarm(alice, cast, mailbox):
    told = text_of(alice.get(url("mailboxes:retention", mailbox)))
    User.objects.filter(pk=cast.alice.pk).update(email=mailbox.address)
    warned = text_of(alice.get(url("mailboxes:retention", mailbox)))

    assert "We then write to 1 owner" in told
    assert "none of them could be told" in warned


def test_change_from_above_stands_on_the_page_without_the_button(alice, cast, twin, mailbox):
    rule = Rule(folder="\\Junk", counted_from=CountedFrom.ARRIVAL, days=8)
    now = timezone.now()
    ask = {"engine": twin, "wait": timedelta(hours=72), "at": now, "now": now}
    cooling.ask_rule(actor=system("t"), target=cast.reseller, rule=rule, **ask)

    page = text_of(alice.get(url("mailboxes:retention", mailbox)))

    assert "Mail in Junk of Rowan goes after 8 days." in page
    assert "It was asked for above your organisation." in page
    assert "Call it off" not in page


def test_held_mailbox_says_that_nothing_goes(alice, cast, twin, mailbox):
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.append(b"x", at=datetime.now(tz=UTC) - timedelta(days=40))
    now = timezone.now()
    holding.place(
        actor=cast.actor(cast.sam), by=cast.sam, scope=mailbox, matter="m", reason="r", at=now
    )

    page = alice.get(url("mailboxes:retention", mailbox))

    assert "Nothing goes now, whatever the rules say" in text_of(page)
    assert sum(folder["going"] for folder in page.context["folders"]) == 0


def test_one_message_is_found_by_its_day_and_told_when_it_goes(alice, twin, mailbox):
    arrived_at = datetime.now(tz=UTC) - timedelta(days=10)
    box = twin.accounts[mailbox.address].folders["Junk"]
    box.append(b"Message-ID: <one@elsewhere.test>\r\n\r\nx", at=arrived_at)
    path = url("mailboxes:fates", mailbox)
    asked = {"folder": "Junk", "day": f"{arrived_at:%Y-%m-%d}"}

    found = text_of(alice.get(path, asked))
    none = text_of(alice.get(path, asked | {"folder": "INBOX"}))
    wrong = alice.get(path, {"folder": "Nowhere", "day": "yesterday"})

    assert f"It goes on {arrived_at + timedelta(days=30):%-d %B %Y}." in found
    assert "one@elsewhere.test" in found
    assert "None arrived in this folder" in none
    assert wrong.status_code == 422
    twin.is_down = True
    assert "cannot be reached" in text_of(alice.get(path, asked))
