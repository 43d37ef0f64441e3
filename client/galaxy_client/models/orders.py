"""Orders, what the engine says of them, and reports."""

from datetime import datetime
from typing import Any

import msgspec

from galaxy_client.models.base import Model


class Orders(Model, frozen=True, kw_only=True):
    """A seat's orders for the current turn."""

    turn: int
    orders: list[Any]
    final: bool = False
    revision: int = 0
    """0: none were sent."""
    submitted_at: datetime | None = None


class Receipt(Model, frozen=True, kw_only=True):
    """That the engine accepted a set, and that it is kept."""

    accepted: bool = True
    turn: int
    revision: int
    final: bool


class OrderFault(Model, frozen=True, kw_only=True):
    """What is wrong with one order, or, without an index, with the set as a whole."""

    index: int | None = None
    code: str = ""
    message: str = ""


class Verdict(Model, frozen=True, kw_only=True):
    """What the engine says of a set that was not sent."""

    accepted: bool
    errors: list[OrderFault] = msgspec.field(default_factory=list)
    forecast: Any = None
    """What would come of it, as far as the seat knows; in the engine's own form."""


class Options(Model, frozen=True, kw_only=True):
    """What a seat may order now."""

    turn: int
    orders: list[Any] = msgspec.field(default_factory=list)
    complete: bool = False
    """Whether `orders` has every legal order."""
    data: Any = None


class Report(Model, frozen=True, kw_only=True):
    """What a seat, or everybody, may know of a position.

    It comes from the game's engine, and is not trusted: clean `text` before showing it on a terminal or a page.
    """

    text: str | None = None
    data: Any = None


class Turn(Model, frozen=True, kw_only=True):
    """A position, and the turn that made it."""

    turn: int
    trigger: str
    """`start`, `scheduled`, `forced`, `final`."""
    due_at: datetime | None = None
    made_at: datetime
    phase: str | None = None
    absent: list[int] = msgspec.field(default_factory=list)
    """Seats without orders."""
    eliminated: list[int] = msgspec.field(default_factory=list)
    finished: bool = False
