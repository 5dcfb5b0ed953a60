"""The quick start, line by line, as somebody does who has a key and a terminal."""

from __future__ import annotations

import html
import json
import re
import subprocess

import httpx
import pytest

from mailstore.models import Mailbox
from tests.factories import make_cast
from tests.hosting.api.caller import make_key
from tests.live.panel import environment
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

STEP = re.compile(r"<code data-step>(.*?)</code>", re.DOTALL)
# What the page says that the key needs: to read and write mailboxes and domains, to make passwords.
SCOPES = ("mailboxes:read", "mailboxes:write", "domains:read", "domains:write", "passwords:write")


@pytest.fixture
def cast():
    return make_cast()


class Terminal:
    """Bash with what the reader has set so far; each answer is JSON and no problem."""

    def __init__(self, **variables):
        self.variables = variables
        self.steps = 0

    def run(self, line):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env=environment(**self.variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        self.steps += 1
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        answer = json.loads(done.stdout)
        assert "status" not in answer, f"{line}\n{done.stdout}"
        return answer


def steps_of(panel):
    page = httpx.get(f"{panel.url}/api/quick-start", trust_env=False, timeout=PATIENCE_SECONDS)
    assert page.status_code == 200
    return [html.unescape(text) for text in STEP.findall(page.text)]


def test_every_line_of_the_quick_start_does_what_it_says(cast, panel, counts):
    plans, find, order, look, change, batch = steps_of(panel)
    terminal = Terminal(API=panel.api, KEY=make_key(cast.customer, *SCOPES).secret)

    assert {"pop", "imap"} <= {plan["id"] for plan in terminal.run(plans)["items"]}
    terminal.variables["DOMAIN"] = terminal.run(find)["items"][0]["id"]
    ordered = terminal.run(order)
    again = terminal.run(order)
    found = terminal.run(look)["items"]
    terminal.variables["MAILBOX"] = found[0]["id"]
    changed = terminal.run(change)
    tried = terminal.run(batch)

    assert ordered == again
    assert ordered["app_password"]["secret"]
    assert [each["id"] for each in found] == [ordered["id"]]
    assert changed["label"] == "Front desk"
    assert "errors" not in tried
    mailbox = Mailbox.objects.get()
    assert (mailbox.address, mailbox.label) == ("quick-start@alder.test", "Front desk")
    counts(lines=terminal.steps, mailboxes=1)
