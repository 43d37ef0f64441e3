"""The field `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07)."""

import re
from collections.abc import Sequence

from galaxy_chassis.http.problems import FieldError, Problem

HEADER = "Idempotency-Key"
LONGEST = 255
"""Characters of a key, quotes and escapes not counted."""
_LONGEST_FIELD = 2 * LONGEST + 2
"""Characters of the longest field that can hold one: every character escaped."""
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
"""Visible ASCII but for quotes, backslashes, commas and semicolons, which mean something in a structured field."""


def parse_key(values: Sequence[str]) -> str | None:
    """Return the key in the field's lines: a string of RFC 9651, or the bare token that many clients send.

    None without the field. Raise the problem 400 `invalid_idempotency_key`. Quoted or bare, a key is the same.
    """
    if not values:
        return None
    if len(values) > 1:
        raise _invalid("must be sent once")
    value = values[0].strip(" ")
    key = _key_in(value) if len(value) <= _LONGEST_FIELD else None
    if not key or len(key) > LONGEST:
        raise _invalid(
            f'must be a string in quotes of 1 to {LONGEST} printable ASCII characters, for example "8e03978e"'
        )
    return key


def _key_in(value: str) -> str | None:
    if quoted := _QUOTED.fullmatch(value):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    return value if _BARE.fullmatch(value) else None


def _invalid(message: str) -> Problem:
    return Problem(400, "invalid_idempotency_key", f"{HEADER}: {message}", faults=[FieldError(HEADER, message)])
