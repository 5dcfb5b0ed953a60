"""JSON as it comes in and goes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import IO, Any, NoReturn

import orjson
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from hosting.api.problems import Problem, wrong_body

# A batch of five hundred orders is a tenth of it.
LARGEST_BODY_BYTES = 1024 * 1024
# Fifty thousand mailboxes, with what JSON adds to a text.
LARGEST_LIST_BYTES = 6 * 1024 * 1024
# What is asked for has no more than five.
_MOST_LEVELS = 32


class StrictJsonParser(BaseParser):
    """One JSON object in UTF-8: no name twice, no NaN, nothing endless."""

    media_type = "application/json"
    most_bytes = LARGEST_BODY_BYTES

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object; raises a `Problem`."""
        text = stream.read(self.most_bytes + 1)
        if len(text) > self.most_bytes:
            raise too_large()
        try:
            found = _loaded(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            message = "The body is no JSON."
            raise wrong_body(message) from error
        if not isinstance(found, dict) or not _is_flat(found):
            message = f"The body is a JSON object of at most {_MOST_LEVELS} levels."
            raise wrong_body(message)
        return found


class MergePatchParser(StrictJsonParser):
    """The same by the name that RFC 7396 gives it."""

    media_type = "application/merge-patch+json"


class ListJsonParser(StrictJsonParser):
    """The same with the text of a whole list in it."""

    most_bytes = LARGEST_LIST_BYTES


def too_large() -> Problem:
    """A body is longer than anybody needs."""
    detail = (
        f"At most {LARGEST_BODY_BYTES} bytes are read, "
        f"or {LARGEST_LIST_BYTES} where a list is brought in."
    )
    return wrong_body(detail, code="body-too-large")


def _loaded(text: str) -> Any:
    """The value; raises `ValueError` or `RecursionError`."""
    if "\\ud" in text.lower():
        # Half of a surrogate pair is no character: no table and no answer could hold it.
        orjson.loads(text)
    return json.loads(text, object_pairs_hook=_once_each, parse_constant=_refuse_constant)


def _is_flat(found: Any) -> bool:
    """Whether nothing lies so deep that whoever goes through it could come to harm."""
    level = [found]
    for _ in range(_MOST_LEVELS):
        level = [inner for each in level for inner in _within(each)]
    return not level


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "A name stands twice in one object."
        raise ValueError(message)
    return found


def _refuse_constant(_text: str) -> NoReturn:
    message = "NaN and Infinity are no JSON."
    raise ValueError(message)


class JsonRenderer(BaseRenderer):
    """Compact JSON in UTF-8."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The bytes of the answer; nothing for an answer without a body."""
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)
