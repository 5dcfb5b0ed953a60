"""From how many messages on the tripwire weighs shares, and whom its letters reached."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailstore", "0029_turns_of_stopped_changes")]

    operations = [
        migrations.AddField(
            model_name="alarm",
            name="owners_told",
            field=models.PositiveSmallIntegerField(default=0, verbose_name="owners told"),
        ),
        migrations.AddField(
            model_name="mailbox",
            name="trip_fewest",
            field=models.PositiveSmallIntegerField(
                blank=True, null=True, verbose_name="tripwire: fewest messages"
            ),
        ),
        migrations.AddField(
            model_name="retentionpolicy",
            name="trip_fewest",
            field=models.PositiveSmallIntegerField(
                default=10, verbose_name="tripwire: fewest messages"
            ),
        ),
    ]
