"""What the authenticator apps of the demo's people show now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hosting import demo


class Command(BaseCommand):
    """A code for each of the demo's people who need a second factor; it is good for a minute."""

    help = "Show the second-factor codes with which the demo's staff and reseller sign in."

    def handle(self, **options: Any) -> None:
        codes = demo.codes(at=timezone.now())
        if not codes:
            message = "There is no demo here whose people have a second factor."
            raise CommandError(message)
        for name, code in codes.items():
            self.stdout.write(f"{name}  {code}")
