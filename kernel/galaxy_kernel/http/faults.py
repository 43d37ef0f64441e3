"""From pydantic's findings to what a caller is told: the field's path and plain words, never the given value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from galaxy_chassis.http.problems import FieldError, Problem

MOST_FAULTS = 50
"""More faults than these are left out of one answer."""
_LONGEST_NAME = 80
"""Names of fields may be the caller's own; longer ones are cut."""

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
    "url_type": "must be a URL",
    "url_parsing": "must be a URL",
    "union_tag_not_found": "must name its kind in {discriminator}",
    "union_tag_invalid": "must have one of the kinds {expected_tags}",
}


def message_of(error: ErrorDetails) -> str:
    """Say what one finding means. A message of our own validators is passed on; it must not hold the value."""
    context = error.get("ctx", {})
    if error["type"] in ("value_error", "assertion_error"):
        return str(context.get("error", "is not valid"))
    template = _WORDS.get(error["type"])
    return template.format_map(context) if template is not None else "is not valid"


def field_of(location: Sequence[int | str], given: Any, *, missing: bool = False) -> str:
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


def faults_of(error: ValidationError, given: Any, *, whole: str) -> list[FieldError]:
    """Return every fault once; one that concerns no field is said of `whole`."""
    faults = {
        FieldError(field_of(one["loc"], given, missing=one["type"] == "missing") or whole, message_of(one)): None
        for one in error.errors(include_url=False, include_input=False)
    }
    return list(faults)[:MOST_FAULTS]


def invalid_request(faults: Sequence[FieldError]) -> Problem:
    """Return the problem for bad fields: the detail names the first, `errors` all."""
    first = f"{faults[0].field}: {faults[0].message}"
    detail = first if len(faults) == 1 else f"{first} (the first of {len(faults)} faults, see errors)"
    return Problem(422, "invalid_request", detail, faults=faults)


def nul_faults(given: Any, whole: str) -> list[FieldError]:
    """Find strings with the character NUL, which Postgres stores in neither text nor jsonb."""
    found: list[FieldError] = []
    _walk(given, (), lambda path: found.append(FieldError(".".join(path) or whole, "must not hold the character NUL")))
    return found[:MOST_FAULTS]


def _walk(given: Any, path: tuple[str, ...], report: Callable[[tuple[str, ...]], object]) -> None:
    if isinstance(given, str):
        if "\0" in given:
            report(path)
    elif isinstance(given, Mapping):
        for key, value in given.items():
            if "\0" in key:
                report((*path, key.replace("\0", "")[:_LONGEST_NAME]))
            _walk(value, (*path, key[:_LONGEST_NAME]), report)
    elif isinstance(given, list):
        for index, value in enumerate(given):
            _walk(value, (*path, str(index)), report)
