"""Makes problems of what is wrong with a request."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_chassis.validation import findings

MOST_FAULTS = 50
"""More faults than these are left out of one answer."""
LONGEST_NAME = 80
"""Names of fields may be the caller's own; longer ones are cut."""
_MOST_RENDERED = 2000
"""Faults beyond which none is named: each costs time, however few of them are shown."""
_WITHOUT_TEXT = frozenset((int, float, bool, type(None)))


def field_errors(error: ValidationError, given: Any, *, root: str) -> list[FieldError]:
    """Return pydantic's findings in plain words, without values; one that concerns no field is named `root`.

    `given` is the validated value as JSON: its keys and indexes distinguish fields from members of unions.
    """
    if error.error_count() > _MOST_RENDERED:
        return [FieldError(root, f"has {error.error_count()} faults, too many to name")]
    return [FieldError(path or root, message) for path, message in findings(error, given)][:MOST_FAULTS]


def invalid_request(faults: Sequence[FieldError]) -> Problem:
    """Return the problem for bad fields: the detail names the first, `errors` all."""
    first = f"{faults[0].field}: {faults[0].message}"
    detail = first if len(faults) == 1 else f"{first} (the first of {len(faults)} faults, see errors)"
    return Problem(422, "invalid_request", detail, faults=faults)


def nul_faults(given: Any, root: str) -> list[FieldError]:
    """Find strings with the character NUL, which Postgres stores in neither text nor jsonb."""
    found = islice(_paths_of_nul(given, ""), MOST_FAULTS)
    return [FieldError(path or root, "must not hold the character NUL") for path in found]


def _paths_of_nul(given: Any, path: str) -> Iterator[str]:
    if isinstance(given, str):
        if "\0" in given:
            yield path
    elif isinstance(given, Mapping):
        for key, value in given.items():
            if "\0" in key:
                yield _joined(path, key.replace("\0", ""))
            if type(value) not in _WITHOUT_TEXT:
                yield from _paths_of_nul(value, _joined(path, key))
    elif isinstance(given, list):
        for index, value in enumerate(given):
            if type(value) not in _WITHOUT_TEXT:
                yield from _paths_of_nul(value, _joined(path, str(index)))


def _joined(path: str, part: str) -> str:
    return f"{path}.{part[:LONGEST_NAME]}" if path else part[:LONGEST_NAME]
