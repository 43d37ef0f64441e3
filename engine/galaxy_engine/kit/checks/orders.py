"""K11 to K17: which sets of orders are accepted, and what a refused one does."""

from typing import Any

import msgspec
from msgspec import UNSET

from galaxy_engine import limits
from galaxy_engine.kit.examination import Examination, Step
from galaxy_engine.kit.findings import Failed, Skipped
from galaxy_engine.kit.orders import is_accepted, listed, raw
from galaxy_engine.kit.registry import AFTER_TURN, REFUSAL, SCHEMA, check
from galaxy_engine.kit.subject import Engine, Reply, point_of
from galaxy_engine.messages import Example, Verdict

_LISTED = 60
"""Listed orders that are tried for a seat at a point."""


@check(
    "K11",
    "accepts what it offers",
    "Every order that `options` lists is accepted alone, every set of `examples` as it is.",
)
async def accepts_what_it_offers(x: Examination) -> str:
    describe = await x.describe()
    examples = () if describe.examples is UNSET else describe.examples
    if not describe.can("options") and not examples:
        raise Skipped("the engine has neither the capability options nor examples")
    tried = await _try_listed(x) if describe.can("options") else 0
    for example in examples:
        await _try_example(x, example)
    return f"{tried} listed orders and {len(examples)} examples"


async def _try_listed(x: Examination) -> int:
    engine, tried = await x.engine(), 0
    for step in await x.line():
        await engine.load(step.before)
        for seat in await x.ordering(step.before):
            orders = await listed(engine, seat)
            for order in x.chance.sample(orders, min(_LISTED, len(orders))):
                x.trace.restart()
                await engine.load(step.before)
                reply = await engine.order(seat, step.before.turn, (order,))
                _expect_accepted(reply, f"a listed order of seat {seat}")
                tried += 1
    return tried


async def _try_example(x: Examination, example: Example) -> None:
    engine = await x.engine()
    x.trace.restart()
    game = x.make_game("example", example.seats, {} if example.options is UNSET else example.options)
    point = point_of(await engine.init(game.init()))
    for sets in example.turns:
        for seat, orders in sets.items():
            _expect_accepted(await engine.order(seat, point.turn, orders), f"a set of seat {seat} in examples")
        absent = [seat for seat in point.position.awaited(game.seats) if str(seat) not in sets]
        point = point_of(await engine.turn(point.turn, x.seed(point.turn), absent))


def _expect_accepted(reply: Reply, what: str) -> None:
    if not is_accepted(reply):
        raise Failed(f"{what} is refused", expected="accepted: true", came=reply.shown)


class Rubbish(msgspec.Struct, frozen=True):
    """What might be posted as a seat's orders."""

    name: str
    orders: Any
    refusal_due: bool
    """Whether the contract itself says that this is not a set of orders; otherwise a game may make sense of it."""


def _nested(depth: int) -> msgspec.Raw:
    return msgspec.Raw(b"[" * depth + b"]" * depth)


