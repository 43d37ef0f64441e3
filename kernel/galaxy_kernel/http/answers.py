"""What an operation may answer, as the API's description lists it: its own answer, and every problem with its codes.

A problem's schema is a reference to `Problem` with its codes beside it, as JSON Schema 2020-12 allows: who validates
has the codes, and who generates code has one class for all problems.
"""

from http import HTTPStatus

from galaxy_kernel.http.headers import Described, answered
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.signature import Signature

REF = "#/components/schemas/{model}"
_PROBLEM_JSON = "application/problem+json"
_COMMON = (
    "500 internal",
    "503 database_unavailable",
    "503 database_busy",
    "503 timeout",
    "503 starting",
    "503 stopping",
)
_BY_ACCESS = {
    Access.PUBLIC: (),
    Access.USER: ("401 unauthenticated", "403 access_closed"),
    Access.INTERNAL: ("401 gateway_token_required", "403 access_closed"),
    Access.ADMIN: ("401 unauthenticated", "403 access_closed", "403 network_refused"),
}
_BODY = ("413 body_too_large", "415 unsupported_media_type", "417 expectation_failed")
_GATEWAY = (
    "403 origin_refused",
    "429 too_many_requests",
    "502 backend_unreachable",
    "503 backend_unreachable",
    "504 backend_timeout",
)
"""What the gateway answers in the place of an operation that clients reach through it."""
_GATEWAY_UNSAFE = (
    "400 invalid_idempotency_key",
    "409 request_running",
    "422 idempotency_key_reused",
    "503 limits_unavailable",
)
_ASK_AGAIN = frozenset({429, 502, 503, 504})
"""Statuses whose answers have `Retry-After`."""

PROBLEM: Described = {
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
            "items": {"$ref": REF.format(model="FieldError")},
        },
    },
}
FIELD_ERROR: Described = {
    "type": "object",
    "title": "FieldError",
    "description": "What is wrong with one field.",
    "required": ["field", "message"],
    "properties": {
        "field": {"type": "string", "description": "Its path, with dots: `schedule.interval`."},
        "message": {"type": "string"},
    },
}


def through_gateway(access: Access) -> bool:
    """Return whether clients reach operations of this access through the gateway."""
    return access in (Access.PUBLIC, Access.USER)


def responses(route: Route, signature: Signature, schema: Described | None) -> Described:
    """Return the `responses` of an operation; `schema` is that of its answer, None for one without a body."""
    access = Access(route.access or Access.PUBLIC)
    described = {
        str(status): _answer(status, route, signature, access, schema)
        for status in (_status(route, signature), *route.statuses)
    }
    if "If-None-Match" in route.headers:
        described["304"] = {
            "description": "Not Modified: what the client has, by its `If-None-Match`, is still so.",
            "headers": answered("X-Request-Id", "ETag"),
        }
    for status, codes in _codes(route, signature, access).items():
        problem, same = _problem(status, codes, access), described.get(str(status), {})
        content = {**same.get("content", {}), **problem["content"]}
        described[str(status)] = {**problem, "content": content}
    return described


def _status(route: Route, signature: Signature) -> int:
    return 204 if signature.answer is None and not signature.raw else route.status


def _answer(status: int, route: Route, signature: Signature, access: Access, schema: Described | None) -> Described:
    names = ["X-Request-Id", *(name for name in route.headers if name in ("ETag", "Location"))]
    if through_gateway(access):
        names += ("RateLimit", "RateLimit-Policy")
        names += () if route.method == "GET" else ("Idempotency-Replayed",)
    answer: Described = {"headers": answered(*names)}
    if signature.raw:
        return {"description": route.summary, **answer}
    if schema is None:
        return {"description": "Done; the answer has no body.", **answer}
    media_type = "text/html" if signature.html else "application/json"
    return {"description": HTTPStatus(status).phrase, **answer, "content": {media_type: {"schema": schema}}}


def _codes(route: Route, signature: Signature, access: Access) -> dict[int, list[str]]:
    errors: list[str] = [*_BY_ACCESS[access], *route.errors, "422 invalid_request"]
    if route.method != "GET":
        errors += ("400 malformed_json" if signature.form is None else "400 malformed_form", *_BODY)
        if access is Access.ADMIN:
            errors.append("403 foreign_origin")
    errors += _COMMON
    if through_gateway(access):
        errors += _GATEWAY if route.method == "GET" else (*_GATEWAY, *_GATEWAY_UNSAFE)
    codes: dict[int, list[str]] = {}
    for error in errors:
        status, _, code = error.partition(" ")
        known = codes.setdefault(int(status), [])
        if code not in known:
            known.append(code)
    return dict(sorted(codes.items()))


def _problem(status: int, codes: list[str], access: Access) -> Described:
    names = ["X-Request-Id"]
    if status in _ASK_AGAIN or "request_running" in codes:
        names.append("Retry-After")
    if status == HTTPStatus.UNAUTHORIZED:
        names.append("WWW-Authenticate")
    if status == HTTPStatus.TOO_MANY_REQUESTS and through_gateway(access):
        names += ("RateLimit", "RateLimit-Policy")
    schema = {
        "$ref": REF.format(model="Problem"),
        "properties": {"status": {"const": status}, "code": {"enum": codes}},
    }
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "headers": answered(*names),
        "content": {_PROBLEM_JSON: {"schema": schema}},
    }
