"""Parsing a request's body strictly."""

import asyncio
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.bounded import MOST_RENDERED, Bounded, bounded
from galaxy_kernel.http.faults import LONGEST_NAME, MOST_FAULTS, field_errors, invalid_request, nul_faults

ROOT = "body"
"""The name of the body itself in faults."""
_NAMES = re.compile(rb'"([^"]*)(?="\s*:)')
"""What may be a member's name, in a document without a backslash; overlapping, so that none is missed."""
_MAY_HOLD_FLOATS = frozenset((float, list, dict))
PARSED_AT_ONCE = 4096
"""Bytes of a body that is parsed on the event loop: in the worst shape, 1 to 2 ms."""
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


class Parsing:
    """Parses the bodies of one service, large ones in a thread, so that the event loop goes on meanwhile.

    One at a time: each thread at work delays the loop by up to 5 ms whenever it has waited (`sys.getswitchinterval`).
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def parse(self, raw: bytes, adapter: TypeAdapter[Any]) -> Any:
        """Return what `parse` returns, and raise what it raises."""
        if len(raw) <= PARSED_AT_ONCE:
            return parse(raw, adapter)
        async with self._turn:
            return await asyncio.to_thread(parse, raw, adapter)


def parse(raw: bytes, adapter: TypeAdapter[Any]) -> Any:
    """Return the validated value. Raise 400 `malformed_json` or 422 `invalid_request` with the faults found."""
    if not raw:
        raise Problem(400, "malformed_json", "This operation needs a JSON body, and the request has none.")
    validator = bounded(adapter)
    try:
        value = validator.validate(raw)
    except ValidationError as error:
        value = _second_reading(error, raw, validator)
    if b"NaN" in raw or b"Infinity" in raw or b"\\u0000" in raw or may_repeat_names(raw):
        _check_exotic(raw)
    return value


def may_repeat_names(raw: bytes) -> bool:
    """Return, cheaply, whether some object may have two members of one name: never False where one has."""
    if b"\\" in raw:
        return True  # one name can be written in two ways
    names = _NAMES.findall(raw)
    return len(set(names)) < len(names)


def refuse(raw: bytes) -> None:
    """Refuse a body where the operation has none; an empty object is accepted, since many clients send one."""
    if raw and raw.strip() != b"{}":
        raise invalid_request([FieldError(ROOT, "must be absent: this operation takes no body")])


def _second_reading(error: ValidationError, raw: bytes, validator: Bounded) -> Any:
    """Return what is wrong, unless it is only `2.0` for a whole number, which JSON Schema allows (6.1.1)."""
    try:
        given = _decoded(raw)
    except ValueError:
        context = error.errors(include_url=False, include_input=False)[0].get("ctx", {})
        raise _malformed(
            str(context.get("error", "it cannot be read")) if _is_utf8(raw) else "it is not UTF-8"
        ) from None
    if error.error_count() <= MOST_RENDERED and any(map(_may_be_whole, error.errors(include_url=False))):
        try:
            return validator.validate(pydantic_core.to_json(_with_whole_numbers(given), inf_nan_mode="constants"))
        except ValidationError as second:
            error = second
    raise invalid_request(field_errors(error, given, root=ROOT))


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)  # in a third of the time
    except (ValueError, RecursionError):
        return pydantic_core.from_json(raw)  # which takes NaN, and numbers of any size


def _may_be_whole(fault: ErrorDetails) -> bool:
    given = fault["input"]
    return fault["type"] == "int_type" and isinstance(given, float) and given.is_integer()


def _with_whole_numbers(given: Any) -> Any:
    """Convert numbers without a fraction to whole ones, as far as a double is exact."""
    if isinstance(given, float):
        return int(given) if given.is_integer() and abs(given) <= _EXACT else given
    if isinstance(given, list):
        return [_with_whole_numbers(part) if type(part) in _MAY_HOLD_FLOATS else part for part in given]
    if isinstance(given, dict):
        return {key: _with_whole_numbers(part) for key, part in given.items()}
    return given


def _check_exotic(raw: bytes) -> None:
    """Refuse what pydantic's parser accepts: NaN and Infinity, which are not JSON, NUL, and names given twice."""
    try:
        given = json.loads(raw, parse_constant=_not_json, object_pairs_hook=_Members)
    except ValueError as error:
        raise _malformed(str(error)) from None
    faults = nul_faults(given, ROOT) or list(islice(_repeated(given, ""), MOST_FAULTS))
    if faults:
        raise invalid_request(faults)


class _Members(dict[str, Any]):
    """An object of JSON, with the names it has more than once, of which RFC 8259, 4, does not say which one counts."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) < len(pairs):
            seen: set[str] = set()
            self.repeated = list(dict.fromkeys(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value] # None: not seen before


def _repeated(given: Any, path: str) -> Iterator[FieldError]:
    if isinstance(given, _Members):
        for name in given.repeated:
            yield FieldError(f"{path}{name[:LONGEST_NAME]}", "is given more than once")
        for name, part in given.items():
            if isinstance(part, dict | list):
                yield from _repeated(part, f"{path}{name[:LONGEST_NAME]}.")
    elif isinstance(given, list):
        for index, part in enumerate(given):
            if isinstance(part, dict | list):
                yield from _repeated(part, f"{path}{index}.")


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
