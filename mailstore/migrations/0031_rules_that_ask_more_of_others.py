"""Rules that asked more of those below than of themselves are brought within their own bounds."""

from django.db import migrations
from django.db.models import F


def within_own_bounds(apps, schema_editor):
    """Rules that ask more of others than of themselves keep mail longer from now on."""
    rules = apps.get_model("mailstore", "RetentionRule").objects
    rules.filter(ceiling_days__lt=F("floor_days")).update(ceiling_days=F("floor_days"))
    rules.filter(days__lt=F("floor_days")).update(days=F("floor_days"))
    rules.filter(days__gt=F("ceiling_days")).update(ceiling_days=F("days"))
    rules.filter(days=None).update(ceiling_days=None)


class Migration(migrations.Migration):
    dependencies = [("mailstore", "0030_fewest_messages_and_owners_told")]

    operations = [migrations.RunPython(within_own_bounds, migrations.RunPython.noop)]
