"""The release of a hold from the command line."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import membership
from accounts.access import Forbidden
from mailstore import holding
from mailstore.management import targets
from mailstore.models import Hold


class Command(BaseCommand):
    """`release_hold UUID --by rita@example.test 'The case is closed.'`."""

    help = "Release a hold; somebody else than who placed it must."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hold", type=UUID)
        parser.add_argument("--by", required=True, metavar="EMAIL", help="the member of staff")
        parser.add_argument("reason")

    def handle(self, **options: Any) -> None:
        user = targets.user_of(options["by"])
        hold = Hold.objects.filter(uuid=options["hold"]).first()
        if hold is None:
            message = f"There is no hold {options['hold']}."
            raise CommandError(message)
        try:
            holding.release(
                actor=membership.actor_for(user, origin=membership.AT_A_TERMINAL),
                by=user,
                hold=hold,
                reason=options["reason"],
                at=timezone.now(),
            )
        except (holding.HoldRefused, Forbidden) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write("The hold is released.")
