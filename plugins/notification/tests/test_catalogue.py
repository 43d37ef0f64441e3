"""The catalogue's rules, and every fault of a kind in one sentence."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from galaxy_contracts.notification import Audience, Channel, Intent, NotificationKind
from galaxy_kernel.api import Model, new_id
from galaxy_notification.catalogue import Catalogue, sample
from galaxy_notification.errors import IntentError, KindError
from galaxy_notification.kinds import OPERATORS_KINDS


class Payload(Model):
    """A payload with examples."""

    name: str = Field(examples=["Ada"])
    count: int = 1


class Hidden(Model):
    """A payload without examples."""

    name: str
    place: str


KIND = NotificationKind(name="test.kind", summary="A kind.", payload=Payload, package="test")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "nodot"}, "must be <plugin>.<what_happened>"),
        ({"name": "Test.Kind"}, "must be <plugin>.<what_happened>"),
        ({"channels": ()}, "at least one, each once"),
        ({"channels": (Channel.PUSH, Channel.PUSH)}, "at least one, each once"),
        ({"package": ""}, "needs the package that holds its templates"),
        ({"audience": Audience.OPERATORS}, "operators are reached by e-mail alone"),
        ({"payload": Hidden}, "add name, place a default, or Field"),
    ],
)
def test_a_faulty_kind(changed: dict[str, Any], told: str) -> None:
    """A kind that could not be delivered or shown is refused, by name and with the remedy."""
    with pytest.raises(KindError, match="notification kind") as caught:
        Catalogue().register(msgspec.structs.replace(KIND, **changed))
    assert told in str(caught.value)


def test_every_fault_at_once() -> None:
    """All faults of a kind are reported at once."""
    with pytest.raises(KindError) as caught:
        Catalogue().register(msgspec.structs.replace(KIND, name="x", channels=(), payload=Hidden))
    assert str(caught.value).count(";") == 2


def test_a_name_has_one_owner() -> None:
    """A kind is registered once."""
    catalogue = Catalogue()
    catalogue.register(KIND)
    with pytest.raises(KindError, match="registered already"):
        catalogue.register(KIND)


@pytest.mark.parametrize("kind", OPERATORS_KINDS, ids=lambda kind: kind.name)
def test_the_kinds_for_operators(kind: NotificationKind) -> None:
    """They can be registered, and their own examples are payloads of theirs."""
    catalogue = Catalogue()
    catalogue.register(kind)
    checked = catalogue.check(Intent(kind=kind.name, idempotency_key="k", payload=sample(kind)))
    assert [(route.account_id, route.channel) for route in checked.routes] == [(None, Channel.EMAIL)]


def test_a_payload_may_be_its_model() -> None:
    """A plugin passes its own model unchanged; another one is refused by name."""
    catalogue = Catalogue()
    catalogue.register(KIND)
    checked = catalogue.check(
        Intent(kind=KIND.name, idempotency_key="k", payload=Payload(name="Ada"), recipients=[new_id()])
    )
    assert bytes(checked.payload) == b'{"name":"Ada","count":1}'
    with pytest.raises(IntentError, match="payload: is a Hidden: expected a Payload"):
        catalogue.check(
            Intent(kind=KIND.name, idempotency_key="k", payload=Hidden(name="a", place="b"), recipients=[new_id()])
        )


class Loose(BaseModel):
    """A payload with a loose type."""

    number: float = 1.0
    anything: Any = None


class Narrow(Payload):
    """A payload with a field that its base does not know."""

    more: int = 1


LOOSE = msgspec.structs.replace(KIND, name="test.loose", payload=Loose)


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        (LOOSE, {"number": float("nan")}, "payload.number"),
        (LOOSE, Loose(anything=object()), "payload"),
        (LOOSE, {"anything": "\ud800"}, "payload"),
        (LOOSE, Loose.model_construct(number="many"), "payload.number"),
        (LOOSE, {"anything": "\x00"}, "payload"),
        (KIND, Narrow(name="Ada"), "payload.more"),
    ],
)
def test_a_payload_that_could_not_be_delivered(kind: NotificationKind, payload: Any, field: str) -> None:
    """A payload that JSON cannot hold, or that its kind would not read again, is refused at submit, by field."""
    catalogue = Catalogue()
    catalogue.register(kind)
    with pytest.raises(IntentError) as caught:
        catalogue.check(Intent(kind=kind.name, idempotency_key="k", payload=payload, recipients=[new_id()]))
    assert [fault.field for fault in caught.value.faults] == [field]


def test_faults_of_a_payload_are_in_plain_words() -> None:
    """Faults are reported as those of a request: every field, without the value."""
    catalogue = Catalogue()
    catalogue.register(KIND)
    with pytest.raises(IntentError) as caught:
        catalogue.check(
            Intent(kind=KIND.name, idempotency_key="k", payload={"count": "secret", "more": 1}, recipients=[new_id()])
        )
    assert {fault.field: fault.message for fault in caught.value.faults} == {
        "payload.name": "is required",
        "payload.count": "must be a whole number",
        "payload.more": "is not a known field",
    }


class Exact(BaseModel):
    """A payload of exact types and other names outside than inside."""

    model_config = ConfigDict(strict=True)

    game: UUID = Field(alias="gameId", examples=[new_id()])
    text: str = "a backslash: \\u0000"


def test_a_strict_payload_with_aliases() -> None:
    """The stored JSON is readable by its kind, whatever the types and names in Python."""
    catalogue = Catalogue()
    catalogue.register(msgspec.structs.replace(KIND, payload=Exact))
    payload = Exact(gameId=new_id())
    checked = catalogue.check(Intent(kind=KIND.name, idempotency_key="k", payload=payload, recipients=[new_id()]))
    assert Exact.model_validate_json(bytes(checked.payload)) == payload


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8)))
def test_an_intent_is_kept_or_every_fault_has_a_field(key: str, payload: dict[str, Any]) -> None:
    """Any value a caller passes is accepted, or the faults name fields of the intent."""
    catalogue = Catalogue()
    catalogue.register(KIND)
    try:
        checked = catalogue.check(Intent(kind=KIND.name, idempotency_key=key, payload=payload, recipients=[new_id()]))
    except IntentError as error:
        assert error.faults
        assert all(fault.field.partition(".")[0] in ("idempotency_key", "payload") for fault in error.faults)
    else:
        assert 0 < len(key) <= 255
        assert Payload.model_validate_json(bytes(checked.payload)).name == payload["name"]
