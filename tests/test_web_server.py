"""How the pages are served on a production machine."""

from __future__ import annotations

import runpy
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

CONFIGURATION = Path(__file__).parents[1] / "deploy/gunicorn.conf.py"


def test_the_access_log_holds_nothing_of_a_query():
    settings = runpy.run_path(str(CONFIGURATION))
    config = Config()
    config.set("logger_class", settings["logger_class"])
    canary = "rst_live_canary"
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": f"/tls/allowed?secret={canary}",
        "QUERY_STRING": f"secret={canary}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_REFERER": f"https://panel.example/mailboxes/?q={canary}",
        "HTTP_USER_AGENT": "proxy",
    }
    answer = SimpleNamespace(status="200 OK", sent=3, headers=[])

    logger = config.logger_class(config)
    line = config.access_log_format % logger.atoms(
        answer, SimpleNamespace(headers=[]), environ, timedelta(0)
    )

    assert '"GET /tls/allowed? HTTP/1.1" 200 3' in line
    assert canary not in line


def logger_of_the_panel():
    settings = runpy.run_path(str(CONFIGURATION))
    config = Config()
    config.set("logger_class", settings["logger_class"])
    return config.logger_class(config), config


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/account/invitation/canary:1a:xyz", "/account/invitation/…"),
        ("/account/invitation/canary/more?x=canary", "/account/invitation/…?"),
        ("/account/sign-in", "/account/sign-in"),
        ("/account/", "/account/"),
        ("/mailboxes/7c9e6679/set-up", "/mailboxes/7c9e6679/set-up"),
    ],
)
def test_logs_hold_no_token_of_a_letter(path, logged):
    logger, config = logger_of_the_panel()
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": path, "SERVER_PROTOCOL": "HTTP/1.1"}
    answer = SimpleNamespace(status="200 OK", sent=3, headers=[])

    atoms = logger.atoms(answer, SimpleNamespace(headers=[]), environ, timedelta(0))
    line = config.access_log_format % atoms

    assert f'"GET {logged} HTTP/1.1"' in line
    assert "canary" not in line


def test_of_what_cannot_be_read_the_sender_alone_is_logged(caplog):
    logger, _config = logger_of_the_panel()
    logger.error_log.propagate = True
    caplog.clear()

    logger.warning("Invalid request from ip=192.0.2.1: Invalid HTTP Header: 'Bearer canary'")
    logger.warning("Worker %s was sent SIGTERM", 7)
    with suppress(ZeroDivisionError):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logger.exception("Error handling request %s %s", "GET", "/x?secret=canary")
            raise

    # Other loggers of this process may have handed the same record on.
    assert list(dict.fromkeys(record.getMessage() for record in caplog.records)) == [
        "Invalid request from ip=192.0.2.1: it cannot be read",
        "Worker 7 was sent SIGTERM",
        "Error handling request GET /x?",
    ]
