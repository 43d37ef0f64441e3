"""A whole game, played to its end for what shows only over many turns."""

import asyncio
from collections.abc import Iterator
from typing import Literal

import msgspec

from galaxy_engine.checking import faults
from galaxy_engine.kit.examination import Examination, Step
from galaxy_engine.kit.findings import Failed
from galaxy_engine.kit.leaks import Leak, state_in_reports
from galaxy_engine.kit.subject import Point

_TURNS = 500

Kind = Literal["turn", "reports", "awaiting", "eliminated", "result", "size", "nobody_awaited", "shrunk", "call"]


class Oddity(msgspec.Struct, frozen=True):
    """Something wrong in one position of the game."""

    kind: Kind
    text: str
    calls: tuple[str, ...]


class WholeGame(msgspec.Struct):
    """What was seen while the game was played."""

    turns: int = 0
    finished: bool = False
    seconds: float = 0.0
    last: Step | None = None
    oddities: list[Oddity] = []
    leaks: list[tuple[Leak, tuple[str, ...]]] = []
    state_sizes: list[int] = []

    def first(self, *kinds: Kind) -> Oddity | None:
        """Return the first of these oddities."""
        return next((oddity for oddity in self.oddities if oddity.kind in kinds), None)


async def whole_game(x: Examination) -> WholeGame:
    """Return the main game, played from its opening until it is finished, or as long as the user's time allows."""
    return await x.once("whole_game", "K26", lambda: _play(x))


async def _play(x: Examination) -> WholeGame:
    engine, point, game = await x.engine(), await x.opening(), await x.game()
    await x.line()  # what fails there is K18's affair
    loop, seen = asyncio.get_running_loop(), WholeGame()
    began = loop.time()
    x.trace.restart()
    await engine.init(game.init())  # as it was asked for at first, for the trace
    _look(x, seen, None, point, game.seats)
    await engine.load(point)
    while not point.position.finished and seen.turns < _TURNS and loop.time() - began < x.settings.seconds:
        try:
            step = await x.step(engine, point)
        except Failed as failed:
            text = f"the game stops at turn {point.turn}: {failed}, expected {failed.expected}, came {failed.came}"
            seen.oddities.append(Oddity("call", text, x.trace.curl("K26")))
            break
        seen.turns += 1
        _look(x, seen, point, step.after, game.seats)
        seen.last, point = step, step.after
        if point.turn != step.before.turn + 1:
            break  # whatever follows is not a game
    seen.finished = point.position.finished
    seen.seconds = loop.time() - began
    return seen


def _look(x: Examination, seen: WholeGame, before: Point | None, point: Point, seats: tuple[int, ...]) -> None:
    """Note what is wrong in a position."""
    turn = before.turn + 1 if before else 0
    found: list[tuple[Kind, str]] = [
        *((fault.kind, fault.text) for fault in faults(point.position, turn=turn, seats=seats)),
        *_over_time(before, point, seats),
    ]
    calls = x.trace.curl(f"turn-{turn}") if found else ()
    seen.oddities.extend(Oddity(kind, f"position {turn}: {text}", calls) for kind, text in found)
    seen.state_sizes.append(len(memoryview(point.position.state)))
    if turn < 5 or turn % 20 == 0 or point.position.finished:
        leaks = list(state_in_reports(point.position))
        calls = x.trace.curl(f"turn-{turn}") if leaks else ()
        seen.leaks.extend((leak, calls) for leak in leaks)


def _over_time(before: Point | None, point: Point, seats: tuple[int, ...]) -> Iterator[tuple[Kind, str]]:
    position = point.position
    back = set(before.position.eliminated if before else ()) - set(position.eliminated)
    if back:
        yield "shrunk", f"seats {sorted(back)} were eliminated, and are not now"
    if not position.finished and not position.awaited(seats):
        yield "nobody_awaited", "no seat may order, and the game is not finished"
