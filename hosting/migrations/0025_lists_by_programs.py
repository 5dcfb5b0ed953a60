import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_sign_up_requests"),
        ("hosting", "0024_bulk_requests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="bankimport",
            name="confirmed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="started"),
        ),
        migrations.AddField(
            model_name="bankimport",
            name="created_by_key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="bankimport",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="ended"),
        ),
        migrations.AddField(
            model_name="bankimport",
            name="problem_count",
            field=models.PositiveIntegerField(default=0, verbose_name="problems"),
        ),
        migrations.AddField(
            model_name="customerimport",
            name="confirmed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="started"),
        ),
        migrations.AddField(
            model_name="customerimport",
            name="created_by_key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="customerimport",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="ended"),
        ),
        migrations.AddField(
            model_name="customerimport",
            name="problem_count",
            field=models.PositiveIntegerField(default=0, verbose_name="problems"),
        ),
        migrations.AddField(
            model_name="mailboximport",
            name="confirmed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="started"),
        ),
        migrations.AddField(
            model_name="mailboximport",
            name="created_by_key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="mailboximport",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="ended"),
        ),
        migrations.AddField(
            model_name="mailboximport",
            name="organisation",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="mailbox_imports",
                to="accounts.organisation",
                verbose_name="organisation",
            ),
        ),
        migrations.AddField(
            model_name="mailboximport",
            name="problem_count",
            field=models.PositiveIntegerField(default=0, verbose_name="problems"),
        ),
        migrations.AlterField(
            model_name="bankimport",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="customerimport",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="mailboximport",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="bankimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("created_by__isnull", True), ("created_by_key__isnull", False)),
                    models.Q(("created_by__isnull", False), ("created_by_key__isnull", True)),
                    _connector="OR",
                ),
                name="hosting_bankimport_one_maker",
            ),
        ),
        migrations.AddConstraint(
            model_name="customerimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("created_by__isnull", True), ("created_by_key__isnull", False)),
                    models.Q(("created_by__isnull", False), ("created_by_key__isnull", True)),
                    _connector="OR",
                ),
                name="hosting_customerimport_one_maker",
            ),
        ),
        migrations.AddConstraint(
            model_name="mailboximport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("created_by__isnull", True), ("created_by_key__isnull", False)),
                    models.Q(("created_by__isnull", False), ("created_by_key__isnull", True)),
                    _connector="OR",
                ),
                name="hosting_mailboximport_one_maker",
            ),
        ),
        migrations.AddConstraint(
            model_name="mailboximport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("created_by_key__isnull", True),
                    ("organisation__isnull", False),
                    _connector="OR",
                ),
                name="hosting_mailboximport_keys_stay_within",
            ),
        ),
    ]
