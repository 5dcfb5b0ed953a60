"""Every fact about a mailbox has words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from accounts.access import system
from accounts.models import Event
from hosting import history
from tests.factories import AT


def kinds_in_source():
    sources = [path.read_text() for path in Path(settings.BASE_DIR, "mailstore").glob("*.py")]
    pattern = r'"((?:mailbox|app_password|tripwire)\.[a-z_]+)"'
    return {kind for source in sources for kind in re.findall(pattern, source)}


def test_every_fact_about_a_mailbox_has_words():
    assert kinds_in_source() - set(history.SENTENCES) == set()


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("mailbox.updated", {"window_days": {"old": 30, "new": 9}}, "for 9 days instead of 30"),
        ("mailbox.updated", {"tripwire": "on"}, "The tripwire was switched on."),
        ("mailbox.updated", {"tripwire": "off"}, "The tripwire was switched off."),
        ("mailbox.updated", {"label": {"old": "", "new": "x"}}, "The settings were changed."),
        ("mailbox.quota_warning", {"percent": 80}, "80 % of the limit were reached"),
        ("mailbox.restore_planned", {"messages": 1}, "1 removed message was asked back."),
        ("mailbox.mail_restored", {"messages": 7}, "7 messages came back."),
    ],
)
def test_fact_is_told_in_words(kind, data, text):
    actor = system("x")
    event = Event(kind=kind, at=AT, actor_kind=actor.kind, actor_name="quota watch", data=data)

    told = history.told(event, house_name="Restante")

    assert text in told.text
    assert told.by == "Restante"
