"""What a rule asks of those below it holds for itself as well."""

from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("mailstore", "0031_rules_that_ask_more_of_others")]

    operations = [
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=Q(floor_days__isnull=True)
                | Q(days__isnull=True)
                | Q(days__gte=F("floor_days")),
                name="mailstore_retentionrule_own_floor",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=Q(ceiling_days__isnull=True)
                | Q(days__isnull=False, days__lte=F("ceiling_days")),
                name="mailstore_retentionrule_own_ceiling",
            ),
        ),
    ]
