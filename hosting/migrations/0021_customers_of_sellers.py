"""What lists of customers are sorted and filtered by, and lists that open many."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_visits"),
        ("hosting", "0020_webhooks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CustomerImport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("file_name", models.CharField(max_length=255, verbose_name="file")),
                ("content", models.TextField(editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("checked", "Checked, waiting for your word"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="checked",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("row_count", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("done_count", models.PositiveIntegerField(default=0, verbose_name="rows done")),
                ("problems", models.JSONField(default=list, verbose_name="problems")),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="uploaded"
                    ),
                ),
                (
                    "opened_count",
                    models.PositiveIntegerField(default=0, verbose_name="customers opened"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "seller",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="customer_imports",
                        to="accounts.organisation",
                        verbose_name="seller",
                    ),
                ),
            ],
            options={
                "verbose_name": "customer import",
                "verbose_name_plural": "customer imports",
            },
        ),
        migrations.CreateModel(
            name="SellerFigures",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("counted_at", models.DateTimeField(null=True, verbose_name="counted")),
                ("leased_until", models.DateTimeField(null=True)),
                ("customers", models.PositiveIntegerField(default=0, verbose_name="customers")),
                ("mailboxes", models.PositiveIntegerField(default=0, verbose_name="mailboxes")),
                ("stored_bytes", models.BigIntegerField(default=0, verbose_name="stored bytes")),
                ("retail_minor", models.JSONField(default=dict, verbose_name="customers pay")),
                ("wholesale_minor", models.BigIntegerField(null=True, verbose_name="pays itself")),
                (
                    "wholesale_currency",
                    models.CharField(blank=True, max_length=3, verbose_name="currency"),
                ),
                ("left_minor", models.BigIntegerField(null=True, verbose_name="keeps")),
                (
                    "seller",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="seller_figures",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "figures of a seller",
                "verbose_name_plural": "figures of sellers",
            },
        ),
        migrations.CreateModel(
            name="CustomerFigures",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mailboxes", models.PositiveIntegerField(default=0, verbose_name="mailboxes")),
                ("domains", models.PositiveIntegerField(default=0, verbose_name="domains")),
                ("stored_bytes", models.BigIntegerField(default=0, verbose_name="stored bytes")),
                ("last_login", models.BigIntegerField(default=0, verbose_name="last sign-in")),
                ("is_at_limit", models.BooleanField(default=False, verbose_name="at a limit")),
                ("retail_minor", models.BigIntegerField(default=0, verbose_name="pays")),
                ("currency", models.CharField(blank=True, max_length=3, verbose_name="currency")),
                (
                    "wholesale_minor",
                    models.BigIntegerField(null=True, verbose_name="costs its seller"),
                ),
                (
                    "wholesale_currency",
                    models.CharField(blank=True, max_length=3, verbose_name="currency of the cost"),
                ),
                ("left_minor", models.BigIntegerField(null=True, verbose_name="its seller keeps")),
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="figures",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "figures of a customer",
                "verbose_name_plural": "figures of customers",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("stored_bytes__gte", 0), ("last_login__gte", 0)),
                        name="hosting_customerfigures_not_negative",
                    )
                ],
            },
        ),
    ]
