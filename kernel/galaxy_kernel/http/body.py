"""Reading a request's body within its limit, and parsing it strictly."""

import json
from typing import Any

import pydantic_core
from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest, RequestPayloadError
from pydantic import TypeAdapter, ValidationError

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.faults import field_errors, invalid_request, nul_faults

WHOLE = "body"
"""The name of the body itself in faults."""
_EXACT = 2**53
"""Up to this, doubles represent every whole number exactly."""


async def read(request: BaseRequest, limit: int) -> bytes:
    """Return the body, at most `limit` bytes of it.

    Raise the problems 413 `body_too_large`, before reading where the length is announced; 415 for a body that is
    compressed; 417 for an expectation other than `100-continue` (RFC 9110, 10.1.1).
    """
    if not request.body_exists:
        return b""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    headers = request.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_media_type", "The body must not be compressed: leave out Content-Encoding.")
    if "Expect" in headers:
        await _continue(request)
    chunks, size = [], 0
    content = request.content
    try:
        while chunk := await content.readany():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except RequestPayloadError:
        raise Problem(400, "malformed_request", "The body is not framed as HTTP/1.1 demands.") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


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
        raise invalid_request([FieldError(WHOLE, "must be absent: this operation takes no body")])


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
            whole = pydantic_core.to_json(_with_whole_numbers(given), inf_nan_mode="constants")
            return adapter.validate_json(whole, strict=True)
        except ValidationError as second:
            error = second
    raise invalid_request(field_errors(error, given, whole=WHOLE))


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
    faults = nul_faults(given, WHOLE)
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


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body is larger than this operation takes: {limit} bytes.")


async def _continue(request: BaseRequest) -> None:
    if request.headers["Expect"].lower() != "100-continue":
        raise Problem(417, "expectation_failed", "The only expectation this service meets is 100-continue.")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the final answer has not begun
