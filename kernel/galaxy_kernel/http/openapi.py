"""The API's description as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the routes."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from galaxy_kernel.http import headers
from galaxy_kernel.http.answers import FIELD_ERROR, PROBLEM, REF, responses, through_gateway
from galaxy_kernel.http.foreign import demands_json
from galaxy_kernel.http.forms import MULTIPART, URLENCODED
from galaxy_kernel.http.parameters import repeatable
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.signature import Signature, read_signature, undecorated

Document = dict[str, Any]
Operations = list[tuple[str, Route, Signature]]

_SECURITY_SCHEMES: Document = {
    Access.USER.value: {
        "type": "http",
        "scheme": "bearer",
        "description": "A session token, as `confirm-email-code` returns it.",
    },
    Access.INTERNAL.value: {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gateway-Token",
        "description": "The gateway's token, `BACKEND_GATEWAY_TOKEN`.",
    },
    Access.ADMIN.value: {"type": "http", "scheme": "basic", "description": "An admin account."},
}
_ABOUT = """
Everything that this deployment serves, by plugin. Who may call is in the path: `public` needs nothing, `user` a
session's token (Bearer), `internal` the gateway's token, `admin` an operator's account (HTTP Basic).

Clients reach `public` and `user` through the gateway, at its address and the same paths. It adds limits, the replay of
calls by `Idempotency-Key`, and an operation of its own, which is not listed here: live events,
`GET /api/v1/user/events`, as server-sent events or as a WebSocket.

Errors are problem documents (RFC 9457). Programs go by their `code`; those of a status are listed with it. Times are
RFC 3339 in UTC, ids are UUIDs. Answers may get new fields; requests with unknown fields are refused,
and so is text with the character NUL.
"""
_EMPTY: Document = {
    "type": "object",
    "title": "Empty",
    "description": "Nothing: changes by operators are sent as JSON even so, which other web pages cannot do.",
    "additionalProperties": False,
    "properties": {},
}
_SERVERS = [{"url": "/", "description": "The backend that serves this document."}]


def build(routes: Sequence[tuple[str, Route]], title: str = "Galaxy Backend", version: str | None = None) -> Document:
    """Return the document for the routes, which come with their plugins' names. Raise PluginError for a bad one.

    The version is the installed kernel's unless given.
    """
    operations: Operations = [(plugin, route, read_signature(plugin, route)) for plugin, route in routes]
    schemas, definitions = _schemas(operations)
    paths: dict[str, Document] = {}
    for plugin, route, signature in sorted(operations, key=lambda one: (one[0], one[1].path)):
        operation = _operation(plugin, route, signature, schemas)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version or metadata.version("galaxy-backend-kernel"),
            "description": _ABOUT,
        },
        "servers": _SERVERS,
        "tags": [{"name": plugin} for plugin in sorted({plugin for plugin, _ in routes})],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, "FieldError": FIELD_ERROR, "Empty": _EMPTY, **definitions},
            **headers.components(),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


class _Schemas:
    """The JSON schemas of all requests and responses, by operation and role."""

    def __init__(self, found: Mapping[tuple[str, JsonSchemaMode], Document]) -> None:
        self._found = found

    def get(self, route: Route, role: str, mode: JsonSchemaMode = "validation") -> Document:
        return self._found[f"{route.name}:{role}", mode]


def _schemas(operations: Operations) -> tuple[_Schemas, Document]:
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
    for _, route, signature in operations:
        inputs += [(f"{route.name}:path.{one.name}", "validation", one.adapter) for one in signature.path]
        if signature.body is not None:
            inputs.append((f"{route.name}:body", "validation", signature.body))
        if signature.form is not None:
            inputs.append((f"{route.name}:form", "validation", TypeAdapter(signature.form.model)))
        if signature.answer is not None:
            inputs.append((f"{route.name}:answer", "serialization", signature.answer))
    found, document = TypeAdapter.json_schemas(inputs, ref_template=REF)
    return _Schemas(found), document.get("$defs", {})


def _operation(plugin: str, route: Route, signature: Signature, schemas: _Schemas) -> Document:
    access = Access(route.access or Access.PUBLIC)
    answer = None if signature.answer is None else schemas.get(route, "answer", "serialization")
    operation: Document = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [plugin],
        "x-access": access.value,
        "security": [] if access is Access.PUBLIC else [{access.value: []}],
        "responses": responses(route, signature, answer),
    }
    description = route.description or inspect.cleandoc(undecorated(route.handler).__doc__ or "")
    if description:
        operation["description"] = description
    parameters = [
        {"name": one.name, "in": "path", "required": True, "schema": schemas.get(route, f"path.{one.name}")}
        for one in signature.path
    ]
    parameters += _query_parameters(signature) + headers.sent(*_sent(route, access))
    if parameters:
        operation["parameters"] = parameters
    body = _request_body(route, signature, schemas)
    if body:
        operation["requestBody"] = body
    return operation


def _request_body(route: Route, signature: Signature, schemas: _Schemas) -> Document:
    if signature.form is not None:
        described = {"schema": schemas.get(route, "form")}
        return {"required": True, "content": {URLENCODED: described, MULTIPART: described}}
    if signature.body is not None:
        content = {"application/json": {"schema": schemas.get(route, "body")}}
        return {"required": not signature.body_optional or demands_json(route), "content": content}
    if demands_json(route):
        return {"required": True, "content": {"application/json": {"schema": {"$ref": REF.format(model="Empty")}}}}
    return {}


def _sent(route: Route, access: Access) -> list[str]:
    names = [name for name in route.headers if name in headers.SENT]
    return names if route.method == "GET" or not through_gateway(access) else [*names, "Idempotency-Key"]


def _query_parameters(signature: Signature) -> list[Document]:
    if signature.query is None:
        return []
    model = signature.query.model
    schema = model.model_json_schema(ref_template=REF)
    definitions = schema.get("$defs", {})
    lists = {field.alias or name for name, field in model.model_fields.items() if repeatable(field.annotation)}
    return [
        _query_parameter(name, _inlined(property_, definitions), required=name in schema.get("required", ()))
        | ({"style": "form", "explode": True} if name in lists else {})
        for name, property_ in schema.get("properties", {}).items()
    ]


def _query_parameter(name: str, schema: Document, *, required: bool) -> Document:
    """Describe one parameter. Null is left out of its schema, since a query cannot express it."""
    members = [member for member in schema.get("anyOf", ()) if member.get("type") != "null"]
    if members and len(members) < len(schema["anyOf"]):
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = rest | (members[0] if len(members) == 1 else {"anyOf": members})
        if schema.get("default", "") is None:
            del schema["default"]
    parameter: Document = {"name": name, "in": "query", "required": required}
    if "description" in schema:
        parameter["description"] = schema["description"]
    parameter["schema"] = {key: value for key, value in schema.items() if key not in ("description", "title")}
    return parameter


def _inlined(schema: Any, definitions: Mapping[str, Document]) -> Any:
    """Inline enumerations and the like: schemas of parameters are small, and need no names."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = definitions[reference.rpartition("/")[2]]
        return _inlined({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}
