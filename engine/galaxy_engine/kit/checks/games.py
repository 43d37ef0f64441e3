"""K26 to K33, K43: what shows over a whole game, and what reports give away."""

import random
from collections.abc import Iterator
from typing import Any

from galaxy_engine import limits
from galaxy_engine.kit.checks.turns import repeats
from galaxy_engine.kit.examination import Examination, Step
from galaxy_engine.kit.findings import Failed, Finding, Noted, Skipped, Warned
from galaxy_engine.kit.game import Kind, whole_game
from galaxy_engine.kit.orders import is_accepted, python, raw
from galaxy_engine.kit.registry import FINISHED, REPORTS, SCHEMA, check
from galaxy_engine.kit.subject import Engine, OrderSet, Point, point_of

_GROWTH = 64 * limits.KIB
_MARKS = 12
"""Texts in orders that are replaced by a mark."""


async def _expect_none(x: Examination, *kinds: Kind, expected: str, outcome: type[Finding] = Failed) -> str:
    """Raise a finding if the whole game has an oddity of these kinds."""
    seen = await whole_game(x)
    oddity = seen.first(*kinds)
    if oddity is not None:
        finding = outcome(oddity.text, expected=expected, came=oddity.text)
        finding.calls = oddity.calls
        raise finding
    return f"over {seen.turns} turns"


@check("K26", "turn numbers go up by one", "A turn n gives position n + 1.")
async def turn_numbers_go_up(x: Examination) -> str:
    return await _expect_none(x, "turn", "call", expected="the next position, turn after turn")


@check(
    "K27",
    "awaiting is sound",
    "`awaiting` names seats of the game that are not eliminated; empty only when it is finished.",
)
async def awaiting_is_sound(x: Examination) -> str:
    await _expect_none(x, "awaiting", expected="seats of the game that are not eliminated")
    expected = "somebody to wait for: the host runs such turns at their deadlines only"
    return await _expect_none(x, "nobody_awaited", expected=expected, outcome=Warned)


@check("K28", "eliminated never shrinks", SCHEMA)
async def eliminated_never_shrinks(x: Examination) -> str:
    return await _expect_none(x, "eliminated", "shrunk", expected="eliminated seats of the game stay so")


@check("K29", "a report for every seat, every turn", "`reports` has one for each seat, eliminated ones included.")
async def report_for_every_seat(x: Examination) -> str:
    return await _expect_none(x, "reports", expected="a report for each seat, and no other")


@check("K30", "texts of orders are in no other seat's report", REPORTS)
async def texts_are_in_no_other_report(x: Examination) -> str:
    engine, steps, tried = await x.engine(), await x.line(), 0
    for step in steps:
        for seat in step.sets:
            async for orders, mark in _marked(x, engine, step, seat):
                x.trace.restart()
                after = await engine.play(step.before, {**step.sets, seat: orders}, step.seed, step.absent)
                tried += 1
                if place := _place_of(mark, after, seat):
                    came = f"{mark!r} is in {place}"
                    expected = "texts of a seat's orders in its own report at most, unless the game makes them public"
                    raise Warned(f"a text that seat {seat} ordered is in {place}", expected=expected, came=came)
    if not tried:
        raise Skipped("no set with a text of free choice was accepted")
    return f"{tried} marked sets"


async def _marked(x: Examination, engine: Engine, step: Step, seat: int) -> Any:
    """Yield accepted sets of a seat in which one text is a random mark, and the mark."""
    sources, left = await x.order_sources(), _MARKS
    await engine.load(step.before)
    for candidate in [each async for each in sources.candidates(engine, step.before, seat)]:
        for marked, mark in _with_mark(candidate.orders, x.chance):
            if left == 0:
                return
            left -= 1
            await engine.load(step.before)
            if is_accepted(await engine.order(seat, step.before.turn, marked)):
                yield marked, mark


def _with_mark(orders: OrderSet, chance: random.Random) -> Iterator[tuple[OrderSet, str]]:
    """Yield a set with each of its texts replaced in turn."""
    values = python(orders)
    for path in _text_paths(values):
        mark = f"k30x{chance.randrange(16**8):08x}"
        yield tuple(raw(item) for item in _replaced(values, path, mark)), mark


def _text_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _text_paths(item, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], mark: str) -> Any:
    if not path:
        return mark
    copy = value.copy()
    copy[path[0]] = _replaced(copy[path[0]], path[1:], mark)
    return copy


def _place_of(mark: str, after: Point, seat: int) -> str:
    for other, report in after.position.reports.items():
        if other != seat and mark.encode() in bytes(report):
            return f"the report of seat {other}"
    public = after.position.spectators_report
    return "the public report" if public is not None and mark.encode() in bytes(public) else ""


@check("K31", "reports do not carry the state", REPORTS)
async def reports_do_not_carry_the_state(x: Examination) -> str:
    seen = await whole_game(x)
    for kind in (True, False):
        for leak, calls in seen.leaks:
            if leak.whole is kind:
                what = "the whole state is" if leak.whole else "200 characters of the state are"
                finding: Finding = (Failed if leak.whole else Warned)(
                    f"{what} in {leak.where}",
                    expected="what the seat may know; in a game without secrets, the board and not the state",
                    came=f"{leak.excerpt}…",
                )
                finding.calls = calls
                raise finding
    return f"over {seen.turns} turns"


@check("K32", "games end", FINISHED)
async def games_end(x: Examination) -> str:
    seen = await whole_game(x)
    if not seen.finished:
        raise Noted(f"not finished after {seen.turns} turns and {seen.seconds:.0f} s of whatever orders were accepted")
    return f"after {seen.turns} turns"


@check("K33", "finished is final", FINISHED)
async def finished_is_final(x: Examination) -> str:
    await _expect_none(x, "result", expected="a result that names seats of the game, when it is finished")
    seen, engine = await whole_game(x), await x.engine()
    if not seen.finished or seen.last is None:
        raise Skipped("no game was finished (K32)")
    await repeats(x)
    await _repeat_last(x, engine, seen.last)
    over = seen.last.after
    x.trace.restart()
    await engine.load(over)
    seats = (await x.game()).seats
    replies = [
        await engine.turn(over.turn, x.seed(over.turn)),
        *[await engine.order(seat, over.turn, ()) for seat in seats],
    ]
    broken = [reply.shown for reply in replies if reply.broken]
    if broken:
        raise Failed("a finished game breaks the engine", expected="409", came=broken[0])
    other = [reply.shown for reply in replies if reply.status != 409]
    if other:
        raise Warned("a finished game goes on; the host never asks", expected="409", came=other[0])
    return f"after {seen.turns} turns"


async def _repeat_last(x: Examination, engine: Engine, last: Step) -> None:
    x.trace.restart()
    after = await x.replay(engine, last)
    again = point_of(await engine.turn(last.before.turn, last.seed, last.absent))
    x.same(after, again, "the answer of the last turn again")


@check("K43", "the state stays bounded", "At most 16 MiB of JSON.")
async def state_stays_bounded(x: Examination) -> str:
    await _expect_none(x, "size", expected=f"a state of at most {limits.STATE_BYTES} bytes, reports within theirs")
    seen = await whole_game(x)
    first, last = seen.state_sizes[0], seen.state_sizes[-1]
    growth = (last - first) / max(1, seen.turns)
    said = f"{first} bytes at first, {last} after {seen.turns} turns"
    if growth > _GROWTH:
        raise Warned(f"the state grows by {growth:.0f} bytes a turn: {said}")
    return said
