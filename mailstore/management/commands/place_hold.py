"""A hold from the command line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import membership
from accounts.access import Forbidden
from mailstore import holding
from mailstore.management import targets


class Command(BaseCommand):
    """`place_hold --domain example.test --by sam@example.test 'Case 7' 'A court asked.'`."""

    help = "Stop all removal from a mailbox, a domain or an organisation until it is released."

    def add_arguments(self, parser: CommandParser) -> None:
        targets.add_scope(parser)
        parser.add_argument("--by", required=True, metavar="EMAIL", help="the member of staff")
        parser.add_argument("matter")
        parser.add_argument("reason")

    def handle(self, **options: Any) -> None:
        user = targets.user_of(options["by"])
        try:
            hold = holding.place(
                actor=membership.actor_for(user, origin=membership.AT_A_TERMINAL),
                by=user,
                scope=targets.scope_of(options),
                matter=options["matter"],
                reason=options["reason"],
                at=timezone.now(),
            )
        except (holding.HoldRefused, Forbidden) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"Hold {hold.uuid} stands.")
