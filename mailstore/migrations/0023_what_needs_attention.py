from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_what_staff_look_for"),
        ("mailstore", "0022_names_of_rules"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="alarm",
            index=models.Index(
                condition=models.Q(("answer", "")), fields=["at"], name="mailstore_alarm_open"
            ),
        ),
        migrations.AddIndex(
            model_name="domain",
            index=models.Index(
                condition=models.Q(("state", "waiting")),
                fields=["created_at"],
                name="mailstore_domain_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(
                condition=models.Q(("released_at__isnull", True)),
                fields=["placed_at"],
                name="mailstore_hold_standing",
            ),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(
                fields=["address"],
                name="mailstore_mailbox_address",
                opclasses=("varchar_pattern_ops",),
            ),
        ),
        migrations.AddIndex(
            model_name="pendingchange",
            index=models.Index(
                condition=models.Q(("state", "failed")),
                fields=["ended_at"],
                name="mailstore_pending_failed",
            ),
        ),
        migrations.AddIndex(
            model_name="purgerun",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["planned", "running", "paused"]),
                    models.Q(("failure", ""), _negated=True),
                ),
                fields=["id"],
                name="mailstore_purgerun_failing",
            ),
        ),
        migrations.AddIndex(
            model_name="restorerun",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["planned", "running", "paused"]),
                    models.Q(("failure", ""), _negated=True),
                ),
                fields=["id"],
                name="mailstore_restorerun_failing",
            ),
        ),
    ]
