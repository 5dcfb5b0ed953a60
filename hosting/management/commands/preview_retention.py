"""What the retention rules will remove, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hosting import forecasting, itemising
from mailstore import fates, previewing, retention, rules
from mailstore.engine import EngineError, engine
from mailstore.management import targets
from mailstore.models import RetentionPolicy
from mailstore.policy import LONGEST_DAYS, CountedFrom, Rule, RuleRefused
from mailstore.previewing import FolderPreview, Preview
from mailstore.quotas import byte_text


class Command(BaseCommand):
    """`preview_retention --mailbox hello@example.test --days 30` changes nothing."""

    help = "Show what the retention rules remove in the coming days, folder by folder."

    def add_arguments(self, parser: CommandParser) -> None:
        scope = targets.add_scope(parser)
        scope.add_argument("--policy", metavar="SLUG", help="all mailboxes with this policy")
        parser.add_argument("--days", type=int, default=30, help="how far to look, 30 by default")
        trial = parser.add_mutually_exclusive_group()
        trial.add_argument("--try-folder", metavar="FOLDER", help="preview a rule for this folder")
        trial.add_argument("--try-removing", metavar="FOLDER", help="preview without its rule")
        parser.add_argument("--try-days", type=int, metavar="DAYS", help="after so many days")
        parser.add_argument("--try-floor", type=int, metavar="DAYS", help="least days below")
        parser.add_argument("--try-ceiling", type=int, metavar="DAYS", help="most days below")
        parser.add_argument(
            "--try-from",
            choices=[counted.value for counted in CountedFrom],
            default=CountedFrom.ARRIVAL.value,
            help="what its days are counted from",
        )
        parser.add_argument("--folder", help="with --uid: say of one message when it goes")
        parser.add_argument("--uid", type=int, help="the number of the message in its folder")

    def handle(self, *, days: int, **options: Any) -> None:
        if not 0 <= days <= LONGEST_DAYS:
            message = f"Days are a whole number from 0 to {LONGEST_DAYS}."
            raise CommandError(message)
        try:
            if options["folder"] or options["uid"]:
                self._tell_fate(options)
                return
            target = _target(options)
            found = previewing.preview(
                target=target,
                engine=engine(),
                until=timezone.now() + timedelta(days=days),
                trial=_trial(target, options),
            )
        except (RuleRefused, fates.NoSuchMessage) as refusal:
            raise CommandError(str(refusal)) from refusal
        except EngineError as error:
            message = f"The mail server could not be asked: {error}"
            raise CommandError(message) from error
        self._tell(found, days=days)

    def _tell_fate(self, options: dict[str, Any]) -> None:
        if not (options["mailbox"] and options["folder"] and options["uid"]):
            message = "One message is named by --mailbox, --folder and --uid."
            raise CommandError(message)
        mailbox = targets.mailbox_of(options["mailbox"])
        fate = fates.of_message(
            mailbox=mailbox,
            engine=engine(),
            folder=options["folder"],
            uid=options["uid"],
            at=timezone.now(),
        )
        self.stdout.write(fate.sentence)
        stopped_text = fates.stopped_text(mailbox)
        if stopped_text:
            self.stdout.write(f"Nothing goes now: {stopped_text}")

    def _tell(self, found: Preview, *, days: int) -> None:
        for folder in found.folders:
            self._write(folder)
        self.stdout.write(
            f"{found.going} messages ({byte_text(found.going_bytes)}) "
            f"go within {days} days; mailboxes: {found.mailboxes}."
        )
        if found.stopped:
            self.stdout.write(f"Held or frozen, so nothing goes from them: {found.stopped}.")
        going = {mailbox: size for mailbox, size in found.bytes_of.items() if size}
        saved = itemising.savings_text(forecasting.monthly_savings(going, at=timezone.now()))
        if saved:
            self.stdout.write(f"Without it, a month costs {saved} less at today's prices.")

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


def _target(options: dict[str, Any]) -> rules.Target:
    if not options["policy"]:
        return targets.scope_of(options)
    found = RetentionPolicy.objects.filter(slug=options["policy"]).first()
    if found is None:
        message = f"There is no policy {options['policy']}."
        raise CommandError(message)
    return found


def _trial(target: rules.Target, options: dict[str, Any]) -> retention.Trial | None:
    if options["try_removing"]:
        return rules.trial(target=target, rule=None, folder=options["try_removing"])
    if not options["try_folder"]:
        return None
    rule = Rule(
        folder=options["try_folder"],
        counted_from=CountedFrom(options["try_from"]),
        days=options["try_days"],
        floor_days=options["try_floor"],
        ceiling_days=options["try_ceiling"],
    )
    rules.check_bounds(target=target, rule=rule)
    return rules.trial(target=target, rule=rule)
