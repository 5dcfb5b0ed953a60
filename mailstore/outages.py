"""A database that was away and is back: the mail server has to be told.

Dovecot tries a lost PostgreSQL ever more rarely, so that sign-ins would go on failing for a
minute and more after it is back. A reload makes it try at once.
"""

from __future__ import annotations

from django.core.cache import cache
from django.db import Error, connection

from mailstore.engine import Engine

# The note lies in the cache: the database is what is away.
_WAS_AWAY = "mailstore.database-was-away"


def look(*, engine: Engine) -> bool:
    """Reload the mail server if its database was away at the last look; True if it did.

    Raises what the database raises while it is away.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        cache.set(_WAS_AWAY, value=True, timeout=None)
        connection.close()
        raise
    if not cache.get(_WAS_AWAY):
        return False
    engine.reload()
    cache.delete(_WAS_AWAY)
    return True
