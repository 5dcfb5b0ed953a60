"""Make the mail server's role in PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailstore import mail_role


class Command(BaseCommand):
    """Takes name and password of the role from `DOVECOT_DATABASE_URL`."""

    help = "Make or renew the restricted role that the mail server signs in with."

    def handle(self, **options: Any) -> None:
        try:
            role = mail_role.grant_from_settings()
        except mail_role.NotPostgreSQL as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"The role {role} may read the views and write its reports.")
