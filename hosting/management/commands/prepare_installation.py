"""Make everything ready that must be before the program starts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hosting.stack import launching, telling


class Command(BaseCommand):
    """Starts nothing; `bin/run` does the same before it starts."""

    help = "Make database, mail role, mail configuration and certificate ready."

    def handle(self, **options: Any) -> None:
        try:
            launching.make_ready()
        except telling.NotStarted as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write("The installation is ready to be started.")
