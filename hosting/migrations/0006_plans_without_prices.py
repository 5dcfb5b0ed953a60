from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """What a plan costs is on price lists now."""

    dependencies: ClassVar = [("hosting", "0005_first_prices")]

    operations: ClassVar = [
        migrations.RemoveConstraint(
            model_name="plan",
            name="hosting_plan_prices_not_negative",
        ),
        migrations.RemoveField(
            model_name="plan",
            name="currency",
        ),
        migrations.RemoveField(
            model_name="plan",
            name="included_bytes",
        ),
        migrations.RemoveField(
            model_name="plan",
            name="monthly_price",
        ),
        migrations.RemoveField(
            model_name="plan",
            name="storage_price",
        ),
    ]
