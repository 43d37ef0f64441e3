"""The headers of the API, as its description names them: those of every operation, and those that a route declares."""

from typing import Any

Described = dict[str, Any]

_TEXT: Described = {"type": "string"}
_TAG = r'^(W/)?"[!#-~]*"$'
"""An entity tag (RFC 9110, 8.8.3), ASCII alone."""
_KEY = r'^("([ !#-\[\]-~]|\\["\\])+"|[!#-~]([ -~]*[!-~])?)$'
"""A string of RFC 9651, section 3.3.3, or the same characters bare."""

ANSWERED: dict[str, Described] = {
    "X-Request-Id": {"description": "The id of this request in the logs.", "required": True, "schema": _TEXT},
    "Retry-After": {
        "description": "Seconds after which to ask again (RFC 9110, 10.2.3).",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "What the operation needs (RFC 9110, 11.6.1).", "schema": _TEXT},
    "ETag": {
        "description": "Identifies this state of what is shown (RFC 9110, 8.8.3).",
        "required": True,
        "schema": {"type": "string", "pattern": _TAG},
    },
    "Location": {
        "description": "The path of what was created.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RateLimit": {
        "description": "From the gateway: what is left of each policy (draft-ietf-httpapi-ratelimit-headers-10).",
        "schema": _TEXT,
        "example": '"account";r=598;t=1',
    },
    "RateLimit-Policy": {
        "description": "From the gateway: the policies that count this request, each a quota in a window of seconds.",
        "schema": _TEXT,
        "example": '"account";q=600;w=60',
    },
    "Idempotency-Replayed": {
        "description": "From the gateway: `true` where this is the answer to an earlier call with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
}
"""What answers carry."""
SENT: dict[str, Described] = {
    "Idempotency-Key": {
        "description": "Makes it safe to send a call again through the gateway: with the same key and body, within "
        "a day, it gets the first call's answer. In quotes (RFC 9651) or bare, up to 255 characters of ASCII.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _KEY},
        "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    },
    "If-Match": {
        "description": "The `ETag` that the change goes by: refused with 412 where there is a newer state.",
        "schema": {"type": "string", "pattern": r'^"[0-9]{1,9}"$'},
        "example": '"3"',
    },
    "If-None-Match": {
        "description": "The `ETag` that one has: answered 304, without a body, where nothing has changed.",
        "schema": {"type": "string", "pattern": r'^(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*$'},
        "example": 'W/"5d41402abc4b2a76b9719d91"',
    },
}
"""What requests may carry, besides credentials."""
DECLARED = frozenset({"ETag", "Location", "If-Match", "If-None-Match"})
"""Those that a route declares where it has them (`Route.headers`)."""


def answered(*names: str) -> Described:
    """Return the `headers` of a response, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def sent(*names: str) -> list[Described]:
    """Return the `parameters` of an operation for headers, by reference."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def components() -> Described:
    """Return the components that `answered` and `sent` refer to."""
    parameters = {name: {"name": name, "in": "header", "required": False, **each} for name, each in SENT.items()}
    return {"headers": ANSWERED, "parameters": parameters}
