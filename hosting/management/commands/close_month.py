"""Write the bills of a month."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.base import ProgressBar
from django.utils import timezone

from accounts.access import Door, system
from hosting import invoicing, money
from hosting.invoicing import Bill, Progress
from hosting.periods import Period

_REFUSED = 2


class Command(BaseCommand):
    """Exit code 1 if somebody gets no bill who should, and 2 if nothing was done at all."""

    help = (
        "Write the bill of each customer and reseller for a month that is over. Whoever has "
        "one already is left alone, so it may run any number of times, also at once. Exit code "
        "1 says that bills are missing and why, 2 that the month cannot be closed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", nargs="?", help="for example 2026-10; else the last one")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be written, and write nothing"
        )

    def handle(self, *, month: str | None, dry_run: bool, **options: Any) -> None:
        now = timezone.now()
        try:
            period = Period.parse(month) if month else Period.of(now).previous
            progress = self._foresee(period, now) if dry_run else self._close(period, now)
        except (ValueError, invoicing.ClosedEarly) as refusal:
            raise CommandError(str(refusal), returncode=_REFUSED) from refusal
        for problem in progress.problems:
            self.stderr.write(problem)
        if progress.problems:
            sys.exit(1)

    def _close(self, period: Period, now: datetime) -> Progress:
        progress = invoicing.close_month(
            actor=system("close_month", door=Door.COMMAND), period=period, at=now, report=_Bar()
        )
        self.stdout.write(
            f"{progress.written} bills written for {period}; "
            f"{progress.looked_at} buyers without one were looked at."
        )
        return progress

    def _foresee(self, period: Period, now: datetime) -> Progress:
        totals: Counter[str] = Counter()

        def show(bill: Bill) -> None:
            currency = bill.buyer.currency
            totals[currency] += bill.total_minor
            count = len(bill.lines) + len(bill.corrections)
            text = money.minor_text(bill.total_minor, currency=currency)
            self.stdout.write(f"{bill.buyer.organisation}: {count} lines, {text}")

        progress = invoicing.foresee(period=period, at=now, show=show, report=_Bar())
        sums = [money.minor_text(sum_, currency=currency) for currency, sum_ in totals.items()]
        said = f" of {', '.join(sums)}" if sums else ""
        self.stdout.write(f"{progress.written} bills{said} would be written for {period}.")
        return progress


class _Bar:
    """Django's own bar, once the total is known."""

    def __init__(self) -> None:
        self.bar: ProgressBar | None = None

    def __call__(self, progress: Progress) -> None:
        if self.bar is None:
            output = sys.stderr if sys.stderr.isatty() else None
            self.bar = ProgressBar(output, progress.total)
        self.bar.update(progress.looked_at)
