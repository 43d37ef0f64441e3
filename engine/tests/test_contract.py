"""The contract's document, its types and its limits agree, member by member."""

from typing import Any

import msgspec
import pytest
import yaml
from openapi_spec_validator import validate

from galaxy_engine import contract, limits, messages

DOCUMENT = yaml.safe_load(contract.document())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

MESSAGES = (
    "Refusal Describe Init Snapshot Orders Verdict Options Suggest Turn Position Report Result".split()  # noqa: SIM905
)

RAW = {
    ("Position", "reports"): "reports are passed on as they came, each checked against Report",
    ("Position", "public_report"): "passed on as it came, checked against Report",
}
"""Members whose type says less than the document, with the reason."""


def flat(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with references resolved and everything left out that is not about which values are valid."""
    if isinstance(schema, list):
        return [flat(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return flat(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    one = {key: value for key, value in schema.items() if key not in ("description", "title", "default", "required")}
    if "properties" in one:
        one["properties"] = {name: flat(value, definitions) for name, value in one["properties"].items()}
        one["required"] = sorted(schema.get("required", ()))
        return one
    if "const" in one:
        one["enum"] = [one.pop("const")]
    if isinstance(one.get("type"), list):  # "type": ["integer", "null"] is what msgspec writes as anyOf
        one = {"anyOf": [{**one, "type": kind} for kind in one["type"] if kind != "null"] + [{"type": "null"}]}
    if one.get("anyOf"):
        one["anyOf"] = sorted((flat(item, definitions) for item in one["anyOf"]), key=repr)
        return one
    if one.get("additionalProperties") == {}:  # anything goes, which is what leaving it out says
        one.pop("additionalProperties")
    if one.get("items") == {}:
        one.pop("items")
    return {key: flat(value, definitions) for key, value in one.items() if key != "propertyNames"}


def of_type(name: str) -> dict[str, Any]:
    (schema,), definitions = msgspec.json.schema_components([getattr(messages, name)], ref_template="{name}")
    return flat(schema, {key.rpartition("/")[2]: value for key, value in definitions.items()})


def of_document(name: str) -> dict[str, Any]:
    return flat(SCHEMAS[name], SCHEMAS)


def test_document_is_openapi() -> None:
    """The document is valid OpenAPI 3.1."""
    validate(DOCUMENT)


def test_every_schema_has_a_type() -> None:
    """Each object that the document names is a type of the same name."""
    objects = {name for name, schema in SCHEMAS.items() if schema["type"] == "object"}
    assert objects == set(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_type_agrees_with_the_document(name: str) -> None:
    """Members, which are required, types and constraints are the same in both."""
    ours, theirs = of_type(name), of_document(name)
    for message, member in RAW:
        if message == name:
            assert ours["properties"].pop(member) in ({}, {"type": "object"})
            assert theirs["properties"].pop(member)
    assert ours == theirs


@pytest.mark.parametrize("name", MESSAGES)
def test_defaults_agree_with_the_document(name: str) -> None:
    """A default that the document states is the type's."""
    stated = {key: value["default"] for key, value in SCHEMAS[name]["properties"].items() if "default" in value}
    fields = {field.name: field for field in msgspec.structs.fields(getattr(messages, name))}
    for member, default in stated.items():
        field = fields[member]
        ours = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        assert (list(ours) if isinstance(ours, tuple) else ours) == default, member


def test_defaults_of_a_position_are_those_of_the_specification() -> None:
    """turn, state and reports are needed; all else has the default that the specification names."""
    position = msgspec.json.decode(b'{"turn":0,"state":null,"reports":{}}', type=messages.Position)
    assert position.spectators_report is None
    assert position.awaiting is msgspec.UNSET
    assert (position.phase, position.eliminated, position.finished, position.result) == (None, (), False, None)
    for member in ("turn", "state", "reports"):
        document = {"turn": 0, "state": None, "reports": {}}
        del document[member]
        with pytest.raises(msgspec.ValidationError, match=member):
            msgspec.json.decode(msgspec.json.encode(document), type=messages.Position)


def test_a_seat_is_awaited_unless_it_is_eliminated() -> None:
    """Without `awaiting` every seat that is not eliminated may order; with it, exactly those may."""
    bare = messages.Position(turn=0, state=msgspec.Raw(b"1"), reports={}, eliminated=(2,))
    assert bare.awaited((3, 1, 2)) == (1, 3)
    assert msgspec.structs.replace(bare, awaiting=()).awaited((1, 2, 3)) == ()
    assert msgspec.structs.replace(bare, awaiting=(3, 1)).awaited((1, 2, 3)) == (1, 3)


@pytest.mark.parametrize(
    ("message", "document"),
    [
        (messages.Position, b'{"turn":0,"state":1,"reports":{},"awaiting":[1,1]}'),
        (messages.Position, b'{"turn":0,"state":1,"reports":{},"eliminated":[2,1,2]}'),
        (messages.Result, b'{"winners":[1,1]}'),
        (
            messages.Describe,
            b'{"contract":1,"engine":"e","version":"1.0.0","players":{"min":1,"max":2},"capabilities":["a","a"]}',
        ),
        (messages.Describe, b'{"contract":1,"engine":"e","version":"1.0.0","players":{"min":3,"max":2}}'),
        (messages.Describe, b'{"contract":2,"engine":"e","version":"1.0.0","players":{"min":1,"max":2}}'),
        (messages.Describe, b'{"contract":1,"engine":"e","version":"1.0","players":{"min":1,"max":2}}'),
    ],
)
def test_what_a_schema_cannot_say_is_checked_too(message: type[Any], document: bytes) -> None:
    """Doubled seats and capabilities, min above max, other contracts and versions are refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(document, type=message)


def test_members_that_are_not_known_are_passed_over() -> None:
    """An answer may have members of a later contract."""
    verdict = msgspec.json.decode(b'{"accepted":true,"mood":"good"}', type=messages.Verdict)
    assert verdict == messages.Verdict(accepted=True)


def test_limits_are_those_of_the_document() -> None:
    """Numbers and the sizes in its descriptions."""
    seat, turn, seed = SCHEMAS["Seat"], SCHEMAS["TurnNumber"], SCHEMAS["Seed"]
    orders = SCHEMAS["Orders"]["properties"]["orders"]
    assert (seat["maximum"], turn["maximum"], seed["maxLength"]) == (
        limits.SEATS,
        limits.TURN_NUMBER,
        limits.SEED_LENGTH,
    )
    assert orders["maxItems"] == limits.ORDERS_COUNT
    assert f"At most {limits.ORDERS_BYTES // limits.KIB} KiB" in orders["description"]
    for name in ("Snapshot", "Position"):
        assert f"at most {limits.STATE_BYTES // limits.MIB} MiB" in SCHEMAS[name]["properties"]["state"]["description"]
    assert f"At most {limits.REPORT_BYTES // limits.MIB} MiB" in SCHEMAS["Report"]["description"]


def test_every_call_has_a_method() -> None:
    """Each operation of the document is a method of the client, by the same name."""
    from galaxy_engine.client import EngineClient

    operations = {
        call["operationId"] for path in DOCUMENT["paths"].values() for call in path.values() if "operationId" in call
    }
    assert operations <= set(dir(EngineClient))
