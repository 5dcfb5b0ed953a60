"""What a list of mailboxes would cost, as it was told when a program brought the list in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0030_held_overage")]

    operations = [
        migrations.AddField(
            model_name="mailboximport",
            name="totals",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
