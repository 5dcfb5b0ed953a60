"""The OpenAPI document is what the operations declare."""

from __future__ import annotations

import pytest
import yaml

from hosting.api import schema
from hosting.problem_kinds import KINDS


def test_the_checked_in_document_is_the_one_that_the_code_makes():
    """If this fails, run `bin/manage write_api_schema` and look at what changed."""
    assert yaml.safe_load(schema.PATH.read_text()) == yaml.safe_load(schema.text())


def test_every_operation_has_an_id_of_its_own_and_a_summary():
    operations = [each for path in schema.document()["paths"].values() for each in path.values()]

    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)


@pytest.mark.parametrize("code", KINDS)
def test_every_problem_has_a_status_of_its_own_class(code):
    assert 400 <= KINDS[code].status < 600


# Names that end otherwise, as docs/architecture.md tells ("Every number says what it counts").
UNITS = ("_bytes", "_seconds", "_milliseconds", "_count", "_minor", "_days")
PLAIN = {"bytes", "count", "days", "minutes", "percent"}
ORDINALS = {"seq", "last_seq", "place", "uid", "uidvalidity", "line", "status"}
OF_LIMITS = {"limit", "current", "requested"}
VERBS = {"messages_fetched", "messages_glanced_at", "messages_removed", "sessions_ended"}


def kinds_of(about):
    for each in (about, *about.get("anyOf", ())):
        kind = each.get("type", ())
        yield from [kind] if isinstance(kind, str) else kind


def numbers():
    for found in schema.document()["components"]["schemas"].values():
        for name, about in found.get("properties", {}).items():
            if {"integer", "number"}.intersection(kinds_of(about)):
                yield name


def test_every_number_says_what_it_counts():
    others = {name for name in numbers() if not name.endswith(UNITS)}

    assert others == PLAIN | ORDINALS | OF_LIMITS | VERBS
