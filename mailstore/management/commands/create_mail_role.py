"""Make the mail server's role in PostgreSQL."""

from __future__ import annotations

from typing import Any

import dj_database_url
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mailstore import mail_role


class Command(BaseCommand):
    """Takes name and password of the role from `DOVECOT_DATABASE_URL`."""

    help = "Make or renew the restricted role that DOVECOT_DATABASE_URL names."

    def handle(self, **options: Any) -> None:
        if not settings.DOVECOT_DATABASE_URL:
            message = "Set DOVECOT_DATABASE_URL to postgres://role:password@host:5432/database."
            raise CommandError(message)
        parts = dj_database_url.parse(settings.DOVECOT_DATABASE_URL)
        try:
            mail_role.grant(role=parts["USER"], password=parts["PASSWORD"])
        except mail_role.NotPostgreSQL as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"The role {parts['USER']} may read the views and write its reports.")
