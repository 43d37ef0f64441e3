"""The types of fields that several plugins take."""

import pytest
from pydantic import ValidationError

from galaxy_kernel.http.fields import DisplayName, Email, Language, TimeZone
from galaxy_kernel.http.model import Model


class Person(Model):
    email: Email | None = None
    language: Language | None = None
    time_zone: TimeZone | None = None
    name: DisplayName | None = None


def test_a_person_may_say_nothing() -> None:
    """Each of the types may stand beside None."""
    assert Person().model_dump() == dict.fromkeys(Person.model_fields)


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("email", "Ada@Example.TEST", "Ada@Example.TEST"),
        ("language", "DE-at", "de-AT"),
        ("time_zone", "Europe/Vienna", "Europe/Vienna"),
        ("name", "  Ada ", "Ada"),
        ("name", "e\u0301", "\u00e9"),
    ],
)
def test_what_is_kept(field: str, given: str, kept: str) -> None:
    """An address is kept as it was typed, the others in their usual form."""
    assert getattr(Person.model_validate({field: given}), field) == kept


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("email", "nobody"),
        ("email", "a" * 400 + "@example.test"),
        ("language", "english"),
        ("time_zone", "Mars"),
        ("name", " "),
        ("name", "a\tb"),
        ("name", "x" * 81),
    ],
)
def test_what_is_refused(field: str, given: str) -> None:
    """A fault names its field and does not repeat what was typed."""
    with pytest.raises(ValidationError) as caught:
        Person.model_validate({field: given})
    [fault] = caught.value.errors(include_input=False)
    assert fault["loc"] == (field,) and (not given.strip() or given not in fault["msg"])


def test_limits_are_documented() -> None:
    """The API's description has the length of a name."""
    [name, _] = Person.model_json_schema()["properties"]["name"]["anyOf"]
    assert (name["minLength"], name["maxLength"]) == (1, 80)
