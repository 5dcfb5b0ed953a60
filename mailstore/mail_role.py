"""The role that the mail server signs in to PostgreSQL with."""

from __future__ import annotations

import dj_database_url
from django.conf import settings
from django.db import connection
from psycopg import sql

READS = ("dovecot_app_password", "dovecot_passdb", "dovecot_userdb")
WRITES = ("mailstore_usage", "mailstore_lastlogin")
# An insert into the table of sign-ins draws its number from here.
DRAWS_FROM = ("mailstore_lastlogin_id_seq",)


class NotPostgreSQL(Exception):
    """SQLite knows no roles."""


def grant_from_settings() -> str:
    """Make the role that `settings.DOVECOT_DATABASE_URL` names; returns its name."""
    if connection.vendor != "postgresql":
        message = "Only PostgreSQL has roles; set DATABASE_URL first."
        raise NotPostgreSQL(message)
    parts = dj_database_url.parse(settings.DOVECOT_DATABASE_URL)
    grant(role=parts["USER"], password=parts["PASSWORD"])
    return parts["USER"]


def grant(*, role: str, password: str) -> None:
    """Make the role or renew its password, and give it its rights and no others.

    It may read three views, and write the two tables that it reports to.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        for statement in (_login(verb), *_rights()):
            text = statement.format(role=sql.Identifier(role), password=sql.Literal(password))
            cursor.execute(text.as_string(cursor.connection))


def _login(verb: str) -> sql.SQL:
    if verb == "CREATE":
        return sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {password}")
    return sql.SQL("ALTER ROLE {role} LOGIN PASSWORD {password}")


def _rights() -> list[sql.SQL]:
    """Everything is taken back first, so that what was once granted does not stay."""
    return [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"),
        sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {role}"),
        # Reports are absolute figures that heal with the next one; a delivery need not wait
        # until the last of them has reached the disk.
        sql.SQL("ALTER ROLE {role} SET synchronous_commit = off"),
        *(sql.SQL(f"GRANT SELECT ON {view} TO {{role}}") for view in READS),
        *(sql.SQL(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {{role}}") for table in WRITES),
        *(sql.SQL(f"GRANT USAGE ON SEQUENCE {name} TO {{role}}") for name in DRAWS_FROM),
    ]
