"""The OpenAPI document, made from what the operations declare.

Nothing here runs while requests are answered: the command `write_api_schema` makes the file that
is checked in, and a test makes it again and compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import yaml
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent

from hosting import public_ids
from hosting.api import field_schemas, listing, parameter_forms, problem_schema
from hosting.api.contract import Match, Operation
from hosting.api.endpoint import Endpoint
from hosting.api.middleware import PREFIX
from hosting.api.moments import Moment
from hosting.api.problems import CONTENT_TYPE
from hosting.problem_kinds import KINDS

Schema = dict[str, Any]
PATH = settings.BASE_DIR / "docs/api/openapi.yaml"
# Any call can meet these.
COMMON_PROBLEMS = (
    "bad-request",
    "unknown-parameter",
    "invalid-parameter",
    "unauthenticated",
    "key-unknown",
    "key-expired",
    "key-revoked",
    "organisation-closed",
    "network-not-allowed",
    "scope-missing",
    "forbidden",
    "not-acceptable",
    "rate-limited",
    "internal-error",
    "backend-unavailable",
)
_BODY_PROBLEMS = ("body-too-large", "unsupported-media-type", "validation-failed")
_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    Any: {},
    Moment: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
}


class EndpointSchema(AutoSchema):
    """Reads an endpoint's operations."""

    registry: ComponentRegistry

    @property
    def promise(self) -> Operation:
        """What the operation declares."""
        found: Operation = getattr(self.view, self.method.lower()).operation
        return found

    @property
    def match(self) -> Match:
        """Whether the operation takes, or wants, a version."""
        return self.promise.match_of(self.method, names_a_thing=bool(self._path_parameters()))

    def get_operation_id(self) -> str:
        return self.promise.name

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix(f"{PREFIX}/").partition("/")[0]]

    def get_summary(self) -> str:
        text = inspect.getdoc(getattr(self.view, self.method.lower())) or ""
        return text.partition("\n\n")[0].replace("\n", " ").rstrip(".")

    def get_description(self) -> str:  # type: ignore[override]
        text = inspect.getdoc(getattr(self.view, self.method.lower())) or ""
        needs = f"Needs the scope `{self.promise.scope}`." if self.promise.scope else ""
        if self.promise.also:
            names = " and ".join(f"`{each}`" for each in (self.promise.scope, *self.promise.also))
            needs = f"Needs the scopes {names}."
        if self.promise.one_of:
            names = ", ".join(f"`{each}`" for each in self.promise.one_of)
            needs = f"Needs one of the scopes {names}."
        parts = (text.partition("\n\n")[2], needs, _farewell(self.promise))
        return "\n\n".join(part for part in parts if part)

    def is_deprecated(self) -> bool:
        return self.promise.deprecated_at is not None

    def get_auth(self) -> list[Schema]:
        return [{"key": []}]

    def _get_parameters(self) -> list[Schema]:
        return [*self._path_parameters(), *self._query_parameters(), *self._header_parameters()]

    def _path_parameters(self) -> list[Schema]:
        names = re.findall(r"<(?:(\w+):)?(\w+)>", self.path_regex)
        return [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": field_schemas.id_schema(kind)
                if kind in public_ids.KINDS
                else {"type": "string"},
            }
            for kind, name in names
        ]

    def _query_parameters(self) -> list[Schema]:
        found = [
            _parameter(name, parameter_forms.FORMS.get(name, {"type": "string"}), meaning)
            for name, meaning in self.promise.parameters.items()
        ]
        if isinstance(self.promise.lists, listing.Listing):
            found += _list_parameters(self.promise.lists)
        return found

    def _header_parameters(self) -> list[Schema]:
        found = []
        if self.method == "POST":
            text = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
            meaning = "The same request with the same key is done once."
            found.append(_parameter("Idempotency-Key", text, meaning, where="header"))
        if self.match is not Match.NEVER:
            meaning = "The ETag of the version that is meant."
            is_needed = self.match is Match.REQUIRED
            schema = {"type": "string"}
            found.append(
                _parameter("If-Match", schema, meaning, where="header", is_required=is_needed)
            )
        return found

    def _get_request_body(self, direction: Any = "request") -> Schema | None:
        if self.promise.takes is None:
            return None
        body = self.promise.takes(partial=self.method == "PATCH")
        component = self.resolve_serializer(body, "request")
        media_types = ["application/json"]
        if self.method == "PATCH":
            media_types.append("application/merge-patch+json")
        content = {"schema": component.ref}
        return {"required": True, "content": dict.fromkeys(media_types, content)}

    def _get_response_bodies(self, direction: Any = "response") -> Schema:
        promise = self.promise
        success: Schema = {"description": "Done."}
        if isinstance(promise.lists, listing.Listing):
            content = {"schema": _page_schema(promise.lists, self.registry)}
            success["content"] = {"application/json": content}
        elif promise.gives is not None:
            content = {"schema": schema_of(promise.gives, self.registry)}
            success["content"] = {"application/json": content}
        elif promise.media_types:
            as_it_is = {"schema": {"type": "string"}}
            success["content"] = dict.fromkeys(promise.media_types, as_it_is)
        found = {str(promise.status): success}
        if promise.may_wait:
            found["202"] = {**success, "description": "Taken down; it takes effect later."}
        if promise.previews is not None:
            found["200"] = self._with_preview(found.get("200"))
        for status, codes in sorted(_problems(promise, self.method, self.match).items()):
            names = ", ".join(f"`{code}`" for code in codes)
            content = {"schema": {"$ref": "#/components/schemas/Problem"}}
            found[str(status)] = {"description": names, "content": {CONTENT_TYPE: content}}
        return found

    def _with_preview(self, done: Schema | None) -> Schema:
        """What status 200 answers with: a preview, or also what was done where it says that too."""
        schema, description = schema_of(self.promise.previews, self.registry), "What would be."
        if done is not None:
            schema = {"oneOf": [done["content"]["application/json"]["schema"], schema]}
            description = "Done, or what would be."
        return {"description": description, "content": {"application/json": {"schema": schema}}}

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Schema:
        """Bodies are strict: an unknown name is refused."""
        return {
            **super()._map_basic_serializer(serializer, direction),  # type: ignore[no-untyped-call]
            "additionalProperties": False,
        }


