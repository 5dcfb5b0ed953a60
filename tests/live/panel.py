"""The panel as a program of its own over the test database, to stop, kill and start again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connections

from tests.patience import PATIENCE_SECONDS
from tests.servers import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
# What this machine uses for the world outside must not stand between two programs on it.
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def environment(**settings: str) -> dict[str, str]:
    """The environment of a program that shares this test's state."""
    kept = {name: text for name, text in os.environ.items() if name.lower() not in _PROXIES}
    return {**kept, "DJANGO_SETTINGS_MODULE": "hosting.settings", **settings}


class Panel:
    """Gunicorn on a free port, the same one after each start."""

    def __init__(self, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/api/v1"
        self.environment = environment(PANEL_URL=self.url, **database(), **settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "hosting.wsgi:application"]
        options = ["--bind", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        options += ["--config", "python:hosting.serving.gunicorn"]
        self.process = subprocess.Popen([*command, *options], cwd=ROOT, env=self.environment)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process = None


def database() -> dict[str, str]:
    """The variables that name this test's database; on SQLite the state folder says it."""
    if "DATABASE_URL" not in os.environ:
        return {}
    name = connections["default"].settings_dict["NAME"]
    parts = urlsplit(os.environ["DATABASE_URL"])
    return {"DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}


@pytest.fixture(scope="module")
def panel(django_db_setup: None) -> Iterator[Panel]:
    """Up for all tests of a module: to start it takes longer than most of them."""
    panel = Panel()
    panel.start()
    yield panel
    panel.stop()
