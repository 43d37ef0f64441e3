"""What a set of orders is held against. No I/O."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from galaxy_engine import limits
from galaxy_engine.messages import Verdict
from galaxy_kernel.api import FieldError, Problem, conflict, invalid, not_found
from galaxy_runtime.errors import turn_over, turn_running

PATIENCE = timedelta(seconds=10)
"""How long a player waits for an engine that sleeps."""
LEASE = timedelta(seconds=10)
"""How long a process may hold an engine's memory for one question; a turn waits for its end."""
_MOST_FAULTS = 50
_UNNAMED = "the engine refuses the set"


class OpenTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a seat may order now."""

    turn: int
    closed: bool
    awaiting: Sequence[int]
    ended: bool = False
    due: bool = False
    """Whether the deadline has passed, though nobody has claimed the turn yet."""

    def refusal(self, turn: int, seat: int) -> Problem | None:
        """Return why a seat may not order for a turn now; None where it may."""
        if self.ended:
            return not_found("running game")
        if turn != self.turn:
            return turn_over(self.turn)
        if self.closed or self.due:
            return turn_running()
        if seat not in self.awaiting:
            return conflict("not_awaited", "Your seat has no orders to send this turn.")
        return None


def encoded(orders: Sequence[msgspec.Raw]) -> bytes:
    """Return a set as it is kept: a JSON array in UTF-8. Raise the problem 422 for one beyond the contract's limits."""
    if len(orders) > limits.ORDERS_COUNT:
        raise invalid("orders", f"must be at most {limits.ORDERS_COUNT} orders")
    document = b"[" + b",".join(bytes(memoryview(each)) for each in orders) + b"]"
    try:
        document.decode()  # msgspec does not look at what it passes on, and a turn reads sets as text
    except UnicodeDecodeError:
        raise invalid("orders", "must be UTF-8") from None
    if len(document) > limits.ORDERS_BYTES:
        raise invalid("orders", f"must be at most {limits.ORDERS_BYTES} bytes of JSON")
    return document


def refused_orders(verdict: Verdict) -> list[FieldError]:
    """Return what the engine has against a set, by field. Its words are not trusted: they are cut and cleaned."""
    found = [
        FieldError(
            "orders" if error.index is None else f"orders.{error.index}", _clean(f"{error.code}: {error.message}")
        )
        for error in verdict.errors[:_MOST_FAULTS]
    ]
    return found or [FieldError("orders", _UNNAMED)]


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
