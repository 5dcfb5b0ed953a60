import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_what_staff_look_for"),
        ("hosting", "0023_test_clocks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BulkItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("row_id", models.BigIntegerField()),
                ("name", models.CharField(max_length=320, verbose_name="name")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Not yet"), ("done", "Done"), ("failed", "Not done")],
                        default="waiting",
                        max_length=7,
                        verbose_name="state",
                    ),
                ),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="why not")),
            ],
            options={
                "verbose_name": "row of a bulk request",
                "verbose_name_plural": "rows of bulk requests",
            },
        ),
        migrations.CreateModel(
            name="BulkRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("deed", models.CharField(max_length=40, verbose_name="what")),
                ("what", models.JSONField(default=dict)),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Only looked at"),
                            ("asked", "Waits for a second person"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("called_off", "Called off"),
                            ("expired", "Nobody confirmed it in time"),
                        ],
                        default="draft",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "needs_second",
                    models.BooleanField(default=False, verbose_name="needs a second person"),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(verbose_name="to be confirmed until")),
                ("confirmed_at", models.DateTimeField(null=True, verbose_name="confirmed")),
                ("row_count", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("done_count", models.PositiveIntegerField(default=0, verbose_name="done")),
                ("failed_count", models.PositiveIntegerField(default=0, verbose_name="failed")),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("ended_by", models.CharField(blank=True, max_length=254, verbose_name="ended by")),
            ],
            options={
                "verbose_name": "bulk request",
                "verbose_name_plural": "bulk requests",
            },
        ),
        migrations.AddIndex(
            model_name="bankimport",
            index=models.Index(
                condition=models.Q(("state", "running")),
                fields=["id"],
                name="hosting_bankimport_running",
            ),
        ),
        migrations.AddIndex(
            model_name="customerimport",
            index=models.Index(
                condition=models.Q(("state", "running")),
                fields=["id"],
                name="hosting_customerimport_running",
            ),
        ),
        migrations.AddIndex(
            model_name="dunning",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True)),
                fields=["began_at"],
                name="hosting_dunning_open",
            ),
        ),
        migrations.AddIndex(
            model_name="mailboximport",
            index=models.Index(
                condition=models.Q(("state", "running")),
                fields=["id"],
                name="hosting_mailboximport_running",
            ),
        ),
        migrations.AddIndex(
            model_name="panelhost",
            index=models.Index(
                condition=models.Q(("failing_since__isnull", False)),
                fields=["failing_since"],
                name="hosting_panelhost_failing",
            ),
        ),
        migrations.AddIndex(
            model_name="providerevent",
            index=models.Index(
                condition=models.Q(("state", "failed")),
                fields=["received_at"],
                name="hosting_providerevent_failed",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("state", "failed")),
                fields=["asked_at"],
                name="hosting_refund_failed",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(
                condition=models.Q(("cause__in", ["gone", "failed"]), ("state", "disabled")),
                fields=["state_since"],
                name="hosting_webhook_given_up",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(
                condition=models.Q(("failing_since__isnull", False), ("state", "enabled")),
                fields=["failing_since"],
                name="hosting_webhook_failing",
            ),
        ),
        migrations.AddField(
            model_name="bulkrequest",
            name="asked_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="asked by",
            ),
        ),
        migrations.AddField(
            model_name="bulkrequest",
            name="confirmed_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="confirmed by",
            ),
        ),
        migrations.AddField(
            model_name="bulkitem",
            name="request",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="items",
                to="hosting.bulkrequest",
            ),
        ),
        migrations.AddIndex(
            model_name="bulkrequest",
            index=models.Index(fields=["state", "expires_at"], name="hosting_bulkrequest_waiting"),
        ),
        migrations.AddIndex(
            model_name="bulkrequest",
            index=models.Index(
                condition=models.Q(("state", "running")),
                fields=["id"],
                name="hosting_bulkrequest_running",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("confirmed_by__isnull", True),
                    models.Q(("confirmed_by", models.F("asked_by")), _negated=True),
                    _connector="OR",
                ),
                name="hosting_bulkrequest_two_people",
                violation_error_message="Somebody else has to confirm it.",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["running", "finished"]), _negated=True),
                    ("needs_second", False),
                    ("confirmed_by__isnull", False),
                    _connector="OR",
                ),
                name="hosting_bulkrequest_was_confirmed",
            ),
        ),
        migrations.AddIndex(
            model_name="bulkitem",
            index=models.Index(fields=["request", "state", "id"], name="hosting_bulkitem_waiting"),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.UniqueConstraint(
                fields=("request", "row_id"), name="hosting_bulkitem_once"
            ),
        ),
    ]
