"""Bring a mailbox back to a moment, from the command line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.access import Door, system
from mailstore import recovery
from mailstore.engine import EngineError, RemovedSearch, engine
from mailstore.management import targets


class Command(BaseCommand):
    """`roll_back_mailbox hello@example.test '2026-11-22 14:00'`."""

    help = "Bring back everything that was removed from a mailbox since a moment (UTC)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address")
        parser.add_argument("moment", type=targets.moment)
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")

    def handle(self, **options: Any) -> None:
        mailbox = targets.mailbox_of(options["address"])
        try:
            if options["dry_run"]:
                search = RemovedSearch(since=options["moment"])
                found = engine().removed_mail(user=mailbox.address, search=search)
                self.stdout.write(f"{len(found)} messages would come back.")
                return
            run = recovery.roll_back(
                actor=system("command line", door=Door.COMMAND),
                mailbox=mailbox,
                engine=engine(),
                moment=options["moment"],
                at=timezone.now(),
            )
            recovery.work_off(run=run, engine=engine(), now=timezone.now)
        except (
            recovery.NothingToRestore,
            recovery.NotEnoughSpace,
            recovery.RestoreUnderWay,
        ) as refusal:
            raise CommandError(str(refusal)) from refusal
        except EngineError as error:
            message = f"The mail server could not be asked: {error}"
            raise CommandError(message) from error
        run.refresh_from_db()
        self.stdout.write(f"{run.messages} messages came back.")
