import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_sign_up_requests"),
        ("hosting", "0025_lists_by_programs"),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Use of a month"),
                            ("invoice_lines", "Lines of the invoices of a month"),
                            ("customers", "Customers"),
                            ("activity", "Activity"),
                            ("activity_proof", "Activity, to be proved"),
                        ],
                        max_length=14,
                        verbose_name="kind",
                    ),
                ),
                ("wanted", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(verbose_name="asked for")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Being written"),
                            ("ready", "Can be fetched"),
                            ("failed", "Could not be written"),
                            ("cancelled", "Nobody wanted it any more"),
                            ("forgotten", "Its file was removed"),
                        ],
                        default="running",
                        max_length=9,
                        verbose_name="state",
                    ),
                ),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                ("try_count", models.PositiveSmallIntegerField(default=0, editable=False)),
                ("line_count", models.PositiveBigIntegerField(default=0, verbose_name="lines")),
                ("size_bytes", models.PositiveBigIntegerField(null=True, verbose_name="bytes")),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("stored_as", models.CharField(blank=True, editable=False, max_length=80)),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="why not")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("expires_at", models.DateTimeField(null=True, verbose_name="kept until")),
                (
                    "created_by_key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exports",
                        to="accounts.organisation",
                        verbose_name="organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "export",
                "verbose_name_plural": "exports",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "running")),
                        fields=["id"],
                        name="hosting_export_running",
                    ),
                    models.Index(
                        condition=models.Q(("state", "ready")),
                        fields=["expires_at"],
                        name="hosting_export_ready",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("expires_at__isnull", False),
                                ("size_bytes__isnull", False),
                                ("state", "ready"),
                                models.Q(("stored_as", ""), _negated=True),
                            ),
                            models.Q(
                                models.Q(("state", "ready"), _negated=True), ("stored_as", "")
                            ),
                            _connector="OR",
                        ),
                        name="hosting_export_ready_has_a_file",
                    )
                ],
            },
        ),
    ]
