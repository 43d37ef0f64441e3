"""The checks by their ids, and the rules that they hold."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from galaxy_engine.kit.examination import Examination

DETERMINISM = (
    "Same input, same bytes: no clock, no randomness but the seed, no iteration order that a process may change."
)
STATE = "PUT /v1/state replaces everything, orders included. What is not in `state` does not survive."
REFUSAL = "A refused call changes nothing. A set of orders replaces the seat's former set; an empty set is a set."
AFTER_TURN = (
    "After a turn no orders are left. The last turn's answer is given again when asked again; "
    "any other turn number is 409."
)
ABSENT = "A seat in `absent` gets default orders that keep its position playable; one in `vacant` too, or harsher."
REPORTS = "Reports: only what that seat may know; `public_report`: only what everybody may know."
FINISHED = "`finished` with a `result`; after it every order and turn is 409."
UNKNOWN = "Ignore members you do not know. Calls may come on several connections at once: use a lock."
ONE_PIECE = "Write an answer in one piece (or set TCP_NODELAY): headers and body in two small writes cost 40 ms a call."
PROCESS = "SIGTERM: stop within 5 s. Log to stdout. Be healthy within 30 s."
SCHEMA = "Answers are as the contract's document says: `galaxy-engine contract` prints it."

Run = Callable[["Examination"], Awaitable[str | None]]


class Check(msgspec.Struct, frozen=True):
    """One check."""

    id: str
    title: str
    rule: str
    run: Run
    """Return what there is to say of a pass; raise a `Finding` otherwise."""


_checks: dict[str, Check] = {}


def check(id: str, title: str, rule: str) -> Callable[[Run], Run]:  # noqa: A002
    """Register the decorated function as the check of that id."""

    def register(run: Run) -> Run:
        if id in _checks:
            raise ValueError(f"two checks have the id {id}")
        _checks[id] = Check(id, title, rule, run)
        return run

    return register


def registered() -> dict[str, Check]:
    """Return every check that has been imported, by its id, in order."""
    return dict(sorted(_checks.items()))
