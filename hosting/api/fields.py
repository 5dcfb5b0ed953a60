"""Values of a body: taken as what they are, never guessed from something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers

from hosting import public_ids
from hosting.api.moments import moment_in

_MOST_BYTES = 2**63 - 1


class Body(serializers.Serializer[Any]):
    """A JSON object whose every name is known."""

    def to_internal_value(self, data: Any) -> Any:
        """The values; an unknown name is an error, not something to ignore."""
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                message = "There is no such field."
                raise serializers.ValidationError(
                    {name: [serializers.ErrorDetail(message, code="unknown")] for name in unknown}
                )
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string, and no number in its place."""

    default_error_messages = {"invalid": "This is a string."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ClearableText(Text):
    """A string that null makes empty, as a merge patch (RFC 7396) takes a value away."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_blank=True, allow_null=True)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return "" if data is None else super().run_validation(data)


class Whole(serializers.IntegerField):
    """A whole number, and no string, truth value or fraction in its place."""

    default_error_messages = {"invalid": "This is a whole number."}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


def bytes_count(**options: Any) -> Whole:
    """A size in bytes that a database can hold."""
    return Whole(min_value=0, max_value=_MOST_BYTES, **options)


class Flag(serializers.BooleanField):
    """True or false."""

    default_error_messages = {"invalid": "This is true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Moment(serializers.Field[datetime, Any, str, Any]):
    """A moment after RFC 3339, with its offset."""

    default_error_messages = {"invalid": "This is a moment such as 2026-11-03T14:00:00Z."}

    def to_internal_value(self, data: Any) -> datetime:
        moment = moment_in(data) if isinstance(data, str) else None
        if moment is None:
            self.fail("invalid")
        return moment


class PublicId(serializers.Field[UUID, Any, str, Any]):
    """The id of one kind of thing; what it names is looked up by the handler."""

    default_error_messages = {"invalid": "This is no id of the kind {prefix}_…"}

    def __init__(self, prefix: str, **options: Any) -> None:
        super().__init__(**options)
        self.prefix = prefix

    def to_internal_value(self, data: Any) -> UUID:
        try:
            return public_ids.decode(self.prefix, data if isinstance(data, str) else "")
        except public_ids.NoSuchId:
            self.fail("invalid", prefix=self.prefix)


class Labels(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """Up to twenty short names with short values, for the integrator's own use.

    `PATTERN` leaves out control characters, ends of lines, and marks that turn the direction of
    what follows.
    """

    MOST, LENGTH = 20, 60
    PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$"
    default_error_messages = {
        "invalid": "This is an object of at most 20 printable strings of at most 60 characters."
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping) or len(data) > self.MOST:
            self.fail("invalid")
        for text in (*data.keys(), *data.values()):
            if not isinstance(text, str) or len(text) > self.LENGTH:
                self.fail("invalid")
            if not _PRINTED.fullmatch(text):
                self.fail("invalid")
        return dict(data)


_PRINTED = re.compile(Labels.PATTERN)


class LabelChanges(Labels):
    """Labels to set beside those that there are; null takes one away, or all (RFC 7396)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.fail("invalid")
        wanted = {name: "" if value is None else value for name, value in data.items()}
        super().to_internal_value(wanted)
        return dict(data)
