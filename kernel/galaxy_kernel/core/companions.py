"""What `backend dev` runs beside the backend for a plugin, and what it prints."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DevExample:
    """An example command, printed by `backend dev`, to be pasted into a plain shell unchanged."""

    title: str
    """Its effect in one short sentence. It may name addresses, as the command does."""
    command: str
    """`{api}` stands for the backend's URL, `{<companion>}` for the first address of a companion, for example `{mail}`.

    An example that names a companion which does not run is not shown.
    """


@dataclass(frozen=True, slots=True)
class CompanionRun:
    """A running companion: its variables for the backend, and its addresses for the user."""

    environment: dict[str, str] = field(default_factory=dict)
    """Variables set for the backend unless the user has set them."""
    addresses: Sequence[tuple[str, str]] = ()
    """What to print: label and URL."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Something `backend dev` runs beside the backend."""

    name: str
    ports: dict[str, int]
    """Preferred ports by label; one in use is replaced by a free one, which is reported."""
    run: Callable[[dict[str, int], str], AbstractAsyncContextManager[CompanionRun]]
    """Called with the ports it got and a directory of its own for its data."""
