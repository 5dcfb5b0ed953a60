"""Write the OpenAPI document after an operation has changed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from hosting.api import schema


class Command(BaseCommand):
    """Make docs/api/openapi.yaml anew."""

    help = "Write docs/api/openapi.yaml from what the operations of the API declare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Print it instead.")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        if dry_run:
            self.stdout.write(schema.text())
            return
        schema.PATH.parent.mkdir(parents=True, exist_ok=True)
        schema.PATH.write_text(schema.text(), encoding="utf-8")
        self.stdout.write(f"{schema.PATH} is written.")
