"""What the two protocols begin with: POP lets fetched copies go, IMAP keeps its inbox."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

POLICIES: dict[str, tuple[dict[str, Any], ...]] = {
    "pop": ({"folder": "\\Inbox", "counted_from": "download", "days": 30},),
    "imap": (
        {"folder": "*", "days": None},
        {"folder": "\\Junk", "days": 30, "floor_days": 7},
        {"folder": "\\Trash", "days": 30, "floor_days": 7},
    ),
}


def add_policies(apps: Any, schema_editor: Any) -> None:
    """Add each policy with its rules."""
    policy_model = apps.get_model("mailstore", "RetentionPolicy")
    rule_model = apps.get_model("mailstore", "RetentionRule")
    for slug, rules in POLICIES.items():
        policy = policy_model.objects.create(slug=slug, name=slug.upper())
        rule_model.objects.bulk_create(rule_model(policy=policy, **rule) for rule in rules)


class Migration(migrations.Migration):
    """Data only."""

    dependencies: ClassVar = [("mailstore", "0004_mail_server_views_with_freeze")]

    operations: ClassVar = [migrations.RunPython(add_policies, migrations.RunPython.noop)]
