"""Domains that were confirmed before their DNS was looked at are looked at from then on."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from mailstore.models import Domain, DomainDns
from tests.factories import AT, make_domain

pytestmark = pytest.mark.django_db(databases="__all__")

migration = import_module("mailstore.migrations.0035_dns_of_domains_before")


def test_confirmed_domains_that_can_be_in_the_dns_get_a_row(cast):
    make_domain("waiting.example", cast.customer)
    for name in ("one.example", "two.example"):
        make_domain(name, cast.customer)
        # As it was before there were such rows.
        Domain.objects.filter(name=name).update(state=Domain.State.CONFIRMED)

    migration.add_rows(apps, None)

    rows = DomainDns.objects.order_by("pk").values_list("domain__name", "due_at", "finding")
    assert list(rows) == [("one.example", AT, "unknown"), ("two.example", AT, "unknown")]
