"""What pydantic finds, in plain words: never the value that was given, which may be a secret.

Settings, the HTTP API and payloads of notifications say it alike.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from galaxy_chassis.durations import format_duration

_LONGEST_NAME = 80
"""Names of fields may be the caller's own; longer ones are cut."""
_TIMEDELTA = re.compile(r"datetime\.timedelta\((?:0|(.+))\)")
"""A duration among the bounds of a finding, as pydantic writes it where a validator stands before the type."""

_WORDS: dict[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "none_required": "must be null",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "uuid_version": "must be a UUID of version {expected_version}",
    "datetime_type": "must be a time as in RFC 3339, for example 2030-01-31T18:00:00Z",
    "datetime_parsing": "must be a time as in RFC 3339, for example 2030-01-31T18:00:00Z",
    "datetime_from_date_parsing": "must be a time as in RFC 3339, for example 2030-01-31T18:00:00Z",
    "datetime_object_invalid": "must be a time as in RFC 3339, for example 2030-01-31T18:00:00Z",
    "timezone_aware": "must carry an offset from UTC, for example Z",
    "date_type": "must be a date, for example 2030-01-31",
    "date_parsing": "must be a date, for example 2030-01-31",
    "date_from_datetime_parsing": "must be a date, for example 2030-01-31",
    "time_delta_type": "must be a duration as in ISO 8601, for example PT10S",
    "time_delta_parsing": "must be a duration as in ISO 8601, for example PT10S",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "path_type": "must be a path",
    "path_not_file": "must be a path to a file that exists",
    "path_not_directory": "must be a path to a directory that exists",
    "url_type": "must be a URL",
    "url_parsing": "must be a URL",
    "union_tag_not_found": "must name its kind in {discriminator}",
    "union_tag_invalid": "must have one of the kinds {expected_tags}",
}


def findings(error: ValidationError, given: Any) -> list[tuple[str, str]]:
    """Return every finding once: the path of its field in what was given, "" for the whole, and what it means."""
    found = {
        (field_path(one["loc"], given, missing=one["type"] == "missing"), explain(one)): None
        for one in error.errors(include_url=False, include_input=False)
    }
    return list(found)


def explain(error: ErrorDetails) -> str:
    """Say what one finding means, so that it follows a field's name: "must be a whole number".

    A message of our own validators is passed on; it must not hold the value.
    """
    context = error.get("ctx", {})
    if error["type"] in ("value_error", "assertion_error"):
        return str(context.get("error", "is not valid"))
    template = _WORDS.get(error["type"])
    return template.format_map(_readable(context)) if template is not None else "is not valid"


def field_path(location: Sequence[int | str], given: Any, *, missing: bool = False) -> str:
    """Return the dotted path of a field.

    pydantic puts the names of a union's members between the fields; what was given tells them apart: a part
    that names neither a key nor an index of it is left out. A missing field's own name is kept.
    """
    parts: list[str] = []
    last = len(location) - 1
    for position, part in enumerate(location):
        in_list = isinstance(part, int) and isinstance(given, list) and part < len(given)
        if in_list or (isinstance(given, dict) and part in given):
            given = given[part]
        elif not (missing and position == last):
            continue
        parts.append(str(part)[:_LONGEST_NAME])
    return ".".join(parts)


def _readable(context: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_duration(value) if isinstance(value, str) else value for name, value in context.items()}


def _as_duration(text: str) -> str:
    match = _TIMEDELTA.fullmatch(text)
    if match is None:
        return text
    parts = (part.partition("=") for part in (match[1] or "").split(", ") if part)
    return format_duration(timedelta(**{name: int(number) for name, _, number in parts}))
