"""Another plan for a mailbox from the command line, held to the same rules as on the page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.access import Door, system
from hosting import changing, comparing
from hosting.changing import Month
from hosting.models import Plan
from mailstore.management import targets
from mailstore.models import Mailbox


class Command(BaseCommand):
    """`change_plan hello@example.test pop --dry-run`."""

    help = "Let a mailbox go over to another plan; what makes mail less safe takes effect later."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address")
        parser.add_argument("plan", help="the short name of a plan on sale, for example pop")
        parser.add_argument("--dry-run", action="store_true", help="say it, and change nothing")
        parser.add_argument(
            "--gather",
            action="store_true",
            help="move mail of folders that POP does not show into the inbox",
        )

    def handle(self, **options: Any) -> None:
        mailbox = targets.mailbox_of(options["address"])
        plan = Plan.objects.filter(slug=options["plan"]).first()
        if plan is None:
            message = f"There is no plan {options['plan']}."
            raise CommandError(message)
        try:
            self._say(mailbox, plan)
            if not options["dry_run"]:
                self._change(mailbox, plan, gathers=options["gather"])
        except comparing.REFUSALS as refusal:
            raise CommandError(str(refusal)) from refusal

    def _say(self, mailbox: Mailbox, plan: Plan) -> None:
        proposal = changing.propose(mailbox=mailbox, plan=plan, at=timezone.now())
        for month in (proposal.this_month, proposal.full_month):
            self.stdout.write(_line(month))
        for one in comparing.differences(proposal, wait=settings.COOLING_OFF):
            if one.is_change:
                until = f" ({one.until_text})" if one.until_text else ""
                self.stdout.write(f"{one.name}: {one.before} -> {one.after}{until}")

    def _change(self, mailbox: Mailbox, plan: Plan, *, gathers: bool) -> None:
        made = changing.change(
            actor=system("command line", door=Door.COMMAND),
            mailbox=mailbox,
            plan=plan,
            gathers=gathers,
            wait=settings.COOLING_OFF,
            at=timezone.now(),
        )
        self.stdout.write(f"{mailbox} went from {made.old_plan} to {made.new_plan}.")


def _line(month: Month) -> str:
    return f"{month.name_text}: {month.before_text} -> {month.after_text}"
