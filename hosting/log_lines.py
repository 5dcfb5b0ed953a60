"""What is written into logs, and in what form, in the words that Python wants. Pure."""

from __future__ import annotations

from typing import Any

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "hosting.discretion.Formatter",
            "format": "{asctime} {levelname} {request_id} {name}: {message}",
            "style": "{",
        },
    },
    "filters": {"request_ids": {"()": "hosting.request_ids.RequestIds"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request_ids"],
        },
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    # A line for each call to the mail server, or each step of a PDF, would bury everything else.
    "loggers": {
        "httpx": {"level": "WARNING"},
        "weasyprint": {"level": "WARNING"},
        # Its own handlers would write each line once more, as it came.
        "django": {"handlers": [], "level": "INFO"},
    },
}
