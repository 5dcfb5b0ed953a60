"""Acting in a customer, and the seller's own reference of each customer.

The mail server's views stand on the table of organisations, and SQLite makes a table anew for a
new column that must not be null; adding it in plain SQL leaves table and views where they are.
"""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_event_feed"),
    ]

    operations = [
        migrations.RunSQL(
            sql="ALTER TABLE accounts_organisation"
            " ADD COLUMN external_ref varchar(120) DEFAULT '' NOT NULL",
            reverse_sql="ALTER TABLE accounts_organisation DROP COLUMN external_ref",
            state_operations=[
                migrations.AddField(
                    model_name="organisation",
                    name="external_ref",
                    field=models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        max_length=120,
                        verbose_name="reference of the seller",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="organisation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_ref", ""), _negated=True),
                fields=("parent", "external_ref"),
                name="accounts_organisation_ref_once",
                violation_error_message="Another customer has this reference.",
            ),
        ),
        migrations.CreateModel(
            name="Visit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("person", models.CharField(max_length=254, verbose_name="person")),
                ("seller", models.CharField(max_length=120, verbose_name="from")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("begun_at", models.DateTimeField(verbose_name="begun")),
                ("ends_at", models.DateTimeField(verbose_name="ends by itself")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="visits",
                        to="accounts.organisation",
                        verbose_name="customer",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="visits",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "visit",
                "verbose_name_plural": "visits",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("begun_at"))),
                        name="accounts_visit_ends",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["organisation", "id"], name="accounts_visit_organisation"),
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=["ends_at"],
                        name="accounts_visit_open",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="event",
            name="visit",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="accounts.visit",
                verbose_name="visit",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("visit__isnull", False)),
                fields=["visit", "seq"],
                name="accounts_event_by_visit",
            ),
        ),
    ]
