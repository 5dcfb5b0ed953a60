"""Open many mailboxes from a CSV file."""

from __future__ import annotations

import csv
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.base import ProgressBar
from django.utils import timezone

from accounts.access import system
from accounts.models import Organisation
from hosting import importing
from hosting.importing import Checked, KeepSecrets, Problem, Record, Secret

# About two million lines; a file that never ends would fill the memory.
_MOST_BYTES = 200_000_000


class Command(BaseCommand):
    """Exit code 0 if every line was opened, 1 if any was not."""

    help = (
        f"Open mailboxes from a CSV file with the columns {', '.join(importing.COLUMNS)}, of "
        f"which {' and '.join(importing.NEEDED_COLUMNS)} are needed. In app_password stands the "
        "name of a device; its secret is made here, and written to the file of --passwords. "
        "All lines are checked first, and one that cannot be opened stops the whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file, in UTF-8")
        parser.add_argument("--dry-run", action="store_true", help="check, and change nothing")
        parser.add_argument("--organisation", help="take domains of this organisation only")
        parser.add_argument("--skip-bad", action="store_true", help="open the lines that are good")
        parser.add_argument(
            "--passwords",
            type=Path,
            help="write new app passwords to this file; an older one is continued",
        )

    def handle(self, *, file: Path, organisation: str | None, **options: Any) -> None:
        owner = None if organisation is None else _organisation(organisation)
        records = _read(file)
        passwords: Path | None = options["passwords"]
        if importing.asks_for_app_passwords(records) and passwords is None:
            message = "The list asks for app passwords. Say where to write them: --passwords FILE."
            raise CommandError(message)
        checked = importing.check_records(records, actor=_ACTOR, organisation=owner)
        self._complain(checked.problems)
        if options["dry_run"]:
            self.stdout.write(f"{len(checked.rows)} mailboxes could be opened; nothing was done.")
        elif checked.problems and not options["skip_bad"]:
            self.stdout.write("Nothing was done. --skip-bad opens the lines that are good.")
        else:
            checked.problems += self._apply(checked, passwords)
        if checked.problems:
            sys.exit(1)

    def _apply(self, checked: Checked, passwords: Path | None) -> list[Problem]:
        """Open what is good; returns what was lost on the way."""
        opened, lost = 0, list[Problem]()
        bar = ProgressBar(sys.stderr if sys.stderr.isatty() else None, len(checked.rows))
        with _secrets_file(passwords) as keep:
            at = timezone.now()
            try:
                for piece in importing.apply(rows=checked.rows, actor=_ACTOR, at=at, keep=keep):
                    opened += piece.opened_count
                    lost += piece.problems
                    bar.update(opened + len(lost))
            finally:
                self.stdout.write(f"{opened} mailboxes opened.")
        self._complain(lost)
        return lost

    def _complain(self, problems: list[Problem]) -> None:
        for problem in problems:
            self.stderr.write(_sentence(problem))


_ACTOR = system("import_mailboxes")


def _read(file: Path) -> list[Record]:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}."
        raise CommandError(message) from error
    if len(content) > _MOST_BYTES:
        message = f"{file} has more than {_MOST_BYTES // 10**6} MB. Divide it."
        raise CommandError(message)
    try:
        return importing.read(importing.decode(content))
    except importing.UnreadableList as refusal:
        raise CommandError(_sentence(refusal.problem)) from refusal


def _sentence(problem: Problem) -> str:
    column = f", {problem.column}" if problem.column else ""
    return f"line {problem.line}{column}: {problem.message}"


def _organisation(name: str) -> Organisation:
    # PostgreSQL cannot even be asked for a name with a NUL in it.
    found = [] if "\0" in name else list(Organisation.objects.filter(name=name)[:2])
    if len(found) != 1:
        message = (
            f"Several organisations are named “{name}”."
            if found
            else f"There is no organisation “{name}”."
        )
        raise CommandError(message)
    return found[0]


@contextmanager
def _secrets_file(path: Path | None) -> Iterator[KeepSecrets | None]:
    """A function that appends secrets to the file and has them on the disk when it returns."""
    if path is None:
        yield None
        return
    number = _opened(path)

    def keep(secrets: list[Secret]) -> None:
        text = io.StringIO()
        writer = csv.writer(text)
        if os.fstat(number).st_size == 0:
            writer.writerow(("address", "label", "secret"))
        writer.writerows((each.address, each.label, each.secret) for each in secrets)
        try:
            _write(number, text.getvalue().encode())
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}."
            raise CommandError(message) from error

    try:
        yield keep
    finally:
        os.close(number)


def _write(number: int, content: bytes) -> None:
    while content:
        content = content[os.write(number, content) :]
    os.fsync(number)


def _opened(path: Path) -> int:
    """A descriptor of an ordinary file that nobody else can read."""
    # Without O_NONBLOCK a named pipe would wait here for somebody to read it.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        number = os.open(path, flags, 0o600)
        is_ordinary = stat.S_ISREG(os.fstat(number).st_mode)
        if is_ordinary:
            os.fchmod(number, 0o600)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise CommandError(message) from error
    if not is_ordinary:
        os.close(number)
        message = f"{path} is not an ordinary file."
        raise CommandError(message)
    return number
