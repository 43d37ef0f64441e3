"""Cursors: places in the backend's stream of events. Opaque to clients, `<generation>-<number>` to us."""

from typing import NamedTuple

_LONGEST = 128
_MOST_DIGITS = 19


class Cursor(NamedTuple):
    """A place in the stream. Those of one generation are ordered by number; others cannot be compared."""

    generation: str
    number: int

    def __str__(self) -> str:
        return f"{self.generation}-{self.number}"


def parse(text: str) -> Cursor | None:
    """Return the cursor, or None for text that is not one of a stream with generations: it counts as too old."""
    generation, hyphen, digits = text.rpartition("-")
    if not hyphen or not generation or len(text) > _LONGEST or not text.isascii():
        return None
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    return Cursor(generation, int(digits))
