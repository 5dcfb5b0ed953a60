"""Whether a bill is what the raw rows come to."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosting import invoicing
from hosting.models import Invoice


class Command(BaseCommand):
    """Exit code 0 if they are equal, 1 if not, 2 if there is no such bill."""

    help = (
        "Compute a bill again from contracts, prices and the meter, and say whether it is "
        "equal. Exit code 1 says that it is not, 2 that there is no such bill."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="the number of the bill, for example R-000001")

    def handle(self, *, number: str, **options: Any) -> None:
        invoices = Invoice.objects.select_related(
            "customer__parent", "price_list__seller", "corrects"
        )
        invoice = invoices.filter(number=number).first()
        if invoice is None:
            message = f"There is no bill {number}."
            raise CommandError(message, returncode=2)
        differences = invoicing.verify(invoice)
        if not differences:
            self.stdout.write(f"{number} is equal: {invoice.total_text} in all.")
            return
        for difference in differences:
            self.stdout.write(str(difference))
        sys.exit(1)
