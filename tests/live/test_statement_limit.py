"""A statement that takes too long, at a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from hosting import databases
from tests.live.panel import ROOT, environment
from tests.servers import postgresql

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with postgresql(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


def connection_to(url, seconds):
    defaults = {"TIME_ZONE": None, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
    found = databases.postgresql(url, statement_seconds=seconds)
    return DatabaseWrapper({**defaults, **found, "TIME_ZONE": None}, alias="limited")


def test_a_statement_that_takes_too_long_is_given_up(url):
    limited = connection_to(url, 1)
    begin = time.monotonic()

    with pytest.raises(OperationalError, match="statement timeout"), limited.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")

    assert time.monotonic() - begin < 10
    with limited.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    limited.close()


def test_workers_and_commands_may_take_their_time(url):
    unlimited = connection_to(url, 0)

    with unlimited.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
    unlimited.close()


@pytest.mark.parametrize(("given", "seconds"), [({}, "20"), ({"STATEMENT_SECONDS": "3"}, "3")])
def test_the_panel_has_a_limit_and_others_have_none(given, seconds):
    def asked(first):
        script = f"{first}from django.conf import settings;print(settings.STATEMENT_SECONDS)"
        words = [sys.executable, "-c", script]
        names = environment(**given)
        return subprocess.check_output(words, cwd=ROOT, env=names, text=True).strip()

    assert asked("import hosting.wsgi;") == seconds
    assert asked("") == given.get("STATEMENT_SECONDS", "0")
