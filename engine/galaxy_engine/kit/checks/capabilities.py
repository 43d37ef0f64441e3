"""K35 to K37: what engines can do beyond what they must."""

from typing import Any

import msgspec
from msgspec import Raw

from galaxy_engine.kit.examination import Examination, Step
from galaxy_engine.kit.findings import Failed, Skipped
from galaxy_engine.kit.orders import is_accepted
from galaxy_engine.kit.registry import check
from galaxy_engine.kit.subject import Engine, Point, Reply, point_of
from galaxy_engine.messages import Capability, Options, Orders, Verdict

_TIMES = 100


@check(
    "K35",
    "validate agrees with orders and changes nothing",
    "`validate` judges a set as `orders` would, and changes nothing.",
)
async def validate_agrees(x: Examination) -> str:
    await _needs(x, "validate")
    engine, step, sources = await x.engine(), await x.last_step(), await x.order_sources()
    tried: list[tuple[int, Any]] = []
    for seat, posted in step.sets.items():
        await engine.load(step.before)
        tried += [(seat, orders) for orders in await sources.accepted_sets(engine, step.before, seat, most=6)]
        unknown = {"order": "k35-no-such-order"}
        tried += [(seat, orders) for orders in ([7], [unknown], [*posted, unknown], [unknown, *posted], "text")]
    for seat, orders in tried:
        x.trace.restart()
        await engine.load(step.before)
        said = await engine.validate(seat, step.before.turn, orders)
        done = await engine.order(seat, step.before.turn, orders)
        if _judgement(said) != _judgement(done):
            raise Failed("two verdicts on one set", expected=f"that of orders: {done.shown}", came=said.shown)
    expected = await x.replay(engine, step)

    async def disturb() -> None:
        for seat, orders in (tried * _TIMES)[:_TIMES]:
            await engine.validate(seat, step.before.turn, orders)

    await _unchanged(x, engine, step, expected, disturb, f"the turn as without {_TIMES} validations before it")
    return f"{len(tried)} sets, then {_TIMES} validations before a turn"


def _judgement(reply: Reply) -> Any:
    """Return what of two answers must be equal."""
    if reply.refused or reply.broken:  # that orders break the engine is K12's affair
        return "broken" if reply.broken else "refused"
    verdict = reply.message(Verdict)
    return verdict.accepted, [(error.index, error.code) for error in verdict.errors]


async def _unchanged(x: Examination, engine: Engine, step: Step, expected: Point, disturb: Any, what: str) -> None:
    """Raise `Failed` if what `disturb` does between orders and turn changes the turn."""
    x.trace.restart()
    await engine.load(step.before)
    for seat, orders in step.sets.items():
        await engine.accept(seat, step.before.turn, orders)
    await disturb()
    x.same(expected, point_of(await engine.turn(step.before.turn, step.seed, step.absent)), what)


@check(
    "K36",
    "options and suggest change nothing",
    "`options` and `suggest` change nothing; suggestions are accepted, and the same for a seed.",
)
async def options_and_suggest_change_nothing(x: Examination) -> str:
    describe = await x.describe()
    able: list[Capability] = [name for name in ("options", "suggest") if describe.can(name)]
    if not able:
        raise Skipped("the engine has neither the capability options nor suggest")
    engine, step = await x.engine(), await x.last_step()
    expected = await x.replay(engine, step)
    seats = await x.ordering(step.before)

    async def ask() -> None:
        for seat in seats:
            if "options" in able:
                _current((await engine.options(seat)).message(Options).turn, step)
            if "suggest" in able:
                await _suggestion(engine, step, seat)

    await _unchanged(x, engine, step, expected, ask, f"the turn as without {' and '.join(able)} asked before it")
    if "suggest" in able:
        await _try_suggestions(x, engine, step, seats)
    return f"{' and '.join(able)} of {len(seats)} seats"


async def _try_suggestions(x: Examination, engine: Engine, step: Step, seats: tuple[int, ...]) -> None:
    for seat in seats:
        x.trace.restart()
        await engine.load(step.before)
        suggested, again = await _suggestion(engine, step, seat), await _suggestion(engine, step, seat)
        if suggested != again:
            raise Failed("two suggestions for one seed", expected=_shown(suggested), came=_shown(again))
        reply = await engine.order(seat, step.before.turn, suggested)
        if not is_accepted(reply):
            raise Failed("a suggestion is refused", expected="accepted: true", came=reply.shown)


async def _suggestion(engine: Engine, step: Step, seat: int) -> tuple[Raw, ...]:
    suggested = (await engine.suggest(seat, step.before.turn, step.seed)).message(Orders)
    _current(suggested.turn, step)
    return suggested.orders


def _current(turn: int, step: Step) -> None:
    if turn != step.before.turn:
        raise Failed("an answer about another turn", expected=f"turn {step.before.turn}", came=f"turn {turn}")


def _shown(orders: tuple[Raw, ...]) -> str:
    return msgspec.json.encode(orders).decode()[:300]


@check(
    "K37",
    "bundle equals the long way",
    "Capability `bundle`: state and orders that ride with a turn count as if they had been loaded and posted.",
)
async def bundle_equals_the_long_way(x: Examination) -> str:
    await _needs(x, "bundle")
    engine, steps = await x.engine(), await x.line()
    await x.deterministic()
    for step in steps:
        expected = await x.replay(engine, step)
        x.trace.restart()
        await engine.load(steps[0].before)
        for seat, orders in steps[0].sets.items():  # what is held and posted must not matter
            await engine.accept(seat, steps[0].before.turn, orders)
        bundled = await engine.turn(
            step.before.turn, step.seed, step.absent, state=step.before.position.state, orders=step.sets
        )
        x.same(expected, point_of(bundled), "the turn as by state, orders and turns")
    await x.all_absent()
    step = steps[-1]
    awaited = await x.ordering(step.before)
    absent = await engine.play(step.before, {}, step.seed, awaited)
    x.trace.restart()
    await engine.load(step.before)
    for seat, orders in step.sets.items():
        await engine.accept(seat, step.before.turn, orders)
    bundled = await engine.turn(step.before.turn, step.seed, awaited, state=step.before.position.state, orders={})
    x.same(absent, point_of(bundled), "orders that were posted do not count when others, or none, ride along")
    return f"{len(steps)} turns"


async def _needs(x: Examination, capability: Capability) -> None:
    if not (await x.describe()).can(capability):
        raise Skipped(f"the engine does not have the capability {capability}")
