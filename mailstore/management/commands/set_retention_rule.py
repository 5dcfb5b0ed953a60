"""A retention rule from the command line, held to the same checks as on the page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.access import Door, system
from mailstore import checking, cooling, policy, rules
from mailstore.engine import EngineError, engine
from mailstore.management import targets
from mailstore.policy import CountedFrom, Rule


class Command(BaseCommand):
    r"""`set_retention_rule --domain example.test '\Junk' 14`."""

    help = "Set how long mail stays in a folder; what removes sooner takes effect after a wait."

    def add_arguments(self, parser: CommandParser) -> None:
        targets.add_scope(parser)
        parser.add_argument("folder", help=r"a name, a special use such as \Junk, or * for all")
        parser.add_argument("days", help="a number of days, or 'never'")
        parser.add_argument(
            "--from",
            dest="counted_from",
            choices=[counted.value for counted in CountedFrom],
            default=CountedFrom.ARRIVAL.value,
            help="what the days are counted from",
        )
        parser.add_argument("--floor", type=int, help="the least days that layers below may set")
        parser.add_argument("--ceiling", type=int, help="the most days that layers below may set")
        parser.add_argument(
            "--new-folder", action="store_true", help="no mailbox has the folder yet"
        )
        parser.add_argument("--dry-run", action="store_true", help="check, and change nothing")

    def handle(self, **options: Any) -> None:
        target = targets.scope_of(options)
        rule = _rule(options)
        at = timezone.now()
        try:
            if options["dry_run"]:
                checking.check_rule(
                    target=target,
                    rule=rule,
                    engine=engine(),
                    at=at,
                    is_new_folder=options["new_folder"],
                )
                waits = rules.is_less_safe(target=target, rule=rule)
                self.stdout.write("It would wait." if waits else "It would hold at once.")
                return
            change = cooling.ask_rule(
                actor=system("command line", door=Door.COMMAND),
                target=target,
                rule=rule,
                engine=engine(),
                wait=settings.COOLING_OFF,
                at=at,
                now=at,
                is_new_folder=options["new_folder"],
            )
        except policy.RuleRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except EngineError as error:
            message = f"The mail server could not be asked: {error}"
            raise CommandError(message) from error
        when = f"takes effect at {change.effective_at:%Y-%m-%d %H:%M} UTC" if change else "holds"
        self.stdout.write(f"The rule {when}.")


def _rule(options: dict[str, Any]) -> Rule:
    days = options["days"]
    try:
        count = None if days == "never" else int(days)
    except ValueError as error:
        message = f"Days are a whole number or 'never', not {days[:40]!r}."
        raise CommandError(message) from error
    return Rule(
        folder=options["folder"],
        counted_from=CountedFrom(options["counted_from"]),
        days=count,
        floor_days=options["floor"],
        ceiling_days=options["ceiling"],
    )
