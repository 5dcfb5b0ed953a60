"""The OpenAPI document is what the operations declare."""

from __future__ import annotations

import pytest
import yaml

from hosting.api import batch, schema
from hosting.problem_kinds import KINDS


def test_the_checked_in_document_is_the_one_that_the_code_makes():
    """If this fails, run `bin/manage write_api_schema` and look at what changed."""
    assert yaml.safe_load(schema.PATH.read_text()) == yaml.safe_load(schema.text())


def test_every_operation_has_an_id_of_its_own_and_a_summary():
    operations = [each for path in schema.document()["paths"].values() for each in path.values()]

    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)


def properties_of(name):
    return schema.document()["components"]["schemas"][name]["properties"]


def test_an_item_of_a_batch_is_described_as_far_as_its_own_calls_are():
    items = properties_of("BatchBody")["items"]
    item = properties_of("ItemBody")

    assert items["items"] == {"$ref": "#/components/schemas/ItemBody"}
    assert tuple(item["operation"]["enum"]) == batch.OPERATIONS
    assert [each["$ref"].rpartition("/")[2] for each in item["body"]["anyOf"]] == [
        "OrderBody",
        "PatchedChangeBody",
    ]


def test_no_field_within_a_merge_patch_is_needed():
    made = schema.document()
    schemas = made["components"]["schemas"]
    bodies = [
        each["patch"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for each in made["paths"].values()
        if "patch" in each
    ]
    within = [
        about["$ref"].rpartition("/")[2]
        for body in bodies
        for about in schemas[body.rpartition("/")[2]]["properties"].values()
        if "$ref" in about
    ]

    assert within
    assert not any(schemas[name].get("required") for name in within)


def test_a_text_that_cannot_be_empty_says_so():
    assert properties_of("NewCustomerBody")["name"]["minLength"] == 1
    assert "minLength" not in properties_of("NewCustomerBody")["external_ref"]


def test_the_document_names_its_server_and_every_group():
    made = schema.document()
    used = {
        tag for path in made["paths"].values() for each in path.values() for tag in each["tags"]
    }

    assert made["servers"] == [{"url": "/"}]
    assert {each["name"] for each in made["tags"]} == used


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
