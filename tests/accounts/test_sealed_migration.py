"""What lay in the library's table in clear is sealed in ours, and the table is gone."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from accounts import sealing
from accounts.models import Authenticator
from accounts.second_factor import authenticators
from tests.factories import AT

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

migration = import_module("accounts.migrations.0012_seal_authenticators")
KEY = b"twenty bytes of it.."


@pytest.fixture
def former(cast):
    """The table as django-otp made it, with Alice's phone and an unfinished one of Bob's."""
    with connection.schema_editor() as editor:
        editor.execute(
            f"CREATE TABLE {migration.FORMER} (id integer PRIMARY KEY, user_id integer,"
            ' name varchar(64), confirmed bool, "key" varchar(80), drift smallint,'
            " last_t bigint, last_used_at timestamp, created_at timestamp)"
        )
    rows = [
        (1, cast.alice.pk, "Phone", True, KEY.hex(), 1, 55_000_000, "2026-10-01 08:00:00", None),
        (2, cast.bob.pk, "authenticator", False, KEY.hex(), 0, -1, None, "2026-10-02 08:00:00"),
    ]
    with connection.cursor() as cursor:
        for row in rows:
            marks = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO {migration.FORMER} VALUES ({marks})", row)  # noqa: S608


def test_apps_of_before_are_moved_and_sealed(former, cast):
    with connection.schema_editor() as editor:
        migration.move(apps, editor)

    phone, waiting = Authenticator.objects.order_by("pk")
    assert (phone.user, phone.name, phone.confirmed, phone.drift) == (cast.alice, "Phone", True, 1)
    assert (phone.last_step, phone.last_used_at.isoformat()) == (
        55_000_000,
        "2026-10-01T08:00:00+00:00",
    )
    assert (waiting.user, waiting.confirmed) == (cast.bob, False)
    assert sealing.open_sealed(phone.sealed_secret) == KEY
    assert authenticators.spend(phone, code=authenticators.code_at(KEY, at=AT), at=AT)
    assert migration.FORMER not in connection.introspection.table_names()


def test_without_that_table_nothing_is_done(db):
    with connection.schema_editor() as editor:
        migration.move(apps, editor)

    assert not Authenticator.objects.exists()
