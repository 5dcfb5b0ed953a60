"""What the retention rules will remove, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mailstore import retention, rules
from mailstore.engine import EngineError, engine
from mailstore.management import targets
from mailstore.models import Mailbox
from mailstore.quotas import byte_text


class Command(BaseCommand):
    """`preview_retention --mailbox hello@example.test --days 30` changes nothing."""

    help = "Show what the retention rules remove in the coming days, folder by folder."

    def add_arguments(self, parser: CommandParser) -> None:
        targets.add_scope(parser)
        parser.add_argument("--days", type=int, default=30, help="how far to look, 30 by default")

    def handle(self, *, days: int, **options: Any) -> None:
        if not 0 <= days <= 3650:  # noqa: PLR2004  # ten years
            message = "Days are a whole number from 0 to 3650."
            raise CommandError(message)
        until = timezone.now() + timedelta(days=days)
        mailboxes = rules.mailboxes_under(targets.scope_of(options))
        try:
            for mailbox in mailboxes.select_related("organisation__parent", "domain").iterator():
                self._preview(mailbox, until)
        except EngineError as error:
            message = f"The mail server could not be asked: {error}"
            raise CommandError(message) from error

    def _preview(self, mailbox: Mailbox, until: Any) -> None:
        self.stdout.write(mailbox.address)
        for found in retention.outlook(mailbox=mailbox, engine=engine(), until=until):
            self.stdout.write(f"  {found.decision.sentence}")
            if found.fates:
                first = min(fate.goes_at for fate in found.fates)
                self.stdout.write(
                    f"    {len(found.fates)} of {found.state.messages} messages, "
                    f"{byte_text(found.bytes)}, the first on {first:%Y-%m-%d}"
                )
