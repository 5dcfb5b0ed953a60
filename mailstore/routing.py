"""Sends what Dovecot writes to the database that is set aside for it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

# On SQLite these lie in a file of their own, because Dovecot waits one second for a lock. What the
# guard counts lies there too: under attack it writes often, and the panel must not wait for that.
REPORT_TABLES = frozenset(
    {
        "mailstore.usage",
        "mailstore.usageday",
        "mailstore.drift",
        "mailstore.lastlogin",
        "mailstore.guessing",
        "mailstore.guessingsource",
    }
)


class ReportsRouter:
    """Reads, writes and migrates the report tables in `settings.REPORTS_DATABASE`."""

    def db_for_read(self, model: type[models.Model], **_hints: Any) -> str | None:
        """The reports database for its models; no opinion on others."""
        options = model._meta  # noqa: SLF001  # Django documents it as public.
        if options.label_lower in REPORT_TABLES:
            return str(settings.REPORTS_DATABASE)
        return None

    db_for_write = db_for_read

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        """Each table is made in exactly one database.

        Raw SQL names its place by the hint `reports`; anything else belongs to `default`.
        """
        is_report = hints.get("reports", f"{app_label}.{model_name}" in REPORT_TABLES)
        return db == (settings.REPORTS_DATABASE if is_report else "default")
