"""Domains that were confirmed before are looked at as well, those first that are here longest."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations
from django.db.models import Q

# So many rows are written at once.
PIECE = 1000


def add_rows(apps: Any, schema_editor: Any) -> None:
    """Names for tests alone stand in no DNS."""
    rows = apps.get_model("mailstore", "DomainDns")
    domains = apps.get_model("mailstore", "Domain").objects.filter(state="confirmed")
    for_tests = Q(name__endswith=".test") | Q(name__endswith=".localhost") | Q(name="localhost")
    found = domains.exclude(for_tests).order_by("pk").only("pk", "created_at")
    rows.objects.bulk_create(
        (
            rows(domain=domain, due_at=domain.created_at)
            for domain in found.iterator(chunk_size=PIECE)
        ),
        batch_size=PIECE,
    )


class Migration(migrations.Migration):
    """Rows only."""

    dependencies: ClassVar = [("mailstore", "0034_dns_of_domains")]

    operations: ClassVar = [migrations.RunPython(add_rows, migrations.RunPython.noop)]