def _farewell(promise: Operation) -> str:
    """What is said of an operation that nobody should begin to use."""
    if promise.deprecated_at is None:
        return ""
    end = f" and ends on {promise.sunset_at:%Y-%m-%d}" if promise.sunset_at else ""
    return f"Deprecated: it is not to be used anew since {promise.deprecated_at:%Y-%m-%d}{end}."


def _problems(promise: Operation, method: str, match: Match) -> dict[int, list[str]]:
    """The codes by status, each in the order of the table."""
    codes = {*COMMON_PROBLEMS, *promise.problems, "method-not-allowed"}
    if promise.takes is not None or method != "GET":
        codes.update(_BODY_PROBLEMS)
    if promise.lists is not None:
        codes.add("invalid-cursor")
    codes.add("not-found")
    if match is not Match.NEVER:
        codes.add("stale-version")
    if match is Match.REQUIRED:
        codes.add("precondition-required")
    if method == "POST":
        codes.update({"idempotency-in-flight", "idempotency-mismatch"})
    found: dict[int, list[str]] = {}
    for code, kind in KINDS.items():
        if code in codes:
            found.setdefault(kind.status, []).append(code)
    return found


def _parameter(
    name: str, schema: Schema, meaning: str, *, where: str = "query", is_required: bool = False
) -> Schema:
    found: Schema = {"name": name, "in": where, "schema": schema, "description": meaning}
    return {**found, "required": True} if is_required else found


def _list_parameters(listed: listing.Listing[Any]) -> list[Schema]:
    orders = [sign + name for name in listed.sorts for sign in ("", "-")]
    limit = {
        "type": "integer",
        "minimum": 1,
        "maximum": listing.HIGHEST_LIMIT,
        "default": listing.DEFAULT_LIMIT,
    }
    text = {"type": "string"}
    names = ", ".join(listed.document.__annotations__)
    return [
        _parameter("limit", limit, "How many at most."),
        _parameter("cursor", text, "`next_cursor` of the page before."),
        _parameter("sort", {"type": "string", "enum": orders}, "The order."),
        _parameter(
            "include",
            {"type": "string", "enum": ["total_count"]},
            "Count all that the filters let through.",
        ),
        *([_parameter("expand", text, listed.expand.meaning)] if listed.expand else []),
        _parameter("fields", text, f"Only these fields, with commas between: {names}."),
        *(
            _parameter(name, _filter_schema(each), each.meaning)
            for name, each in listed.filters.items()
        ),
    ]


def _filter_schema(each: listing.Filter) -> Schema:
    if each.choices:
        return {"type": "string", "enum": list(each.choices)}
    return {"type": "string", **each.form}


def schema_of(hint: Any, registry: ComponentRegistry) -> Schema:
    """The schema of a document's type: typed dictionaries become components."""
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if is_typeddict(hint):
        return _component(hint, registry)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"type": "string", "enum": list(inner)}
    parts = [schema_of(each, registry) for each in inner]
    if origin is list:
        return {"type": "array", "items": parts[0]}
    if origin is dict:
        return {"type": "object", "additionalProperties": parts[1]}
    return {"anyOf": parts}


def _component(document: Any, registry: ComponentRegistry) -> Schema:
    name = document.__name__.removesuffix("Document")
    component = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=document)
    if component in registry:
        ref: Schema = registry[component].ref
        return ref
    registry.register(component)
    properties = {
        field: schema_of(hint, registry) for field, hint in get_type_hints(document).items()
    }
    component.schema = {
        "type": "object",
        "description": inspect.getdoc(document) or "",
        "properties": properties,
        "required": [field for field in properties if field in document.__required_keys__],
    }
    registry.register_on_missing(component)
    made: Schema = component.ref
    return made


def _page_schema(listed: listing.Listing[Any], registry: ComponentRegistry) -> Schema:
    """A page of documents, of which `fields` may have left some parts out."""
    schema_of(listed.document, registry)
    name = listed.document.__name__.removesuffix("Document")
    whole = registry[ResolvedComponent(name, ResolvedComponent.SCHEMA, object=listed.document)]
    item = {key: value for key, value in whole.schema.items() if key != "required"}
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": item},
            "next_cursor": {"type": ["string", "null"]},
            "total_count": {"type": "integer"},
        },
        "required": ["items", "next_cursor"],
    }


def document() -> Schema:
    """The whole OpenAPI 3.1 document."""
    Endpoint.schema = EndpointSchema()
    made: Schema = SchemaGenerator(urlconf="hosting.api.roots").get_schema(public=True)
    # The panel that serves the document, wherever that is.
    made["servers"] = [{"url": "/"}]
    # Programs that generate clients or pages want to be told each group before it is used.
    operations = [each for methods in made["paths"].values() for each in methods.values()]
    made["tags"] = [{"name": tag} for tag in sorted({each["tags"][0] for each in operations})]
    components = made.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = problem_schema.made()
    bearer = {"type": "http", "scheme": "bearer", "description": "An API key, `rst_…`."}
    components["securitySchemes"] = {"key": bearer}
    return made


def text() -> str:
    """The document as it is checked in."""
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=100)
