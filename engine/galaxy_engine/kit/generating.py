"""Random values by a JSON Schema: enough of it to make orders that an engine may accept."""

import random
import string
from collections.abc import Callable
from typing import Any

_DEPTH = 6
_REPEATS = 4
_PARTS = 2000
"""Parts of one value: a schema may grow without end."""


class Generator:
    """Values by one schema. What it does not know (patterns, `not`, conditions) it passes over: engines judge."""

    def __init__(self, schema: dict[str, Any], chance: random.Random) -> None:
        self._root = schema
        self._chance = chance
        self._parts = 0

    def value(self) -> Any:
        """Return a value."""
        self._parts = 0
        return self._make(self._root, 0)

    def _make(self, schema: Any, depth: int) -> Any:
        self._parts += 1
        if not isinstance(schema, dict) or depth > _DEPTH or self._parts > _PARTS:
            return None
        if isinstance(schema.get("$ref"), str):
            return self._make(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._chance.choice(schema["enum"])
        for several in ("oneOf", "anyOf", "allOf"):
            if schema.get(several):
                chosen = schema[several] if several == "allOf" else [self._chance.choice(schema[several])]
                return self._make(_merged([schema, *chosen], without=several), depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "null")
        if isinstance(kind, list):
            kind = self._chance.choice(kind)
        makers = {"object": self._object, "array": self._array, "string": self._string}
        if kind in makers:
            return makers[kind](schema, depth)
        low, high = _bounds(schema)
        simple: dict[str, Callable[[], Any]] = {
            "integer": lambda: self._chance.randint(low, max(low, high)),
            "number": lambda: round(self._chance.uniform(low, max(low, high)), 3),
            "boolean": lambda: self._chance.random() < 0.5,
        }
        return simple[kind]() if kind in simple else None

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = _whole(schema, "minItems", 0)
        count = min(self._chance.randint(least, least + _REPEATS), _whole(schema, "maxItems", least + _REPEATS), _PARTS)
        return [self._make(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _string(self, schema: dict[str, Any], depth: int) -> str:  # noqa: ARG002  (called like its siblings)
        count = max(_whole(schema, "minLength", 0), min(8, _whole(schema, "maxLength", 8)))
        return "".join(self._chance.choices(string.ascii_lowercase, k=min(count, 10_000)))

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = set(schema.get("required", ()))
        return {
            name: self._make(inner, depth + 1)
            for name, inner in properties.items()
            if name in required or self._chance.random() < 0.5
        }

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _merged(schemas: list[Any], without: str) -> dict[str, Any]:
    """Return one schema that says what these say together, properties and required members joined."""
    one: dict[str, Any] = {}
    for schema in schemas:
        if isinstance(schema, dict):
            properties = {**one.get("properties", {}), **schema.get("properties", {})}
            required = [*one.get("required", ()), *schema.get("required", ())]
            one.update((key, value) for key, value in schema.items() if key != without)
            one.update({"properties": properties} if properties else {}, **({"required": required} if required else {}))
    return one


def _whole(schema: dict[str, Any], key: str, default: int) -> int:
    value = schema.get(key, default)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _bounds(schema: dict[str, Any]) -> tuple[int, int]:
    low = _whole(schema, "minimum", _whole(schema, "exclusiveMinimum", -1) + 1)
    high = _whole(schema, "maximum", _whole(schema, "exclusiveMaximum", low + 21) - 1)
    return low, high
