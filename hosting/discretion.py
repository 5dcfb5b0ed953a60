"""What logs and error reports leave out, whoever wrote it into them.

Nothing of ours logs a secret. This stands behind it for what others log: a path with the token of a
letter in it, the text of an exception, the key that a program sent to the wrong place.
"""

from __future__ import annotations

import logging
import re
from collections.abc import ItemsView
from datetime import date, timedelta
from types import FrameType
from typing import Any
from uuid import UUID

from django.http import HttpRequest, QueryDict
from django.views.debug import SafeExceptionReporterFilter

LEFT_OUT = "…"
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Tokens of letters: whoever has one is let in.
    (re.compile(r"(/account/[a-z0-9-]+/)[^\s?'\"<>]+"), rf"\1{LEFT_OUT}"),
    (re.compile(r"(/account/[^\s?'\"<>]*\?)[^\s'\"<>]+"), rf"\1{LEFT_OUT}"),
    # API keys, webhook secrets, and the keys of the payment provider.
    (re.compile(r"\b(rst|whsec|sk|rk|pk)_[A-Za-z0-9_+/=-]{8,}"), rf"\1_{LEFT_OUT}"),
    (re.compile(r"\b(Bearer|Basic) +[^\s'\",]+", re.IGNORECASE), rf"\1 {LEFT_OUT}"),
    # Passwords in addresses of servers.
    (re.compile(r"(\w://[^\s:/@]*:)[^\s/@]+@"), rf"\1{LEFT_OUT}@"),
    # Forms and queries as they are sent.
    (
        re.compile(r"\b((?:\w*password\w*|secret|token|api_?key)=)[^\s&'\"]+", re.IGNORECASE),
        rf"\1{LEFT_OUT}",
    ),
)
# Names of settings and headers; addresses of servers hold passwords too.
_SECRET_NAMES = re.compile(
    r"pass|secret|token|key|cookie|session|auth|otp|credential|signature|_url|dsn|location|broker"
    r"|query|_uri|referer",
    re.IGNORECASE,
)


def left_out(text: str) -> str:
    """The text without what looks like a secret."""
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


class Formatter(logging.Formatter):
    """Writes a record, its traceback included, without what looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines as they are written."""
        return left_out(super().format(record))


class ErrorReport(SafeExceptionReporterFilter):
    """Reports of failures, also on a laptop with DEBUG on: no secret settings, forms or values."""

    hidden_settings = _SECRET_NAMES

    def is_active(self, request: HttpRequest | None) -> bool:  # noqa: ARG002
        """Always: a report is copied into mails and chats from a laptop just as well."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        """Names of what was sent, without values."""
        if request is None:
            return {}
        cleansed = QueryDict(mutable=True)
        for name in request.POST:
            cleansed[name] = self.cleansed_substitute
        return cleansed

    def get_traceback_frame_variables(
        self,
        request: HttpRequest | None,  # noqa: ARG002
        tb_frame: FrameType,
    ) -> ItemsView[str, Any]:
        """Local values that cannot hold a secret; of texts and whatever holds texts, the kind."""
        return {name: _plain(value) for name, value in tb_frame.f_locals.items()}.items()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, date, timedelta, UUID)):
        return value
    size = f" of {len(value)}" if isinstance(value, (str, bytes, list, tuple, dict)) else ""
    return f"<{type(value).__name__}{size}>"
