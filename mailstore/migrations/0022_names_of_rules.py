"""Rules get a name of their own, by which programs find them again."""

import uuid
from typing import Any

from django.db import migrations, models


def name_each(apps: Any, schema_editor: Any) -> None:
    RetentionRule = apps.get_model("mailstore", "RetentionRule")
    for pk in list(RetentionRule.objects.values_list("pk", flat=True)):
        RetentionRule.objects.filter(pk=pk).update(uuid=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [
        ("mailstore", "0021_holds_by_programs"),
    ]

    # In one: no other column is written, so nothing waits that the last step would trip over.
    operations = [
        migrations.AddField(
            model_name="retentionrule",
            name="uuid",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.RunPython(name_each, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="retentionrule",
            name="uuid",
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
    ]
