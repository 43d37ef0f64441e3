"""Validation whose work is bounded, whatever was sent (SPEC K-13).

pydantic looks for every fault, and each costs microseconds even where it is not shown: a body of 260 kB that holds
nothing but faults took seconds. So a list is left at its first fault, except in small bodies; and where a large body
has very many members, a cut copy of it is tried first, which holds enough of them to refuse it.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
import pydantic_core
from pydantic import TypeAdapter, ValidationError

SMALL = 1024
"""Bytes of a body in which all faults are looked for."""
MOST_RENDERED = 600
"""Faults that are made readable; of more, the first of each list."""
_MANY_MEMBERS = 500
_MOST_OTHERS = 50
"""Members of one object that are kept in a cut copy, besides those whose names the model knows."""
_MOST_NODES = 500
"""Objects, lists and their members in a cut copy."""
_DOUBTFUL = frozenset(("missing", "too_short", "value_error", "assertion_error"))
"""Faults that a cut copy may have and the whole may not."""
_SEQUENCES = frozenset(("list", "tuple", "set", "frozenset"))
_NOT_SCHEMAS = frozenset(("default", "metadata", "expected", "serialization"))


class Bounded:
    """The validator of one type, for JSON from anybody."""

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        self._adapter = adapter
        self._known = frozenset(_names(adapter.core_schema))
        # without `_use_prebuilt` a model in it would bring the validator it has already, which looks for all faults
        self._first_faults = pydantic_core.SchemaValidator(_failing_fast(adapter.core_schema), _use_prebuilt=False)

    def validate(self, raw: bytes) -> Any:
        """Return the value of a JSON document, strictly. Raise ValidationError.

        It has at most `MOST_RENDERED` faults, or more only where they are in objects.
        """
        if len(raw) <= SMALL:
            try:
                return self._adapter.validate_json(raw, strict=True)
            except ValidationError as error:
                if error.error_count() <= MOST_RENDERED:
                    raise
        elif raw.count(b":") > _MANY_MEMBERS:
            self._try_cut(raw)
        return self._first_faults.validate_json(raw, strict=True)

    def _try_cut(self, raw: bytes) -> None:
        """Refuse a document if a cut copy of it has as many faults as one answer shows."""
        try:
            given = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            return  # pydantic says what is wrong
        try:
            self._first_faults.validate_json(pydantic_core.to_json(_Cutter(self._known).cut(given)), strict=True)
        except ValidationError as error:
            certain = sum(each["type"] not in _DOUBTFUL for each in error.errors(include_url=False))
            if certain >= _MOST_OTHERS:
                raise


@lru_cache(maxsize=1024)
def bounded(adapter: TypeAdapter[Any]) -> Bounded:
    """Return the validator of an adapter, made once."""
    return Bounded(adapter)


class _Cutter:
    """Copies a JSON value up to a number of nodes."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known, self._left = known, _MOST_NODES

    def cut(self, given: Any) -> Any:
        """Return the copy."""
        if isinstance(given, dict):
            return {key: self.cut(given[key]) for key in self._keys(given)}
        if isinstance(given, list):
            kept = []
            for part in given:
                if self._left <= 0:
                    break
                self._left -= 1
                kept.append(self.cut(part))
            return kept
        return given

    def _keys(self, given: dict[str, Any]) -> list[str]:
        kept, others = [], 0
        for key in given:
            if key not in self._known:
                others += 1
                if others > _MOST_OTHERS:
                    continue
            if self._left <= 0:
                break
            self._left -= 1
            kept.append(key)
        return kept


def _failing_fast(schema: Any) -> Any:
    """Return a core schema whose sequences stop at their first fault."""
    if isinstance(schema, dict):
        copy = {key: value if key in _NOT_SCHEMAS else _failing_fast(value) for key, value in schema.items()}
        if copy.get("type") in _SEQUENCES:
            copy["fail_fast"] = True
        return copy
    if isinstance(schema, list | tuple):
        return type(schema)(_failing_fast(part) for part in schema)
    return schema


def _names(schema: Any) -> Iterator[str]:
    """Yield the names of every field in a core schema, as JSON has them."""
    if isinstance(schema, dict):
        if schema.get("type") in ("model-fields", "typed-dict"):
            for name, field in schema["fields"].items():
                alias = field.get("validation_alias", name)
                yield alias if isinstance(alias, str) else name
        for key, value in schema.items():
            if key not in _NOT_SCHEMAS:
                yield from _names(value)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _names(part)
