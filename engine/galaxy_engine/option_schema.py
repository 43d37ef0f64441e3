"""Holding options against an engine's JSON Schema, which is not trusted either.

Regular expressions are not evaluated (one can run for ever), nothing is fetched, and the number of steps is limited: a
schema of a few references to itself can otherwise take longer than anybody waits. The engine judges the options too.
"""

from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

_STEPS = 20_000
_REGULAR_EXPRESSIONS = ("pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems")

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class _TooManyStepsError(Exception):
    pass


def schema_fault(schema: Any) -> str:
    """Return why something is not a JSON Schema that the host can use; "" if it is."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        return f"{exc.json_path}: {exc.message}"[:500]
    except RecursionError:
        return "nested too deep"
    return ""


def option_faults(schema: dict[str, Any], options: Any) -> list[str]:
    """Return in what way options break a schema that `schema_fault` has nothing against; empty if they pass."""
    steps = 0

    def counted(keyword: Keyword) -> Keyword:
        def evaluate(validator: Any, value: Any, instance: Any, inner: Any) -> Iterator[ValidationError] | None:
            nonlocal steps
            steps += 1
            if steps > _STEPS:
                raise _TooManyStepsError
            return keyword(validator, value, instance, inner)

        return evaluate

    keywords = {name: counted(keyword) for name, keyword in Draft202012Validator.VALIDATORS.items()}
    keywords["additionalProperties"] = counted(_additional_properties)
    keywords.update(dict.fromkeys(_REGULAR_EXPRESSIONS, _pass))
    validator = extend(Draft202012Validator, keywords)(schema, registry=Registry())
    try:
        return [
            f"{error.json_path}: {error.message}"[:500]
            for _, error in zip(range(20), validator.iter_errors(options), strict=False)
        ]
    except (_TooManyStepsError, RecursionError):
        return ["the schema takes too long to evaluate"]
    except Unresolvable as exc:
        return [f"the schema refers to something that is not in it: {exc}"[:500]]


def _pass(validator: Any, value: Any, instance: Any, schema: Any) -> None:
    """Find no fault."""


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if "patternProperties" not in schema:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, value, instance, schema)
