"""The log of a real Dovecot is rotated while programs remove mail; the logbook misses nothing."""

from __future__ import annotations

import signal

import pytest

from mailstore import logbook
from mailstore.engine import uids_of
from mailstore.models import Removal
from tests.patience import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def test_removals_on_both_sides_of_a_rotation_are_noted(make_program, dovecot):
    program = make_program("imap", "rotated")
    log = program.server.log
    for number in range(9):
        program.deliver(str(number))
    client = program.imap()
    client.select("INBOX")

    def remove(count):
        client.store(f"1:{count}", "+FLAGS", r"(\Deleted)")
        client.expunge()

    logbook.read(path=log)
    remove(2)
    log.rename(log.with_name(f"{log.name}.1"))
    remove(3)
    dovecot.master.send_signal(signal.SIGUSR1)
    eventually(log.exists)
    remove(4)

    def is_noted():
        logbook.read(path=log)
        return sum(Removal.objects.values_list("messages", flat=True)) == 9

    eventually(is_noted)
    # A row is of one minute, and they may have gone in two.
    rows = Removal.objects.values_list("uids", flat=True)
    assert sorted(uid for uids in rows for uid in uids_of(uids)) == [*range(1, 10)]
