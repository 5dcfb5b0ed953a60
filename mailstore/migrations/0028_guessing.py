"""Guesses at mailbox passwords, and the alarms about them."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailstore", "0027_mail_server_views_with_networks"),
    ]

    operations = [
        migrations.CreateModel(
            name="Guessing",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("username", models.CharField(max_length=254)),
                ("began_at", models.BigIntegerField(verbose_name="began")),
                ("last_at", models.BigIntegerField(verbose_name="last")),
                ("tries", models.BigIntegerField(db_default=0, default=0, verbose_name="tries")),
                (
                    "looked_at",
                    models.BigIntegerField(
                        db_default=0, default=0, verbose_name="passwords looked at"
                    ),
                ),
            ],
            options={
                "verbose_name": "guessing",
                "verbose_name_plural": "guessing",
                "indexes": [models.Index(fields=["last_at"], name="mailstore_guessing_last")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("username", "began_at"), name="mailstore_guessing_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GuessingAlarm",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("began_at", models.DateTimeField(verbose_name="since")),
                ("noticed_at", models.DateTimeField(verbose_name="noticed")),
                ("told_at", models.DateTimeField(null=True, verbose_name="owners told")),
                (
                    "mailbox",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="guessing_alarms",
                        to="mailstore.mailbox",
                        verbose_name="mailbox",
                    ),
                ),
            ],
            options={
                "verbose_name": "alarm about guesses",
                "verbose_name_plural": "alarms about guesses",
                "indexes": [
                    models.Index(
                        condition=models.Q(("told_at__isnull", True)),
                        fields=["id"],
                        name="mailstore_guessing_untold",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mailbox", "began_at"), name="mailstore_guessingalarm_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GuessingSource",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("holder", models.CharField(max_length=43, verbose_name="from")),
                ("tries", models.BigIntegerField(db_default=0, default=0, verbose_name="tries")),
                (
                    "guessing",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sources",
                        to="mailstore.guessing",
                    ),
                ),
            ],
            options={
                "verbose_name": "source of guesses",
                "verbose_name_plural": "sources of guesses",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("guessing", "holder"), name="mailstore_guessingsource_once"
                    )
                ],
            },
        ),
    ]
