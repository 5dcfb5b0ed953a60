"""How databases, caches and queue are reached, in the form that Django and Celery want. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

_NEVER_BY_COUNT = 2**31


def sqlite(path: Path) -> dict[str, Any]:
    """SQLite as a server: readers never wait, and a writer waits for its turn."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # A transaction takes the write lock when it begins. Taken later, SQLite would
            # refuse it at once instead of waiting, because what was read may be stale.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            # Migrations rebuild tables on which the mail server's views stand. Renaming the new
            # one must not look through the views, which have nothing below them just then.
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
            "PRAGMA legacy_alter_table=ON;",
        },
    }


def postgresql(url: str, *, statement_seconds: int) -> dict[str, Any]:
    """PostgreSQL, which gives up a statement after so many seconds; 0 for never."""
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60))
    except (ValueError, KeyError) as error:
        message = "DATABASE_URL is not an address such as postgres://user:password@host:5432/name."
        raise ImproperlyConfigured(message) from error
    found["CONN_HEALTH_CHECKS"] = True
    given = found.setdefault("OPTIONS", {})
    # PostgreSQL takes a disk for one with arms, and would read a million rows rather than look up
    # ten thousand by an index.
    words = [given.get("options", "-c random_page_cost=1.1")]
    if statement_seconds:
        words.append(f"-c statement_timeout={statement_seconds}s")
    given["options"] = " ".join(words)
    # Statements are prepared where that is asked for (`accounts.compiled`), never by count: the
    # texts of all others have their values in them, and are new each time.
    given.setdefault("prepare_threshold", _NEVER_BY_COUNT)
    return found


def for_mail_server(url: str, *, password: str) -> str:
    """The panel's own database, entered by a role that is made for the mail server."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"restante_dovecot:{password}@{host}").geturl()


def caches(redis_url: str, *, folder: Path) -> dict[str, Any]:
    """Two caches in Redis, or in files below `folder`."""
    # A PDF takes seconds to set and a moment to be asked for again. So many can be set in ten
    # minutes that this needs no other bound; in files it has one, beside that of the others.
    papers: dict[str, Any] = {"TIMEOUT": 600}
    if redis_url:
        redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
        return {"default": redis, "papers": redis | {"KEY_PREFIX": "papers"} | papers}
    files = "django.core.cache.backends.filebased.FileBasedCache"
    return {
        "default": {"BACKEND": files, "LOCATION": folder / "cache"},
        "papers": {
            "BACKEND": files,
            "LOCATION": folder / "papers",
            "OPTIONS": {"MAX_ENTRIES": 500},
        }
        | papers,
    }


def broker(redis_url: str, *, folder: Path) -> dict[str, Any]:
    """What Celery is told of its queue, in Redis or in files below `folder`."""
    if redis_url:
        # A task is lost for at most ten minutes when a worker is killed; the sweeps look sooner.
        return {"visibility_timeout": 600}
    return {
        # Both point to one folder: what the panel puts out is what the worker takes in.
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
    }
