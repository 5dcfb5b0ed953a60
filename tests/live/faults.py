"""Ends a worker at one exact place of the real code, and models what must be left."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
import traceback
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connections

from accounts.access import system
from mailstore import closing, recovery, sweeping

ACTOR = system("tests")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of the code: before or after the n-th call of a function.

    `command` narrows the calls of the admin API to those of one command.
    """

    name: str
    owner: object
    function: str
    is_before: bool = False
    call: int = 1
    command: str = ""

    def __str__(self):
        return self.name.replace(" ", "-")

    @contextmanager
    def reached(self, action):
        """Run the real code, with `action` at this place; gives how often it was reached."""
        real = getattr(self.owner, self.function)
        calls, happened = [], []

        def wrapped(*given, **named):
            counts = not self.command or self.command in given
            calls.extend([1] * counts)
            is_here = counts and len(calls) == self.call
            if is_here and self.is_before:
                happened.append(action())
            answer = real(*given, **named)
            if is_here and not self.is_before:
                happened.append(action())
            return answer

        setattr(self.owner, self.function, wrapped)
        try:
            yield happened
        finally:
            setattr(self.owner, self.function, real)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def lifetimes(seed):
    """The seconds that one worker after another lives, until it is killed, by chance.

    They are short at first, so that some are killed on the quickest machine, and grow, so that
    one gets through on the slowest.
    """
    chance = random.Random(seed)
    for turn in range(200):
        yield chance.uniform(0.02, 0.1 + turn / 50)


def kill_after(seconds, pid):
    """Let the process live so long at most; whether it was killed."""
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return killed(pid)


def in_a_process(work):
    """Run `work` in a process of its own, which can be killed as the kernel would."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001  # The parent's pytest must not go on in here.
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def killed(pid):
    """Wait for the process; whether SIGKILL ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill_at(place, work):
    """Have a worker die exactly there."""

    def until_killed():
        with place.reached(die):
            work()

    assert killed(in_a_process(until_killed)), f"The worker never came to: {place.name}"


def sweep(engine, at):
    """What the schedule does, at the clock `at`."""
    sweeping.plan_due(engine=engine, at=at)
    sweeping.run_open(engine=engine, now=lambda: at)
    recovery.run_open(engine=engine, now=lambda: at)
    closing.close_for_good(actor=ACTOR, at=at)
    closing.erase_closed(engine=engine, at=at)


# The model ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letter:
    """One message: what was put in, and as what it lies there."""

    folder: str
    uid: int
    text: bytes
    message_id: str
    flags: frozenset[bytes]

    @property
    def seen_by_a_program(self):
        return hashlib.sha256(self.text).hexdigest(), self.flags


@dataclass
class Model:
    """Where each message must be. It is computed without the product's help."""

    uidvalidity: dict[str, int] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def of(self, *folders):
        return [letter for letter in self.letters if letter.folder in folders]

    def receipt(self, letters):
        """What a receipt must say of these letters of one folder."""
        lines = [
            f"{letter.uid} {len(letter.text)} "
            f"{hashlib.sha256(letter.message_id.encode()).hexdigest()[:16]}\n"
            for letter in sorted(letters, key=lambda one: one.uid)
        ]
        return (
            letters[0].folder,
            len(letters),
            sum(len(letter.text) for letter in letters),
            hashlib.sha256("".join(lines).encode()).hexdigest(),
        )


def seed(program, counts, model=None, words="x"):
    """Put messages in as a mail program does, some with flags; returns the model."""
    model = model or Model()
    client = program.imap()
    for folder, count in counts.items():
        client.select(folder)
        model.uidvalidity[folder] = int(client.response("UIDVALIDITY")[1][0])
        for number in range(count):
            message_id = f"<{folder}-{words}-{number}@x.test>"
            head = f"Message-ID: {message_id}\r\nSubject: {folder} {words} {number}\r\n\r\n"
            text = (head + f"{words} {number}\r\n" * (number + 1)).encode()
            flags = [rb"\Seen", rb"\Flagged"] if number % 3 == 0 else []
            said = client.append(folder, b" ".join(flags).decode(), None, text)[1][0]
            uid = int(said.split(b"]")[0].split()[-1])
            letter = Letter(folder, uid, text, message_id, frozenset(flags))
            model.letters.append(letter)
    client.logout()
    return model


def pulled(client, *folders):
    """What a mail program finds: text and flags of each message, as often as it is there."""
    found = Counter()
    for folder in folders:
        status, said = client.select(folder, readonly=True)
        assert status == "OK", said
        if said[0] == b"0":
            continue
        for head, text in client.fetch("1:*", "(FLAGS BODY.PEEK[])")[1][::2]:
            flags = head.split(b"FLAGS (")[1].split(b")")[0].split()
            shown = frozenset(flags) - {rb"\Recent"}
            found[folder, hashlib.sha256(text).hexdigest(), shown] += 1
    return found


def wanted(letters):
    """The same for what the model says."""
    return Counter((letter.folder, *letter.seen_by_a_program) for letter in letters)


def stored(program):
    """What the recoverable store holds: folder and subject of each message."""
    found = program.live.removed_mail(user=program.address)
    return Counter((message.folder, message.subject, message.bytes) for message in found)


def wanted_in_store(letters):
    """The same for what the model says."""
    return Counter(
        (one.folder, one.text.split(b"Subject: ")[1].split(b"\r\n")[0].decode(), len(one.text))
        for one in letters
    )


def home_of(mailbox):
    name = mailbox.uuid.hex
    return Path(settings.MAIL_ROOT, name[:2], name)


def on_disk(mailbox):
    """The message files of a home, visible and in the store."""
    return sorted(home_of(mailbox).rglob("u.*"))
