"""Write the bills of a month."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.base import ProgressBar
from django.utils import timezone

from accounts.access import system
from hosting import invoicing
from hosting.invoicing import Progress
from hosting.periods import Period


class Command(BaseCommand):
    """Exit code 1 if somebody gets no bill who should."""

    help = (
        "Write the bill of each customer and reseller for a month that is over. Whoever has "
        "one already is left alone, so it may run any number of times, also at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", nargs="?", help="for example 2026-10; else the last one")

    def handle(self, *, month: str | None, **options: Any) -> None:
        now = timezone.now()
        try:
            period = Period.parse(month) if month else Period.of(now).previous
            progress = invoicing.close_month(
                actor=system("close_month"), period=period, at=now, report=_Bar()
            )
        except (ValueError, invoicing.ClosedEarly) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{progress.written} bills written for {period}; "
            f"{progress.looked_at} buyers without one were looked at."
        )
        for problem in progress.problems:
            self.stderr.write(problem)
        if progress.problems:
            sys.exit(1)


class _Bar:
    """Django's own bar, once the total is known."""

    def __init__(self) -> None:
        self.bar: ProgressBar | None = None

    def __call__(self, progress: Progress) -> None:
        if self.bar is None:
            output = sys.stderr if sys.stderr.isatty() else None
            self.bar = ProgressBar(output, progress.total)
        self.bar.update(progress.looked_at)
