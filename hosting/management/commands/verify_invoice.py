"""Whether a bill is what the raw rows come to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosting import invoicing
from hosting.invoicing import Difference
from hosting.models import Invoice


class Command(BaseCommand):
    """Exit code 0 if they are equal, 1 if not, 2 if there is no such bill."""

    help = (
        "Compute a bill again from contracts, prices and the meter, and say whether it is "
        "equal; or look at all numbers that were given, and say whether one is missing. Exit "
        "code 1 says that something is wrong, 2 that there is no such bill."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("number", nargs="?", help="the number of the bill, such as R-000001")
        what.add_argument("--numbers", action="store_true", help="look at the numbers of all")

    def handle(self, *, number: str | None, numbers: bool, **options: Any) -> None:
        if numbers or number is None:
            self._say(invoicing.verify_numbers(), "Every number was given once.")
            return
        invoices = Invoice.objects.select_related(
            "customer__parent", "price_list__seller", "corrects"
        )
        invoice = invoices.filter(number=number).first()
        if invoice is None:
            message = f"There is no bill {number}."
            raise CommandError(message, returncode=2)
        said = f"{number} is equal: {invoice.total_text} in all."
        self._say(invoicing.verify(invoice), said)

    def _say(self, differences: Sequence[Difference | str], equal_text: str) -> None:
        if not differences:
            self.stdout.write(equal_text)
            return
        for difference in differences:
            self.stdout.write(str(difference))
        sys.exit(1)
