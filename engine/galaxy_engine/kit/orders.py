"""Where sets of orders to try come from, and how many of each were tried."""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw

from galaxy_engine.kit.generating import Generator
from galaxy_engine.kit.subject import Engine, OrderSet, Point, Reply
from galaxy_engine.messages import Describe, Example, Options, Orders, Verdict

Source = Literal["file", "options", "examples", "suggest", "order_schema", "empty"]
SOURCES: tuple[Source, ...] = ("file", "options", "examples", "suggest", "order_schema", "empty")

Counts = dict[Source, int]
"""How many sets, by source."""

_SINGLE = 6
"""Listed orders that are tried alone, for one seat at one point."""
_TOGETHER = 3
"""Sets of several listed orders."""
_GENERATED = 6


class OrdersFile(msgspec.Struct, frozen=True):
    """Sets of the user's: openings, and sets that any seat may try at any turn."""

    openings: tuple[Example, ...] = ()
    sets: tuple[OrderSet, ...] = ()


def read_orders(path: Path) -> OrdersFile:
    """Return the sets in a file: a JSON array of sets, or of openings as in `examples` of describe, or of both.

    Raise ValueError if it is something else.
    """
    items = msgspec.json.decode(path.read_bytes(), type=list[Raw])
    openings, sets = [], []
    for item in items:
        if memoryview(item)[:1].tobytes() == b"[":
            sets.append(msgspec.json.decode(item, type=OrderSet))
        else:
            openings.append(msgspec.json.decode(item, type=Example))
    return OrdersFile(tuple(openings), tuple(sets))


class Candidate(msgspec.Struct, frozen=True):
    """A set to try."""

    source: Source
    orders: OrderSet


class OrderSources:
    """Sets to try at a point of a game, from every source that the engine and the user offer."""

    def __init__(self, describe: Describe, file: OrdersFile, seed: str) -> None:
        self._describe = describe
        self._file = file
        self._seed = seed
        self.tried: Counts = dict.fromkeys(SOURCES, 0)
        self.accepted: Counts = dict.fromkeys(SOURCES, 0)

    @property
    def openings(self) -> tuple[Example, ...]:
        """The openings of the user's file and those of the engine."""
        examples = self._describe.examples
        return (*self._file.openings, *(() if examples is UNSET else examples))

    async def candidates(self, engine: Engine, point: Point, seat: int) -> AsyncIterator[Candidate]:
        """Yield sets for a seat, those first that are most likely accepted; the engine has the point loaded."""
        chance = random.Random(f"{self._seed}/{point.turn}/{seat}")  # noqa: S311
        for orders in self._file.sets:
            yield Candidate("file", orders)
        if self._describe.can("options"):
            for orders in combinations(await listed(engine, seat), chance):
                yield Candidate("options", orders)
        for opening in self.openings:
            if point.turn < len(opening.turns) and str(seat) in opening.turns[point.turn]:
                yield Candidate("examples", opening.turns[point.turn][str(seat)])
        if self._describe.can("suggest"):
            suggested = await engine.suggest(seat, point.turn, self._seed)
            if suggested.status == 200:
                yield Candidate("suggest", suggested.message(Orders).orders)
        if self._describe.order_schema is not UNSET:
            generator = Generator(self._describe.order_schema, chance)
            for _ in range(_GENERATED):
                yield Candidate("order_schema", (raw(generator.value()),))
        yield Candidate("empty", ())

    async def accepted_sets(self, engine: Engine, point: Point, seat: int, most: int) -> list[OrderSet]:
        """Return up to `most` different sets that the engine accepts from a seat. The last of them stays posted."""
        found: list[OrderSet] = []
        async for candidate in self.candidates(engine, point, seat):
            if candidate.orders not in found and await self._accepts(engine, point, seat, candidate):
                found.append(candidate.orders)
                if len(found) == most:
                    break
        return found

    async def choose(self, engine: Engine, point: Point, seat: int, chance: random.Random) -> OrderSet | None:
        """Return a set that the engine has just accepted from the seat; None if it does not accept even no orders."""
        candidates = [candidate async for candidate in self.candidates(engine, point, seat)]
        chance.shuffle(candidates)
        sources = sorted({candidate.source for candidate in candidates} - {"empty"})
        first = chance.choice(sources) if sources else "empty"  # so that each source has its turns
        rank = {source: SOURCES.index(source) for source in SOURCES} | {first: -1}
        for candidate in sorted(candidates, key=lambda candidate: rank[candidate.source]):
            if await self._accepts(engine, point, seat, candidate):
                return candidate.orders
        return None

    async def _accepts(self, engine: Engine, point: Point, seat: int, candidate: Candidate) -> bool:
        reply = await engine.order(seat, point.turn, candidate.orders)
        self.tried[candidate.source] += 1
        accepted = is_accepted(reply)
        self.accepted[candidate.source] += accepted
        return accepted


def is_accepted(reply: Reply) -> bool:
    """Whether the answer to a set accepts it; raise `Failed` if it is neither a verdict nor a refusal."""
    if reply.refused:
        return False
    return reply.message(Verdict).accepted


async def listed(engine: Engine, seat: int) -> tuple[Raw, ...]:
    """Return the legal orders that the engine lists for a seat."""
    reply = await engine.options(seat)
    if reply.refused:
        return ()
    orders = reply.message(Options).orders
    return () if orders is UNSET else orders


def combinations(orders: Sequence[Raw], chance: random.Random) -> Iterator[OrderSet]:
    """Yield some of the orders alone, and some of them together."""
    for order in chance.sample(orders, min(_SINGLE, len(orders))):
        yield (order,)
    for _ in range(_TOGETHER if len(orders) > 1 else 0):
        yield tuple(chance.sample(orders, chance.randint(2, min(5, len(orders)))))


def raw(value: Any) -> Raw:
    """Return a value as JSON that messages can hold."""
    return Raw(msgspec.json.encode(value))


def python(orders: OrderSet) -> list[Any]:
    """Return a set as Python values."""
    return [json.loads(bytes(order)) for order in orders]


def summary(tried: Counts, accepted: Counts) -> str:
    """Return in a line how many sets of each source were tried and accepted."""
    parts = [f"{tried[source]} {source} ({accepted[source]} accepted)" for source in SOURCES if tried[source]]
    return f"sets of orders tried: {', '.join(parts) or 'none'}"


def only_empty(accepted: Counts) -> bool:
    """Whether nothing but empty sets was accepted, so that checks could see little."""
    return not any(accepted[source] for source in SOURCES if source != "empty")
