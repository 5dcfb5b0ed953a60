"""What an organisation wants of new mailboxes: opened by app passwords alone, or not."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("accounts", "0022_event_role_fits"),)

    operations = (
        migrations.AddField(
            model_name="organisation",
            name="app_passwords_only",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                verbose_name="new mailboxes: app passwords only",
            ),
        ),
    )
