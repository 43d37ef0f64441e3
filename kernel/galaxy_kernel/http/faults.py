"""From what is wrong with a request to the problem that its caller is told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_chassis.validation import findings

MOST_FAULTS = 50
"""More faults than these are left out of one answer."""
_LONGEST_NAME = 80
"""Names of fields may be the caller's own; longer ones are cut."""


def field_errors(error: ValidationError, given: Any, *, whole: str) -> list[FieldError]:
    """Return pydantic's findings in plain words, without values; one that concerns no field is said of `whole`.

    `given` is what was validated, as JSON has it: its keys and indexes tell fields from the members of unions.
    """
    return [FieldError(path or whole, message) for path, message in findings(error, given)][:MOST_FAULTS]


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
