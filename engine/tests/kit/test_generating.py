"""Random values fit the schema they come from."""

import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from galaxy_engine.kit.generating import Generator

SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "minimum": -1, "maximum": 1},
    {"type": "string", "minLength": 3, "maxLength": 4},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["string", "null"]},
    {"const": {"a": 1}},
    {"enum": ["a", 2, None]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]},
    {"properties": {"a": {"const": 1}}, "required": ["a"], "type": "object", "additionalProperties": False},
    {"oneOf": [{"const": 1}, {"const": 2}]},
    {
        "type": "object",
        "required": ["o"],
        "anyOf": [{"properties": {"o": {"const": "x"}}}, {"properties": {"o": {"const": "y"}}}],
    },
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    },
    {"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer", "minimum": 0}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_values_fit(schema: dict[str, Any]) -> None:
    """Every value of fifty passes the schema."""
    generator = Generator(schema, random.Random(7))
    values = [generator.value() for _ in range(50)]
    for value in values:
        Draft202012Validator(schema).validate(value)


def test_a_schema_without_end() -> None:
    """A schema that refers to itself ends, and one that grows at every level too."""
    wide = {
        "type": "object",
        "properties": {f"p{n}": {"$ref": "#"} for n in range(50)},
        "required": [f"p{n}" for n in range(50)],
    }
    assert Generator(wide, random.Random(1)).value()
    assert Generator({"$ref": "#"}, random.Random(1)).value() is None
    assert Generator({"$ref": "http://x/y"}, random.Random(1)).value() is None


def test_the_same_seed_gives_the_same_values() -> None:
    """A run can be repeated."""
    one, other = (Generator(SCHEMAS[9], random.Random("s")) for _ in range(2))
    assert [one.value() for _ in range(9)] == [other.value() for _ in range(9)]
