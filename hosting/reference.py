"""The API's OpenAPI document in words: what the reference pages show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.utils.text import slugify

PATH = Path(settings.BASE_DIR) / "docs/api/openapi.yaml"
_JSON, _PROBLEM = "application/json", "application/problem+json"
Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One name in a query, a body or an answer. `depth` counts the objects around it."""

    name: str
    type: str
    meaning: str
    is_required: bool
    depth: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What can go wrong, by its status."""

    status: int
    codes: list[str]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one route."""

    id: str
    method: str
    path: str
    summary: str
    description: list[str]
    parameters: list[Field]
    body: list[Field]
    status: int
    answer: list[Field]
    problems: list[Problem]


@dataclass(frozen=True, kw_only=True)
class Group:
    """All operations on one kind of thing."""

    slug: str
    operations: list[Operation]

    @property
    def name(self) -> str:
        """How a heading calls it."""
        return self.slug.replace("-", " ").capitalize()


@cache
def groups() -> dict[str, Group]:
    """All groups by their slug, as the checked-in document has them."""
    document = yaml.load(PATH.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    schemas = document["components"]["schemas"]
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            slug = slugify(operation["tags"][0])
            made = _operation(path, method, operation, schemas)
            found.setdefault(slug, []).append(made)
    return {slug: Group(slug=slug, operations=each) for slug, each in sorted(found.items())}


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> Operation:
    body = operation.get("requestBody", {}).get("content", {}).get(_JSON, {}).get("schema")
    status, answer = next(
        (code, each) for code, each in operation["responses"].items() if code < "300"
    )
    shown = answer.get("content", {}).get(_JSON, {}).get("schema")
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=[part for part in operation.get("description", "").split("\n\n") if part],
        parameters=[_parameter(each, schemas) for each in operation.get("parameters", [])],
        body=list(_fields(body, schemas)) if body else [],
        status=int(status),
        answer=list(_fields(shown, schemas)) if shown else [],
        problems=[
            Problem(status=int(code), codes=each["description"].replace("`", "").split(", "))
            for code, each in operation["responses"].items()
            if _PROBLEM in each.get("content", {})
        ],
    )


def _parameter(parameter: Schema, schemas: Schema) -> Field:
    where = {"path": "in the path", "header": "a header"}.get(parameter["in"], "")
    return Field(
        name=parameter["name"],
        type=_type(parameter["schema"], schemas),
        meaning=" · ".join(part for part in (where, parameter.get("description", "")) if part),
        is_required=parameter.get("required", False),
        depth=0,
    )


def _fields(schema: Schema, schemas: Schema, depth: int = 0) -> Iterator[Field]:
    """The names of an object, each followed by those within it."""
    whole = _resolved(schema, schemas)
    needed = whole.get("required", [])
    for name, each in whole.get("properties", {}).items():
        inner = _resolved(each, schemas)
        yield Field(
            name=name,
            type=_type(each, schemas),
            meaning=each.get("description", ""),
            is_required=name in needed,
            depth=depth,
        )
        yield from _fields(_inside(inner, schemas), schemas, depth + 1)


def _inside(schema: Schema, schemas: Schema) -> Schema:
    """The object that a list or a choice with null holds."""
    if "items" in schema:
        return _resolved(schema["items"], schemas)
    for each in schema.get("anyOf", []):
        found = _resolved(each, schemas)
        if "properties" in found:
            return found
    return schema if "properties" in schema else {}


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    reference = schema.get("$ref", "")
    if not reference and len(schema.get("allOf", [])) == 1:
        reference = schema["allOf"][0].get("$ref", "")
    found: Schema = schemas[reference.rpartition("/")[2]] if reference else schema
    return found


def _type(schema: Schema, schemas: Schema) -> str:
    """The type of a value in few words."""
    whole = _resolved(schema, schemas)
    if "anyOf" in whole:
        return " or ".join(_type(each, schemas) for each in whole["anyOf"])
    if "enum" in whole:
        return ", ".join(str(each) for each in whole["enum"])
    kind = whole.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(whole['items'], schemas)}"
    if "pattern" in whole and "_[0-9a-f]" in whole["pattern"]:
        return f"id {whole['pattern'][1:4]}_…"
    return str(whole.get("format", kind))
