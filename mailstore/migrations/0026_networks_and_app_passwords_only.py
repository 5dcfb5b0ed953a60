"""From where an app password may be used, and mailboxes that no other password opens."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that the views of the next migration read."""

    dependencies: ClassVar = [("mailstore", "0025_log_position_by_last_write")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="apppassword",
            name="allow_nets",
            field=models.TextField(
                blank=True, db_default="", default="", editable=False, verbose_name="only from"
            ),
        ),
        migrations.AddField(
            model_name="mailbox",
            name="app_passwords_only",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                verbose_name="app passwords only",
            ),
        ),
    ]
