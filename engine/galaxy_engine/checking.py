"""Whether a position fits its game: what the schema cannot say, because it knows neither the turn nor the seats.

Pure functions, used by the host after every init and turn, and by the conformance kit.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from galaxy_engine import limits
from galaxy_engine.decoding import MalformedError, decode
from galaxy_engine.failures import EngineInvalid, EngineTooLarge
from galaxy_engine.messages import Position, Report

_REPORT = msgspec.json.Decoder(Report)

FaultKind = Literal["turn", "reports", "awaiting", "eliminated", "result", "size"]


class Fault(msgspec.Struct, frozen=True):
    """One thing in which a position does not fit its game."""

    kind: FaultKind
    text: str


def check_position(position: Position, *, turn: int, seats: Sequence[int]) -> None:
    """Return if a position is number `turn` of a game with these seats.

    Raise `EngineTooLarge` if a part of it is beyond its limit, else `EngineInvalid`; both name everything found.
    """
    found = list(faults(position, turn=turn, seats=seats))
    if found:
        failure = EngineTooLarge if any(fault.kind == "size" for fault in found) else EngineInvalid
        raise failure("the position does not fit the game: " + "; ".join(fault.text for fault in found))


def faults(position: Position, *, turn: int, seats: Sequence[int]) -> Iterator[Fault]:
    """Yield everything in which a position is not number `turn` of a game with these seats."""
    if position.turn != turn:
        yield Fault("turn", f"turn is {position.turn}, not {turn}")
    yield from _report_faults(position, seats)
    yield from _seat_faults(position, seats)
    yield from _size_faults(position)
    yield from _text_faults(position)


def _text_faults(position: Position) -> Iterator[Fault]:
    """Yield texts that no database keeps: PostgreSQL has no character U+0000."""
    texts = {"phase": position.phase, "result.text": None if position.result is None else position.result.text}
    for name, text in texts.items():
        if isinstance(text, str) and "\0" in text:
            yield Fault("result", f"{name} holds the character U+0000")


def _report_faults(position: Position, seats: Sequence[int]) -> Iterator[Fault]:
    missing, unknown = set(seats) - position.reports.keys(), position.reports.keys() - set(seats)
    if missing:
        yield Fault("reports", f"no report for seat {_listed(missing)}")
    if unknown:
        yield Fault("reports", f"a report for seat {_listed(unknown)}, which the game does not have")
    reports = {f"the report of seat {seat}": raw for seat, raw in position.reports.items()}
    if position.spectators_report is not None:
        reports["the public report"] = position.spectators_report
    for name, raw in reports.items():
        try:
            decode(memoryview(raw), _REPORT, limits.POSITION_MEMBERS)
        except MalformedError as exc:
            yield Fault("reports", f"{name} is not a report: {exc}")


def _seat_faults(position: Position, seats: Sequence[int]) -> Iterator[Fault]:
    eliminated = set(position.eliminated)
    awaited = set(position.awaited(seats))
    if eliminated - set(seats):
        yield Fault(
            "eliminated", f"eliminated has seat {_listed(eliminated - set(seats))}, which the game does not have"
        )
    if awaited - set(seats):
        yield Fault("awaiting", f"awaiting has seat {_listed(awaited - set(seats))}, which the game does not have")
    if awaited & eliminated:
        yield Fault("awaiting", f"awaiting has seat {_listed(awaited & eliminated)}, which is eliminated")
    if position.finished and position.result is None:
        yield Fault("result", "finished without a result")
    if position.result is not None and _named(position) - set(seats):
        yield Fault(
            "result", f"the result has seat {_listed(_named(position) - set(seats))}, which the game does not have"
        )


def _size_faults(position: Position) -> Iterator[Fault]:
    sizes = [len(memoryview(raw)) for raw in position.reports.values()]
    state = len(memoryview(position.state))
    if state > limits.STATE_BYTES:
        yield Fault("size", f"the state has {state} bytes, more than {limits.STATE_BYTES}")
    public = len(memoryview(position.spectators_report)) if position.spectators_report is not None else 0
    if max([*sizes, public]) > limits.REPORT_BYTES:
        yield Fault("size", f"a report has more than {limits.REPORT_BYTES} bytes")
    if sum(sizes) > limits.REPORTS_BYTES:
        yield Fault("size", f"the reports have {sum(sizes)} bytes, more than {limits.REPORTS_BYTES}")


def _named(position: Position) -> set[int]:
    """Return the seats that a result speaks of."""
    result = position.result
    if result is None:
        return set()
    return {
        *(result.winners or ()),
        *(seat for group in result.ranking or () for seat in group),
        *(result.scores or {}),
    }


def _listed(seats: set[int]) -> str:
    return ", ".join(map(str, sorted(seats)))
