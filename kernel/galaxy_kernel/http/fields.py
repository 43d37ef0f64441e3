"""Types of fields that several plugins have: times, and what people type, checked by `galaxy_contracts.formats`."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, StringConstraints

from galaxy_contracts.formats import parse_address, parse_language, parse_name, parse_time_zone

MAX_NAME = 80
"""Characters of a name that is shown to others."""
_MAX_EMAIL = 320
"""Characters that are looked at: 64 of a local part, the @ and 255 of a domain (RFC 5321, 4.5.3.1)."""


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
Email = Annotated[str, StringConstraints(max_length=_MAX_EMAIL), AfterValidator(_address)]
"""An e-mail address, as typed: whoever stores or compares it goes by `parse_address`."""
Language = Annotated[str, AfterValidator(parse_language)]
"""A language tag of BCP 47, in its usual case."""
TimeZone = Annotated[str, AfterValidator(parse_time_zone)]
"""A name in the IANA database."""
DisplayName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(parse_name)
]
"""One visible line that people give to themselves or to their things."""
