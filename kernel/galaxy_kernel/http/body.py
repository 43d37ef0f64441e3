"""Parsing a request's body strictly."""

import json
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.faults import field_errors, invalid_request, nul_faults

ROOT = "body"
"""The name of the body itself in faults."""
_EXACT = 2**53
"""Up to this, doubles represent every whole number exactly."""


def check_media_type(header: str | None) -> None:
    """Accept `application/json` and `application/<anything>+json`, in UTF-8 (RFC 8259, 8.1); else raise 415."""
    if header == "application/json":
        return
    essence, _, rest = (header or "").partition(";")
    essence = essence.strip().lower()
    if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
        raise Problem(415, "unsupported_media_type", "The body must be JSON: send Content-Type: application/json.")
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Problem(415, "unsupported_media_type", "JSON must be sent in UTF-8.")


def parse(raw: bytes, adapter: TypeAdapter[Any]) -> Any:
    """Return the validated value. Raise 400 `malformed_json` or 422 `invalid_request` with every fault."""
    if not raw:
        raise Problem(400, "malformed_json", "This operation needs a JSON body, and the request has none.")
    try:
        value = adapter.validate_json(raw, strict=True)
    except ValidationError as error:
        value = _second_reading(error, raw, adapter)
    if b"NaN" in raw or b"Infinity" in raw or b"\\u0000" in raw:
        _check_exotic(raw)
    return value


def refuse(raw: bytes) -> None:
    """Refuse a body where the operation has none; an empty object is accepted, since many clients send one."""
    if raw and raw.strip() != b"{}":
        raise invalid_request([FieldError(ROOT, "must be absent: this operation takes no body")])


def _second_reading(error: ValidationError, raw: bytes, adapter: TypeAdapter[Any]) -> Any:
    """Return what is wrong, unless it is only `2.0` for a whole number, which JSON Schema allows (6.1.1)."""
    try:
        given = pydantic_core.from_json(raw)
    except ValueError:
        context = error.errors(include_url=False, include_input=False)[0].get("ctx", {})
        raise _malformed(
            str(context.get("error", "it cannot be read")) if _is_utf8(raw) else "it is not UTF-8"
        ) from None
    if any(fault["type"] == "int_type" for fault in error.errors(include_url=False, include_input=False)):
        try:
            converted = pydantic_core.to_json(_with_whole_numbers(given), inf_nan_mode="constants")
            return adapter.validate_json(converted, strict=True)
        except ValidationError as second:
            error = second
    raise invalid_request(field_errors(error, given, root=ROOT))


def _with_whole_numbers(given: Any) -> Any:
    """Convert numbers without a fraction to whole ones, as far as a double is exact."""
    if isinstance(given, float):
        return int(given) if given.is_integer() and abs(given) <= _EXACT else given
    if isinstance(given, list):
        return [_with_whole_numbers(part) for part in given]
    if isinstance(given, dict):
        return {key: _with_whole_numbers(part) for key, part in given.items()}
    return given


def _check_exotic(raw: bytes) -> None:
    """Refuse what pydantic's parser accepts: NaN and Infinity, which are not JSON, and the character NUL."""
    try:
        given = json.loads(raw, parse_constant=_not_json)
    except ValueError as error:
        raise _malformed(str(error)) from None
    faults = nul_faults(given, ROOT)
    if faults:
        raise invalid_request(faults)


def _not_json(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _malformed(reason: str) -> Problem:
    return Problem(400, "malformed_json", f"The body is not valid JSON: {reason}.")
