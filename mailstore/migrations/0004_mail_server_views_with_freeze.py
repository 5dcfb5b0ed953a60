"""The views that Dovecot reads, made again: a mailbox that the tripwire froze is refused."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.db import migrations

before = import_module("mailstore.migrations.0002_mail_server_views")

FROZEN = """
        WHEN m.frozen_at IS NOT NULL
            THEN 'This mailbox is locked: much mail was removed at once. Unlock it in the panel.'
"""


def with_freeze(view: str) -> str:
    """A view that says no to a frozen mailbox, after what is more general."""
    more_particular = "        WHEN m.protocol <> p.bought AND p.proto = 'imap'"
    head, _, tail = view.partition(more_particular)
    return f"{head}{FROZEN.lstrip()}{more_particular}{tail}"


class Migration(migrations.Migration):
    """Views only, apart from the tables they stand on."""

    dependencies: ClassVar = [("mailstore", "0003_retention")]

    operations: ClassVar = [
        migrations.RunSQL(
            sql=with_freeze(before.APP_PASSWORD), reverse_sql="DROP VIEW dovecot_app_password"
        ),
        migrations.RunSQL(sql=with_freeze(before.PASSDB), reverse_sql="DROP VIEW dovecot_passdb"),
        migrations.RunSQL(sql=before.USERDB, reverse_sql="DROP VIEW dovecot_userdb"),
    ]
