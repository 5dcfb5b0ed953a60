"""What a mail program may take of the disk beside what counts towards the limit of its mailbox."""

from __future__ import annotations

import pytest

from accounts.access import system
from mailstore import quotas
from tests.factories import AT

ACTOR = system("tests")
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

_TINY_AT_ONCE = 500


def put_tiny(client):
    """The answer to one line that stores many messages of one letter each."""
    return client._simple_command("APPEND", "INBOX", " ".join(["{1+}\r\nx"] * _TINY_AT_ONCE))


def test_messages_of_no_size_do_not_take_files_without_end(make_program):
    """Each takes a file and a block: so many for any mailbox, and one for each KiB of its limit."""
    program = make_program()
    quotas.change_limit(actor=ACTOR, mailbox=program.mailbox, quota_bytes=200 * 1024, at=AT)
    client = program.imap()

    answers = [put_tiny(client) for _ in range(3)]
    client.select("INBOX")
    copied = client.copy("1:500", "Archive")

    assert [kind for kind, _text in answers] == ["OK", "OK", "NO"]
    for kind, [text] in (answers[2], copied):
        assert (kind, text.partition(b" ")[0]) == ("NO", b"[OVERQUOTA]")
    assert client.append("INBOX", None, None, b"x")[0] == "OK"
