"""What commands print. Text of servers, engines and players is cleaned: a terminal obeys what it prints."""

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from galaxy_client.cli.failures import CommandError

_REPLACEMENT = "\ufffd"
_HARMFUL = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Categories of control characters, of what changes the direction of text, and of what nobody knows how to show."""
_JOINERS = "\u200c\u200d"
"""Characters of the category Cf without which some languages and emoji cannot be written."""


def clean(text: str) -> str:
    """Return a text of several lines without what a terminal would act on."""
    lines = text.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return "\n".join(map(word, lines))


def word(text: str) -> str:
    """Return a text of one line without what a terminal would act on."""
    return "".join(_REPLACEMENT if _is_harmful(character) else character for character in text)


def _is_harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL and character not in _JOINERS


def say(text: str = "") -> None:
    """Print a text that is clean, at once: a reader of a pipe waits for it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print what is not the result."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def complain(error: CommandError) -> None:
    """Print what happened and what to do next."""
    note("\n".join((f"galaxy: {error.what}", *error.next_steps)))


def say_json(value: Any, *, lines: bool = False) -> None:
    """Print an answer as JSON in ASCII, which no terminal acts on; `lines`: on one line."""
    say(json.dumps(msgspec.to_builtins(value), indent=None if lines else 2))


def say_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, each column as wide as its widest cell."""
    table = [tuple(heads), *(tuple(word(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local(at: datetime | None) -> str:
    """Return a time in the zone of this machine, to the minute."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show that something is waited for: on a terminal alone."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - most commands do without it
    from rich.markup import escape  # noqa: PLC0415 - as above

    with Console(stderr=True).status(escape(word(what))):
        yield
