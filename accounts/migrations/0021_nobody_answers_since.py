"""Organisations that were left without anybody who answers for them, to be looked at by staff."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("accounts", "0020_sign_up_requests"),)

    operations = (
        migrations.AddField(
            model_name="organisation",
            name="unanswered_since",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="nobody answers for it since"
            ),
        ),
        migrations.AddIndex(
            model_name="organisation",
            index=models.Index(
                condition=models.Q(("unanswered_since__isnull", False)),
                fields=["unanswered_since"],
                name="accounts_organisation_left",
            ),
        ),
    )
