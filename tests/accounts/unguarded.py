"""What somebody does who may do anything to the database: the guards are taken down for it."""

from __future__ import annotations

from contextlib import contextmanager

from django.db import connection

from accounts import guarding


@contextmanager
def unguarded():
    """Within, rows of events can be changed and removed."""
    with connection.cursor() as cursor:
        for statement in guarding.GUARD.let_go(connection.vendor):
            cursor.execute(statement)
    try:
        yield
    finally:
        guarding.hold(using=connection.alias)
