"""When the owners of a device had the letter about the copies that it leaves."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("mailstore", "0035_dns_of_domains_before"),)

    operations = (
        migrations.AddField(
            model_name="device",
            name="copies_told_at",
            field=models.DateTimeField(null=True, verbose_name="told of copies"),
        ),
    )
