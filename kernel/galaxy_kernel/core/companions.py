"""What `backend dev` runs beside the backend for a plugin, and shows of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DevExample:
    """Something to try, printed by `backend dev`: to be pasted into a plain shell, as it stands."""

    title: str
    """What comes of it: one short sentence. It and the command may name addresses, as the command does."""
    command: str
    """`{api}` stands for the backend's URL, `{<companion>}` for the first address of a companion, for example `{mail}`.

    An example that names a companion which does not run is not shown.
    """


@dataclass(frozen=True, slots=True)
class CompanionRun:
    """A running companion: what it tells the backend and the person at the terminal."""

    environment: dict[str, str] = field(default_factory=dict)
    """Variables set for the backend unless the person has set them."""
    addresses: Sequence[tuple[str, str]] = ()
    """What to print: label and URL."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Something `backend dev` runs beside the backend."""

    name: str
    ports: dict[str, int]
    """Its ports by label, as preferred; a taken one is replaced by a free one and said."""
    run: Callable[[dict[str, int], str], AbstractAsyncContextManager[CompanionRun]]
    """Takes the ports it got and a directory of its own for what it keeps."""
