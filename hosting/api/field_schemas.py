"""How the fields of bodies stand in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from hosting import public_ids
from hosting.api import batch, fields, mailboxes

Schema = dict[str, Any]


class _MomentSchema(OpenApiSerializerFieldExtension):
    target_class = fields.Moment

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        return {"type": "string", "format": "date-time"}


class _IdSchema(OpenApiSerializerFieldExtension):
    target_class = fields.PublicId

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        return id_schema(self.target.prefix)


class _MessageIdSchema(OpenApiSerializerFieldExtension):
    target_class = "hosting.api.recoverable.MessageId"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        return {"type": "string", "pattern": "^msg_[0-9A-Za-z_-]+$"}


class _LabelsSchema(OpenApiSerializerFieldExtension):
    target_class = fields.Labels

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        text = {"maxLength": fields.Labels.LENGTH, "pattern": fields.Labels.PATTERN}
        return {
            "type": "object",
            "additionalProperties": {"type": "string", **text},
            "propertyNames": text,
            "maxProperties": fields.Labels.MOST,
        }


class _LabelChangesSchema(_LabelsSchema):
    target_class = fields.LabelChanges
    priority = 1

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        labels = super().map_serializer_field(auto_schema, direction)
        text = {**labels["additionalProperties"], "type": ["string", "null"]}
        return {**labels, "additionalProperties": text}


class _ItemsSchema(OpenApiSerializerFieldExtension):
    """Items of a batch are checked one by one, so what each is stands in no field of the body."""

    target_class = batch.Items

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        item = auto_schema.resolve_serializer(batch.ItemBody(), direction)
        return {"type": "array", "items": item.ref}


class _ContentSchema(OpenApiSerializerFieldExtension):
    target_class = batch.Content

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        bodies = (mailboxes.OrderBody(), mailboxes.ChangeBody(partial=True))
        refs = [auto_schema.resolve_serializer(each, direction).ref for each in bodies]
        return {"anyOf": refs}


def id_schema(prefix: str) -> Schema:
    """The id of one kind of thing."""
    return {"type": "string", "pattern": f"^{prefix}_{public_ids.PATTERN}$"}
