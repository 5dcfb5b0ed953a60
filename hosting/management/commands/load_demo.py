"""Fill an empty installation with the demo."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hosting import demo
from mailstore.engine import EngineError, engine


class Command(BaseCommand):
    """`load_demo` makes the rows; `load_demo --letters` puts mail in once Dovecot runs."""

    help = "Make the demo's organisations, people and mailboxes, or put letters into them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--letters", action="store_true", help="deliver the demo's mail")

    def handle(self, *, letters: bool, **options: Any) -> None:
        at = timezone.now()
        if not letters:
            made = demo.load(at=at)
            self.stdout.write("The demo was made." if made else "There is something here already.")
            return
        try:
            count = demo.deliver_letters(engine=engine(), at=at)
        except EngineError as error:
            message = f"The letters did not go in: {error}. Is Dovecot running?"
            raise CommandError(message) from error
        self.stdout.write(f"{count} letters delivered.")
