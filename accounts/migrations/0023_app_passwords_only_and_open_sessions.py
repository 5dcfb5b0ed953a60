"""What an organisation wants of new mailboxes, and people by their sessions for the staff pages."""

from __future__ import annotations

from django.db import migrations, models

import accounts.models.people


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
        migrations.CreateModel(
            name="SignedIn",
            fields=[],
            options={
                "verbose_name": "person with open sessions",
                "verbose_name_plural": "open sessions",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("accounts.user",),
            managers=(("objects", accounts.models.people.UserManager()),),
        ),
    )
