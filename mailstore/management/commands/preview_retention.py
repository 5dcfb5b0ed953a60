"""What the retention rules will remove, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mailstore import previewing, rules
from mailstore.engine import EngineError, engine
from mailstore.management import targets
from mailstore.policy import LONGEST_DAYS, CountedFrom, Rule, RuleRefused
from mailstore.previewing import FolderPreview
from mailstore.quotas import byte_text


class Command(BaseCommand):
    """`preview_retention --mailbox hello@example.test --days 30` changes nothing."""

    help = "Show what the retention rules remove in the coming days, folder by folder."

    def add_arguments(self, parser: CommandParser) -> None:
        targets.add_scope(parser)
        parser.add_argument("--days", type=int, default=30, help="how far to look, 30 by default")
        parser.add_argument("--try-folder", metavar="FOLDER", help="preview a rule for this folder")
        parser.add_argument("--try-days", type=int, metavar="DAYS", help="after so many days")
        parser.add_argument(
            "--try-from",
            choices=[counted.value for counted in CountedFrom],
            default=CountedFrom.ARRIVAL.value,
            help="what its days are counted from",
        )

    def handle(self, *, days: int, **options: Any) -> None:
        if not 0 <= days <= LONGEST_DAYS:
            message = f"Days are a whole number from 0 to {LONGEST_DAYS}."
            raise CommandError(message)
        target, rule = targets.scope_of(options), _rule(options)
        until = timezone.now() + timedelta(days=days)
        try:
            if rule is not None:
                rules.check_bounds(target=target, rule=rule)
            found = previewing.preview(target=target, engine=engine(), until=until, rule=rule)
        except RuleRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except EngineError as error:
            message = f"The mail server could not be asked: {error}"
            raise CommandError(message) from error
        for folder in found.folders:
            self._write(folder)
        self.stdout.write(
            f"{found.going} messages ({byte_text(found.going_bytes)}) "
            f"go within {days} days; mailboxes: {found.mailboxes}."
        )

    def _write(self, folder: FolderPreview) -> None:
        self.stdout.write(folder.sentence or f"{folder.folder}: mailboxes differ.")
        if folder.oldest is None or folder.newest is None:
            return
        self.stdout.write(
            f"  {folder.going} of {folder.messages} messages, {byte_text(folder.going_bytes)}, "
            f"arrived {folder.oldest:%Y-%m-%d} to {folder.newest:%Y-%m-%d}"
        )
        for day, count in sorted(folder.days.items()):
            self.stdout.write(f"    {day:%Y-%m-%d}: {count}")


def _rule(options: dict[str, Any]) -> Rule | None:
    if not options["try_folder"]:
        return None
    return Rule(
        folder=options["try_folder"],
        counted_from=CountedFrom(options["try_from"]),
        days=options["try_days"],
    )
