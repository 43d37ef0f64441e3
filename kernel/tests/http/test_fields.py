"""The types of fields that several plugins take."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
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


def described(field: str) -> dict[str, Any]:
    found: dict[str, Any] = Person.model_json_schema()["properties"][field]["anyOf"][0]
    return found


def test_limits_and_formats_are_documented() -> None:
    """The API's description has what our validators check."""
    assert described("name") == {"type": "string", "minLength": 1, "maxLength": 80, "format": "visible-line"}
    assert (described("email")["format"], described("email")["maxLength"]) == ("email", 254)
    assert described("time_zone")["format"] == "iana-time-zone"


def few_repetitions() -> str:
    """Return the pattern of a language with each part at most twice: with more, most tags are too long."""
    pattern: str = described("language")["pattern"]
    return pattern.replace("*", "{0,2}").replace("+", "{1,2}")


@given(st.from_regex(few_repetitions(), fullmatch=True))
def test_a_language_that_fits_the_description_is_accepted(tag: str) -> None:
    """Its pattern is what the parser takes, up to the length."""
    assume(len(tag) <= described("language")["maxLength"])
    assert Person(language=tag).language is not None


@pytest.mark.parametrize("tag", ["de", "zh-Hant-TW", "sl-rozaj-biske-1994", "de-DE-u-co-phonebk", "en-x-a-b", "DE-at"])
def test_a_language_that_is_accepted_fits_the_description(tag: str) -> None:
    """Tags with every kind of subtag."""
    assert Person(language=tag).language is not None
    assert re.search(described("language")["pattern"], tag)
