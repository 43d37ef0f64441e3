"""Types of fields for every plugin: times, and people's input, checked by `galaxy_contracts.formats`."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema

from galaxy_contracts.formats import (
    MAX_ADDRESS,
    MAX_LANGUAGE,
    parse_address,
    parse_language,
    parse_name,
    parse_time_zone,
)

MAX_NAME = 80
"""Characters of a name that is shown to others."""
_MAX_EMAIL = 320
"""Characters that are checked: 64 of a local part, the @ and 255 of a domain (RFC 5321, 4.5.3.1)."""

_LANGUAGE = (
    "^[A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?"
    "(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*(-[0-9A-WY-Za-wyz](-[A-Za-z0-9]{2,8})+)*(-[Xx](-[A-Za-z0-9]{1,8})+)?$"
)
"""`parse_language`, for the description: JSON Schema knows no flags."""


class Described:
    """Annotates a type with keywords of JSON Schema that say in the API's description what a validator of ours checks.

    They may be stricter than the validator where it is lenient, or where a pattern for all of it could not be read.
    """

    def __init__(self, **keywords: Any) -> None:
        self._keywords = keywords

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the type's own schema with the keywords."""
        return {**handler(schema), **self._keywords}


def _address(text: str) -> str:
    parse_address(text)
    return text


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999, in UTC") from None


Timestamp = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A point in time: it must carry an offset, and is written in UTC, as RFC 3339 with a `Z`."""
Email = Annotated[
    str,
    StringConstraints(max_length=_MAX_EMAIL),
    AfterValidator(_address),
    Described(format="email", maxLength=MAX_ADDRESS),
]
"""An e-mail address, as typed: use `parse_address` to store or compare it."""
Language = Annotated[
    str,
    AfterValidator(parse_language),
    Described(pattern=_LANGUAGE, minLength=2, maxLength=MAX_LANGUAGE, examples=["de-AT"]),
]
"""A language tag of BCP 47, in its usual case."""
TimeZone = Annotated[
    str,
    AfterValidator(parse_time_zone),
    Described(format="iana-time-zone", maxLength=64, examples=["Europe/Vienna"]),
]
"""A name in the IANA database."""
DisplayName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME),
    AfterValidator(parse_name),
    Described(format="visible-line"),
]
"""The name of a person or an object: one visible line."""
