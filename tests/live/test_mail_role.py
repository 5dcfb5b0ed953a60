"""What PostgreSQL lets the mail server do, asked in the mail server's name."""

from __future__ import annotations

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql
from psycopg.errors import (
    InsufficientPrivilege,
    ObjectNotInPrerequisiteState,
    WrongObjectType,
)

from mailstore.mail_role import READS, WRITES

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite knows no roles."),
]


@pytest.fixture
def mail_servers_line(mail_server):
    with psycopg.connect(settings.DOVECOT_DATABASE_URL, autocommit=True) as line:
        yield line


def relations():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'p') "
            "AND relnamespace = 'public'::regnamespace"
        )
        return {name for (name,) in cursor.fetchall()}


# Some views are joins, into which nobody can write.
NO_TABLE = (ObjectNotInPrerequisiteState, WrongObjectType)


def refused(line, text, *names, also=()):
    try:
        line.execute(sql.SQL(text).format(*map(sql.Identifier, names)))
    except (InsufficientPrivilege, *also):
        return True
    return False


def test_mail_server_may_read_its_views_and_nothing_else(mail_servers_line):
    names = relations()

    read = {
        name for name in names if not refused(mail_servers_line, "SELECT * FROM {} LIMIT 0", name)
    }

    assert {"accounts_user", "mailstore_apppassword", "hosting_invoice"} <= names
    assert read == {*READS, *WRITES}


def test_mail_server_may_write_its_reports_and_nothing_else(mail_servers_line):
    names = relations()

    emptied = {
        name
        for name in names
        if not refused(mail_servers_line, "DELETE FROM {} WHERE false", name, also=NO_TABLE)
        or not refused(mail_servers_line, "TRUNCATE {}", name, also=NO_TABLE)
        or not refused(mail_servers_line, "DROP TABLE {}", name, also=NO_TABLE)
    }
    filled = {
        name
        for name in names
        if not refused(
            mail_servers_line,
            "INSERT INTO {} SELECT * FROM {} WHERE false",
            *(name, name),
            also=NO_TABLE,
        )
    }

    assert emptied == set()
    assert filled == set(WRITES)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE ROLE another SUPERUSER",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER ROLE CURRENT_USER SUPERUSER",
    ],
)
def test_mail_server_gets_no_further(mail_servers_line, text):
    assert refused(mail_servers_line, text)
