"""Commands about retention, recovery and holds: doors to the same verbs as the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mailstore.models import Hold, Mailbox, PendingChange, RetentionRule
from tests.factories import make_mailbox, make_member

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

ADDRESS = "hello@alder.test"


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=mailbox.special_folders)
    return mailbox


def run(capsys, *arguments, **options):
    call_command(*arguments, **options)
    return capsys.readouterr().out


def test_rule_is_set_at_once_or_waits(capsys, mailbox):
    loose = run(capsys, "set_retention_rule", "--mailbox", ADDRESS, "\\Junk", "60")
    tight = run(capsys, "set_retention_rule", "--domain", "alder.test", "\\Junk", "9")

    assert loose == "The rule holds.\n"
    assert tight.startswith("The rule takes effect at ")
    assert RetentionRule.objects.get(mailbox=mailbox).days == 60
    assert PendingChange.objects.count() == 1


def test_dry_run_changes_nothing(capsys, mailbox):
    asked = ("set_retention_rule", "--organisation", "Alder", "\\Junk", "never", "--dry-run")

    assert run(capsys, *asked) == "It would hold at once.\n"
    assert not RetentionRule.objects.filter(organisation__isnull=False).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mailbox", ADDRESS, "\\Junk", "0"], "from 1 to 3650"),
        (["--mailbox", ADDRESS, "\\Junk", "-5"], "from 1 to 3650"),
        (["--mailbox", ADDRESS, "\\Junk", "x"], "whole number or 'never'"),
        (["--mailbox", ADDRESS, "\\Junk", "3"], "at least 7 days"),
        (["--mailbox", ADDRESS, "*", "3"], "at least 30 days"),
        (["--mailbox", ADDRESS, "\\Nope", "40"], "no special use"),
        (["--mailbox", "nobody@alder.test", "\\Junk", "40"], "no mailbox"),
        (["--domain", "nowhere.test", "\\Junk", "40"], "no domain"),
        (["--organisation", "Nobody", "\\Junk", "40"], "no organisation"),
    ],
)
def test_rule_is_refused_with_the_reason(arguments, message, mailbox):
    with pytest.raises(CommandError, match=message):
        call_command("set_retention_rule", *arguments[:2], "--", *arguments[2:])


def test_rule_that_would_remove_everything_is_refused(twin, mailbox):
    box = twin.accounts[ADDRESS].folders["INBOX"]
    box.append(b"x", at=timezone.now() - timedelta(days=50))

    with pytest.raises(CommandError, match="all 1 messages"):
        call_command("set_retention_rule", "--mailbox", ADDRESS, "INBOX", "40")


def test_preview_tells_what_goes(capsys, twin, mailbox):
    twin.accounts[ADDRESS].folders["Junk"].append(b"x" * 40, at=datetime(2026, 1, 1, tzinfo=UTC))

    text = run(capsys, "preview_retention", "--organisation", "Alder")

    assert "Mail in Junk goes 30 days after it arrived in Junk: the plan says so." in text
    assert "1 of 1 messages, 40 B, arrived 2026-01-01 to 2026-01-01" in text
    assert "2026-01-31: 1" in text
    assert "1 messages (40 B) go within 30 days; mailboxes: 1." in text
    tried = ["preview_retention", "--mailbox", ADDRESS, "--try-folder", "Junk", "--try-days"]
    assert "0 messages" in run(capsys, *tried, "3650")
    with pytest.raises(CommandError, match="at least 7 days"):
        call_command(*tried, "3")
    with pytest.raises(CommandError, match="0 to 3650"):
        call_command("preview_retention", "--mailbox", ADDRESS, "--days", "-1")


def test_preview_tries_bounds_policies_and_life_without_a_rule(capsys, twin, mailbox):
    twin.accounts[ADDRESS].folders["Junk"].append(b"x" * 40, at=datetime(2026, 1, 1, tzinfo=UTC))
    RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=None)
    of_imap = ["preview_retention", "--policy", "imap"]

    assert "0 messages" in run(capsys, "preview_retention", "--mailbox", ADDRESS)
    without = run(capsys, "preview_retention", "--mailbox", ADDRESS, "--try-removing", "Junk")
    assert "1 messages (40 B) go" in without
    floor = ["--try-folder", "\\Junk", "--try-days", "40", "--try-floor"]
    assert "0 messages" in run(capsys, *of_imap, *floor, "30")
    with pytest.raises(CommandError, match="own least of 50"):
        call_command(*of_imap, *floor, "50")
    with pytest.raises(CommandError, match="no policy nothing"):
        call_command("preview_retention", "--policy", "nothing")


def test_preview_says_how_many_are_held_and_of_one_message_when_it_goes(capsys, twin, mailbox):
    twin.accounts[ADDRESS].folders["Junk"].append(b"x", at=timezone.now() - timedelta(days=5))
    one = ["preview_retention", "--mailbox", ADDRESS, "--folder", "Junk", "--uid"]
    assert "It goes on" in run(capsys, *one, "1")
    Mailbox.objects.update(frozen_at=timezone.now())

    assert "nothing goes from them: 1." in run(capsys, "preview_retention", "--mailbox", ADDRESS)
    assert "Nothing goes now: hello@alder.test is frozen" in run(capsys, *one, "1")
    with pytest.raises(CommandError, match="no message 2 in Junk"):
        call_command(*one, "2")
    with pytest.raises(CommandError, match="by --mailbox, --folder and --uid"):
        call_command("preview_retention", "--organisation", "Alder", "--uid", "1")


def test_preview_says_that_the_mail_server_is_down(twin, mailbox):
    twin.is_down = True

    for command in (
        ["preview_retention", "--mailbox", ADDRESS],
        ["set_retention_rule", "--mailbox", ADDRESS, "\\Junk", "60"],
        ["roll_back_mailbox", ADDRESS, "2026-01-01"],
    ):
        with pytest.raises(CommandError, match="could not be asked"):
            call_command(*command)


def test_mailbox_is_rolled_back(capsys, twin, mailbox):
    twin.accounts[ADDRESS].folders["INBOX"].append(b"Subject: x\r\n\r\n")
    twin.remove(user=ADDRESS, folder="INBOX", uids=[1])

    assert run(capsys, "roll_back_mailbox", ADDRESS, "2026-01-01", "--dry-run") == (
        "1 messages would come back.\n"
    )
    assert run(capsys, "roll_back_mailbox", ADDRESS, "2026-01-01") == "1 messages came back.\n"
    with pytest.raises(CommandError, match="nothing to bring back"):
        call_command("roll_back_mailbox", ADDRESS, "2026-01-01")
    with pytest.raises(CommandError, match="not a moment"):
        call_command("roll_back_mailbox", ADDRESS, "yesterday")


def test_hold_is_placed_and_released_by_another(capsys, cast, mailbox):
    sam, other = "sam@example.test", "ruth@example.test"
    place = ["place_hold", "--mailbox", ADDRESS, "--by", sam]
    make_member(other, cast.provider, "operator")
    make_member("tess@example.test", cast.provider, "support")

    assert run(capsys, *place, "Case 7", "A court asked.").startswith("Hold ")
    hold = str(Hold.objects.get().uuid)
    with pytest.raises(CommandError, match="matter and a reason"):
        call_command(*place, " ", "x")
    with pytest.raises(CommandError, match="Somebody else"):
        call_command("release_hold", hold, "--by", sam, "over")
    with pytest.raises(CommandError, match="Only operators"):
        call_command("release_hold", hold, "--by", "tess@example.test", "over")
    with pytest.raises(CommandError, match="no member of staff"):
        call_command("release_hold", hold, "--by", "alice@example.test", "over")
    with pytest.raises(CommandError, match="no hold"):
        call_command("release_hold", str(mailbox.uuid), "--by", other, "over")
    assert run(capsys, "release_hold", hold, "--by", other, "over") == "The hold is released.\n"
