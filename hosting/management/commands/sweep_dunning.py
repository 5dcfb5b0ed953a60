"""Says what the next sweep of the reminders would do, or does it now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from hosting import dunning
from hosting.dunning import words


class Command(BaseCommand):
    """What a worker does every minute, by hand."""

    help = "Remind, stop and set free whoever it is time for."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be done first for each"
        )

    def handle(self, **options: Any) -> None:
        at = timezone.now()
        if not options["dry_run"]:
            self.stdout.write(f"Moves made: {dunning.sweep(at=at)}.")
            return
        count = 0
        for foreseen in dunning.foresee(at=at):
            count += 1
            self.stdout.write(_line(foreseen))
        self.stdout.write(f"Customers with something to do now: {count}. Nothing was changed.")


def _line(foreseen: dunning.Foreseen) -> str:
    decision, debt = foreseen.decision, foreseen.debt
    owed = debt.total_text if debt else "nothing"
    text = f"{foreseen.run.customer}: owes {owed}; {_MOVES[decision.move]}"
    if decision.day is not None:
        text += f" day {decision.day}"
    if decision.next_step is not None and decision.next_on is not None:
        name = words.NAMES[decision.next_step.action]
        text += f"; then on {words.day_text(decision.next_on)}: {name}"
    return text


_MOVES = {
    dunning.Move.ANNOUNCE: "the next step is announced, after",
    dunning.Move.TAKE: "takes the step of",
    dunning.Move.BACK: "steps back to",
    dunning.Move.END: "ends, and all that is stopped goes on",
}
