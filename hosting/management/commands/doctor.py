"""Examine a running installation."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hosting import doctor


class Command(BaseCommand):
    """Exit code 0 if all is well, 1 if anything is wrong."""

    help = "Check every part and send a message through a POP and an IMAP mailbox."
    # The checks themselves say what is wrong, in this command's own words.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")
        parser.add_argument(
            "--only",
            action="append",
            choices=doctor.CHECKS,
            default=[],
            help="run this check alone; may be given several times",
        )

    def handle(self, **options: Any) -> None:
        findings = []
        for finding in doctor.examine(only=options["only"]):
            findings.append(finding)
            if not options["json"]:
                self._say(finding)
        is_well = all(finding.is_well for finding in findings)
        if options["json"]:
            report = {"well": is_well, "checks": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(report, indent=1))
        if not is_well:
            sys.exit(1)

    def _say(self, finding: doctor.Finding) -> None:
        sign = self.style.SUCCESS("ok   ") if finding.is_well else self.style.ERROR("wrong")
        self.stdout.write(f"{sign} {finding.name}: {finding.text}")
        if finding.remedy:
            self.stdout.write(f"      {finding.remedy}")
