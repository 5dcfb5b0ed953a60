"""The two products the house begins with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.db import migrations

GIGABYTE = 10**9

PLANS: tuple[dict[str, Any], ...] = (
    {
        "slug": "pop",
        "name": "POP",
        "protocol": "pop",
        "position": 1,
        "monthly_price": Decimal("1.00"),
        "quota_bytes": GIGABYTE,
        "ceiling_bytes": GIGABYTE,
        "window_days": 14,
    },
    {
        "slug": "imap",
        "name": "IMAP",
        "protocol": "imap",
        "position": 2,
        "monthly_price": Decimal("2.50"),
        "included_bytes": 5 * GIGABYTE,
        "storage_price": Decimal("0.12"),
        "quota_bytes": 10 * GIGABYTE,
        "ceiling_bytes": 50 * GIGABYTE,
        "window_days": 30,
    },
)


def add_plans(apps: Any, schema_editor: Any) -> None:
    """Add each plan unless staff made one of that name."""
    plan_model = apps.get_model("hosting", "Plan")
    for plan in PLANS:
        plan_model.objects.get_or_create(slug=plan["slug"], defaults=plan)


class Migration(migrations.Migration):
    """Data only."""

    dependencies: ClassVar = [("hosting", "0001_initial")]

    operations: ClassVar = [migrations.RunPython(add_plans, migrations.RunPython.noop)]
