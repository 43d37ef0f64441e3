"""The API's description as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the routes."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from galaxy_kernel.http.forms import MULTIPART, URLENCODED
from galaxy_kernel.http.parameters import repeatable
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.signature import Signature, read_signature

Document = dict[str, Any]
Operations = list[tuple[str, Route, Signature]]

_REF = "#/components/schemas/{model}"
_COMMON_ERRORS = (
    "500 internal",
    "503 database_unavailable",
    "503 database_busy",
    "503 timeout",
    "503 starting",
    "503 stopping",
)
_ACCESS_ERRORS = {
    Access.PUBLIC: (),
    Access.USER: ("401 unauthenticated", "403 access_closed"),
    Access.INTERNAL: ("401 gateway_token_required", "403 access_closed"),
    Access.ADMIN: ("401 unauthenticated", "403 access_closed", "403 network_refused"),
}
_BODY_ERRORS = ("413 body_too_large", "415 unsupported_media_type", "417 expectation_failed")
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
_PROBLEM: Document = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong, as a problem document (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The status's phrase."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "Identifies the error for programs, the same in all versions."},
        "detail": {"type": "string", "description": "What happened and what to do, for people."},
        "request_id": {"type": "string", "description": "The id to quote to the operators."},
        "errors": {
            "type": "array",
            "description": "Every bad field of the request.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "Its path, with dots: `schedule.interval`."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


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
        "info": {"title": title, "version": version or metadata.version("galaxy-backend-kernel")},
        "tags": [{"name": plugin} for plugin in sorted({plugin for plugin, _ in routes})],
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM, **definitions}, "securitySchemes": _SECURITY_SCHEMES},
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
    found, document = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    return _Schemas(found), document.get("$defs", {})


def _operation(plugin: str, route: Route, signature: Signature, schemas: _Schemas) -> Document:
    access = Access(route.access or Access.PUBLIC)
    operation: Document = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [plugin],
        "x-access": access.value,
        "security": [] if access is Access.PUBLIC else [{access.value: []}],
        "responses": _responses(route, signature, access, schemas),
    }
    if route.handler.__doc__:
        operation["description"] = route.handler.__doc__.strip()
    parameters = [
        {"name": one.name, "in": "path", "required": True, "schema": schemas.get(route, f"path.{one.name}")}
        for one in signature.path
    ]
    parameters += _query_parameters(signature)
    if parameters:
        operation["parameters"] = parameters
    if signature.body is not None:
        content = {"application/json": {"schema": schemas.get(route, "body")}}
        operation["requestBody"] = {"required": not signature.body_optional, "content": content}
    if signature.form is not None:
        described = {"schema": schemas.get(route, "form")}
        operation["requestBody"] = {"required": True, "content": {URLENCODED: described, MULTIPART: described}}
    return operation


def _query_parameters(signature: Signature) -> list[Document]:
    if signature.query is None:
        return []
    model = signature.query.model
    schema = model.model_json_schema(ref_template=_REF)
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


def _responses(route: Route, signature: Signature, access: Access, schemas: _Schemas) -> Document:
    responses: Document = {}
    headers = {"X-Request-Id": {"description": "The id of this request in the logs.", "schema": {"type": "string"}}}
    if signature.raw:
        responses[str(route.status)] = {"description": route.summary, "headers": headers}
    elif signature.answer is None:
        responses["204"] = {"description": "Done; the answer has no body.", "headers": headers}
    else:
        media_type = "text/html" if signature.html else "application/json"
        content = {media_type: {"schema": schemas.get(route, "answer", "serialization")}}
        responses[str(route.status)] = {
            "description": HTTPStatus(route.status).phrase,
            "headers": headers,
            "content": content,
        }
    for status, codes in _codes(route, signature, access).items():
        responses[str(status)] = _problem_response(status, codes)
    return responses


def _codes(route: Route, signature: Signature, access: Access) -> dict[int, list[str]]:
    errors: list[str] = [*_ACCESS_ERRORS[access], *route.errors, "422 invalid_request"]
    if route.method != "GET":
        malformed = "400 malformed_json" if signature.form is None else "400 malformed_form"
        errors += (malformed, *_BODY_ERRORS)
        if access is Access.ADMIN:
            errors.append("403 foreign_origin")
    errors += _COMMON_ERRORS
    codes: dict[int, list[str]] = {}
    for error in errors:
        status, _, code = error.partition(" ")
        known = codes.setdefault(int(status), [])
        if code not in known:
            known.append(code)
    return dict(sorted(codes.items()))


def _problem_response(status: int, codes: list[str]) -> Document:
    schema = {
        "allOf": [
            {"$ref": _REF.format(model="Problem")},
            {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
        ]
    }
    described = ", ".join(f"`{code}`" for code in codes)
    return {
        "description": f"{HTTPStatus(status).phrase}: {described}",
        "content": {"application/problem+json": {"schema": schema}},
    }