def _rubbish(step: Step) -> list[Rubbish]:
    many = next((orders for orders in step.sets.values() if orders), (raw({"order": "x"}),))[0]
    size = max(1, min(limits.ORDERS_COUNT, (limits.ORDERS_BYTES - 100) // (len(bytes(many)) + 1)))
    return [
        Rubbish("a number as orders", 7, True),
        Rubbish("null as orders", None, True),
        Rubbish("text as orders", "attack", True),
        Rubbish("an object as orders", {"order": 1}, True),
        Rubbish("a number as an order", [7], False),
        Rubbish("null as an order", [None], False),
        Rubbish("text as an order", ["attack \u0000 \u202e 😀"], False),
        Rubbish("an unknown order", [{"order": "k12-no-such-order", "x": -1e308, "": ""}], False),
        Rubbish("an order nested 100 deep", [_nested(100)], False),
        Rubbish(f"{size} orders", [many] * size, False),
    ]


@check(
    "K12",
    "refuses rubbish with a verdict",
    "Orders are never an error of the engine's: accepted false, or 4xx, never 5xx.",
)
async def refuses_rubbish(x: Examination) -> str:
    engine, step = await x.engine(), (await x.line())[-1]
    seat = _a_seat(step)
    pieces = _rubbish(step)
    for other, orders in step.sets.items():
        if other != seat and orders:
            pieces.append(Rubbish(f"orders of seat {other}", orders, False))
            break
    for piece in pieces:
        x.trace.restart()
        await engine.load(step.before)
        reply = await engine.order(seat, step.before.turn, piece.orders)
        if reply.broken:
            raise Failed(f"{piece.name}: the engine breaks", expected="accepted: false, or 4xx", came=reply.shown)
        accepted = not reply.refused and reply.message(Verdict).accepted
        if piece.refusal_due and accepted:
            raise Failed(f"{piece.name} is accepted", expected="accepted: false, or 4xx", came=reply.shown)
    x.trace.restart()
    body = b'{"turn":%d,"orders":[%s]}' % (step.before.turn, bytes(_nested(100_000)))
    await engine.call("POST", f"/v1/seats/{seat}/orders", (body,))
    if not await x.alive(engine):
        came = await x.subject.state(engine)
        raise Failed("not healthy after orders nested 100,000 deep", expected="200 from /healthz", came=came)
    return f"{len(pieces) + 1} kinds of rubbish"


@check("K13", "a refused set leaves the former one", REFUSAL)
async def refused_set_leaves_the_former_one(x: Examination) -> str:
    engine, step = await x.engine(), await x.last_step()
    seat = _a_seat(step)
    refused = await _refused_sets(engine, step, seat)
    if not refused:
        raise Skipped("the engine accepted everything that was tried, so nothing is refused")
    for name, orders in refused:
        alone = await x.replay(engine, step)
        x.trace.restart()
        await engine.load(step.before)
        for each, accepted in step.sets.items():
            await engine.accept(each, step.before.turn, accepted)
        if is_accepted(await engine.order(seat, step.before.turn, orders)):
            continue
        after = point_of(await engine.turn(step.before.turn, step.seed, step.absent))
        x.same(alone, after, f"the turn as with the accepted set alone, after {name} was refused")
    return f"after {len(refused)} refused sets"


async def _refused_sets(engine: Engine, step: Step, seat: int) -> list[tuple[str, Any]]:
    """Return sets that are refused properly: others are K12's affair."""
    posted = step.sets[seat]
    tried = [(piece.name, piece.orders) for piece in _rubbish(step)]
    tried += [("an accepted set with an unknown order added", [*posted, {"order": "k13-no-such-order"}])]
    await engine.load(step.before)
    found = []
    for name, orders in tried:
        reply = await engine.order(seat, step.before.turn, orders)
        if reply.refused or _is_refusal(reply):
            found.append((name, orders))
    return found


def _is_refusal(reply: Reply) -> bool:
    try:
        return reply.status == 200 and not reply.message(Verdict).accepted
    except Failed:
        return False


@check("K14", "a set replaces the former one", REFUSAL)
async def set_replaces_the_former_one(x: Examination) -> str:
    engine, step, sources = await x.engine(), await x.last_step(), await x.order_sources()
    seat = _a_seat(step)
    await engine.load(step.before)
    sets = await sources.accepted_sets(engine, step.before, seat, most=4)
    pairs = [(former, latter) for former in sets for latter in sets if former != latter]
    if not pairs:
        raise Skipped("the engine accepts only one set here, so none can replace it")
    for former, latter in pairs:
        alone = await engine.play(step.before, {**step.sets, seat: latter}, step.seed, step.absent)
        x.trace.restart()
        await engine.load(step.before)
        for orders in (former, latter):
            for each, posted in {**step.sets, seat: orders}.items():
                await engine.accept(each, step.before.turn, posted)
        after = point_of(await engine.turn(step.before.turn, step.seed, step.absent))
        x.same(alone, after, "the turn as with the second set alone")
    return f"{len(pairs)} pairs of sets"


@check("K15", "the order of posting does not matter", "Same state, orders and seed give the same bytes.")
async def order_of_posting_does_not_matter(x: Examination) -> str:
    engine, found = await x.engine(), 0
    await x.deterministic()
    for step in await x.line():
        if len(step.sets) > 1:
            x.trace.restart()
            forward = await x.replay(engine, step)
            backward = await x.replay(engine, step, sets=dict(reversed(step.sets.items())))
            x.same(forward, backward, "the same bytes whichever seat posts first")
            found += 1
    if not found:
        raise Skipped("never more than one seat sends orders")
    return f"in {found} turns"


@check("K16", "a wrong turn is 409", AFTER_TURN)
async def wrong_turn_is_409(x: Examination) -> str:
    engine, step = await x.engine(), await x.last_step()
    turn, seat = step.before.turn, _a_seat(step)
    expected = await x.replay(engine, step)
    x.trace.restart()
    await engine.load(step.before)
    for each, orders in step.sets.items():
        await engine.accept(each, turn, orders)
    for wrong in (turn - 1, turn + 1, -1):
        _expect_conflict(
            await engine.order(seat, wrong, ()), wrong, f"orders for turn {wrong}, while it is turn {turn}"
        )
    for wrong in (turn - 2, turn + 1):
        reply = await engine.turn(wrong, step.seed, step.absent)
        _expect_conflict(reply, wrong, f"turn {wrong}, while it is turn {turn}")
    after = point_of(await engine.turn(turn, step.seed, step.absent))
    x.same(expected, after, "the turn as if nothing had been asked for another one")
    return f"around turn {turn}"


def _expect_conflict(reply: Reply, turn: int, what: str) -> None:
    if turn < 0 and reply.refused:  # not a turn number at all: any refusal will do
        return
    if reply.status != 409:
        raise Failed(f"{what}: not refused", expected="409", came=reply.shown)


@check("K17", "an unknown seat is 404", SCHEMA)
async def unknown_seat_is_404(x: Examination) -> str:
    engine, describe, step = await x.engine(), await x.describe(), (await x.line())[-1]
    beyond = describe.players.max + 1
    for seat in (0, beyond, "x"):
        x.trace.restart()
        await engine.load(step.before)
        reply = await engine.order(seat, step.before.turn, ())
        exact = seat == beyond and beyond <= limits.SEATS  # the others are not seats at all: any refusal will do
        if reply.status != 404 and (exact or not reply.refused):
            raise Failed(f"seat {seat} is not unknown", expected="404", came=reply.shown)
    return f"seats 0, {beyond} and x"


def _a_seat(step: Step) -> int:
    """Return a seat that sent something, one with orders if there is one."""
    if not step.sets:
        raise Skipped("no seat may order, so nothing can be posted")
    return next((seat for seat, orders in step.sets.items() if orders), next(iter(step.sets)))
