"""Options are held against a schema that is not trusted."""

from typing import Any

import pytest

from galaxy_engine.option_schema import option_faults, schema_fault

PLANETS: dict[str, Any] = {
    "type": "object",
    "properties": {"planets": {"type": "integer", "minimum": 3}},
    "required": ["planets"],
    "additionalProperties": False,
}


def test_options_that_pass() -> None:
    """Nothing is wrong with them."""
    assert option_faults(PLANETS, {"planets": 4}) == []
    assert option_faults({}, {"anything": 1}) == []


def test_faults_are_named() -> None:
    """Each by its path."""
    found = option_faults(PLANETS, {"planets": "x", "y": 1})
    assert found[0] == "$.planets: 'x' is not of type 'integer'"
    assert "'y' was unexpected" in found[1]


@pytest.mark.parametrize("schema", [7, {"type": "objekt"}, {"properties": []}])
def test_what_is_not_a_schema(schema: Any) -> None:
    """Why it is none is said."""
    assert schema_fault(schema)
    assert not schema_fault(PLANETS)


def test_a_schema_nested_too_deep() -> None:
    """It is a fault, not an exception."""
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"properties": {"a": schema}}
    assert schema_fault(schema) == "nested too deep"


def test_a_schema_that_takes_for_ever() -> None:
    """The number of steps is limited."""
    doubling = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    bomb = {"$defs": {**doubling, "a60": {"type": "string"}}, "$ref": "#/$defs/a0"}
    assert option_faults(bomb, {}) == ["the schema takes too long to evaluate"]
    assert option_faults({"$ref": "#"}, {}) == ["the schema takes too long to evaluate"]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": False}},
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
        {"patternProperties": {"^(a+)+$": {}}, "unevaluatedProperties": False},
    ],
)
def test_regular_expressions_are_not_evaluated(schema: dict[str, Any]) -> None:
    """One of them could run for ever."""
    assert option_faults(schema, {"a": "a" * 60 + "b", "a" * 60 + "b": 1}) == []


def test_nothing_is_fetched() -> None:
    """A reference to elsewhere is a fault."""
    assert "not in it" in option_faults({"$ref": "http://127.0.0.1:1/x"}, {})[0]
