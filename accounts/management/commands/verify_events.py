"""Whether every event is as it was written, and none is missing."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import chaining, numbering, verifying
from accounts.verifying import Findings

_SHOWN = 20


class Command(BaseCommand):
    """Exit code 0 if all is whole, 1 if not, 2 if it was stopped before the end."""

    help = (
        "Look through the chain of events and say at which place something was changed, removed, "
        "inserted or reordered. Exit code 1 says that something was. It can be stopped, and goes "
        "on with --after."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--after",
            type=int,
            default=0,
            metavar="PLACE",
            help="go on behind this place in the feed (default: from the beginning)",
        )

    def handle(self, *, after: int, **options: Any) -> None:
        numbering.number_all()
        chaining.chain_all()
        end = chaining.head().position
        if not 0 <= after <= end:
            message = f"There are places from 1 to {end}; go on behind one of them, or behind 0."
            raise CommandError(message, returncode=2)
        self._reached = after
        try:
            findings = verifying.verify(after=after, told=lambda found: self._show(found, end))
        except KeyboardInterrupt:
            message = f"Stopped. Go on with --after {self._reached}."
            raise CommandError(message, returncode=2) from None
        self._say(findings)

    def _show(self, found: Findings, end: int) -> None:
        self._reached = found.position
        if self.stderr.isatty():
            self.stderr.write(f"\r{found.position:,} of {end:,}", ending="")

    def _say(self, findings: Findings) -> None:
        if not findings.fault_count:
            head = chaining.head()
            self.stdout.write(f"All {findings.position:,} events are as they were written.")
            self.stdout.write(f"The chain ends with {head.link}.")
            return
        for fault in findings.faults[:_SHOWN]:
            self.stdout.write(f"At place {fault.position}: {fault.text}")
        self.stdout.write(f"{findings.fault_count} faults in all. Something changed the events.")
        sys.exit(1)
