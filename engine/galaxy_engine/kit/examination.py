"""One examination of an engine: what its checks share, made once and in the order in which they ask for it."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET

from galaxy_engine.failures import EngineFailure
from galaxy_engine.kit.differences import first_difference
from galaxy_engine.kit.findings import Failed, Finding, Skipped
from galaxy_engine.kit.orders import OrdersFile, OrderSources
from galaxy_engine.kit.subject import Engine, OrderSet, Point, Reply, Subject, point_of
from galaxy_engine.kit.trace import Trace
from galaxy_engine.messages import Describe, Init, SeatName
from galaxy_engine.option_schema import option_faults, schema_fault

_T = TypeVar("_T")

_STEPS = 3
"""Turns of the line of play that most checks experiment with."""


class Settings(msgspec.Struct, frozen=True):
    """What the user chose."""

    seed: str = "galaxy"
    seconds: float = 60.0
    """How long the whole game of K32 may take."""
    orders: OrdersFile = OrdersFile()
    files: Path | None = None
    """Where bodies that are too large for a curl line are written."""
    start_within: float = 30.0
    stop_within: float = 10.0
    answer_within: float = 5.0
    """While another caller is silent in the middle of a request."""
    pause: float = 1.1
    """Between two answers that must be equal: long enough to show a clock that counts seconds."""


class Game(msgspec.Struct, frozen=True):
    """A game that the kit plays."""

    seats: tuple[int, ...]
    options: dict[str, Any]
    seed: str
    id: str

    def init(self) -> Init:
        """Return the request that begins it."""
        names = tuple(SeatName(seat, f"Player {seat}") for seat in self.seats)
        return Init(game_id=self.id, seed=self.seed, seats=names, options=self.options)


class Step(msgspec.Struct, frozen=True):
    """A turn that was played: from where, with what, to where."""

    before: Point
    sets: dict[int, OrderSet]
    absent: tuple[int, ...]
    """Awaited seats from which the engine accepted nothing."""
    seed: str
    after: Point


class Examination:
    """What the checks of one run see."""

    def __init__(self, subject: Subject, settings: Settings, trace: Trace) -> None:
        self.subject = subject
        self.settings = settings
        self.trace = trace
        self.current = ""
        """The id of the check that is being made."""
        self.chance = random.Random(settings.seed)  # noqa: S311
        self.sources: OrderSources | None = None
        self._memo: dict[str, Any] = {}
        self._engine: Engine | None = None
        self._other: Engine | None = None

    # -- engines ---------------------------------------------------------------------------------------------------

    async def engine(self) -> Engine:
        """Return the engine, healthy; started if the kit starts it (K01)."""
        if self._engine is None:
            self._engine = await self._once("up", "K01", lambda: self.started(0))
        return self._engine

    async def other(self) -> Engine | None:
        """Return a second engine in another environment; None if the kit cannot start one."""
        if not self.subject.launches:
            return None
        if self._other is None:
            await self.engine()
            self._other = await self.started(1)
        return self._other

    async def started(self, variant: int, port: int | None = None) -> Engine:
        """Return a further engine, healthy, on this port or on one of the host's choice. Raise `Failed`."""
        try:
            engine = await self.subject.start(variant, port)
        except EngineFailure as exc:
            came = f"{exc.code}: {exc} {exc.detail}".strip()
            raise Failed("the engine does not start", expected="an engine that runs", came=came) from exc
        await self._wait_until_healthy(engine)
        self.trace.restart()
        return engine

    async def alive(self, engine: Engine) -> bool:
        """Whether the engine is healthy, or becomes so within the time that /healthz may take, asked three times."""
        for _ in range(3):
            if await engine.healthy():
                return True
            await asyncio.sleep(0.2)
        return False

    async def why_down(self) -> str:
        """Return in words how the engine is if it does not answer any more; "" if it does, or was never up."""
        if self._engine is None or await self.alive(self._engine):
            return ""
        return await self.subject.state(self._engine)

    async def start_again(self) -> bool:
        """Whether another engine is up in place of the one that does not answer."""
        if not self.subject.launches or self._engine is None:
            return False
        await self.subject.stop(self._engine, grace=0)
        self._engine = await self.started(0)
        return True

    async def _wait_until_healthy(self, engine: Engine) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.start_within
        while not await engine.healthy():
            if loop.time() >= deadline:
                state = await self.subject.state(engine)
                expected = f"200 from /healthz within {self.settings.start_within:g} s"
                raise Failed("the engine is not healthy", expected=expected, came=f"none; the engine: {state}")
            self.trace.restart()
            await asyncio.sleep(0.05)

    # -- what the checks share -------------------------------------------------------------------------------------

    async def describe(self) -> Describe:
        """Return what the engine says of itself (K03)."""

        async def ask() -> Describe:
            engine = await self.engine()
            return (await engine.describe()).message(Describe)

        return await self._once("describe", "K03", ask)

    @property
    def engine_name(self) -> str:
        """The engine's name and version, if it has said them by now."""
        describe = self._memo.get("describe")
        return f"{describe.engine} {describe.version}" if isinstance(describe, Describe) else ""

    async def order_sources(self) -> OrderSources:
        """Return where sets of orders come from."""
        if self.sources is None:
            self.sources = OrderSources(await self.describe(), self.settings.orders, self.settings.seed)
        return self.sources

    async def options(self) -> dict[str, Any]:
        """Return options with which games are begun: those of the first opening, or none at all (K05)."""
        return await self._once("options", "K05", self._find_options)

    async def game(self, name: str = "main") -> Game:
        """Return the game of that name: seats and options are the same for all, seed and id are not."""
        describe, sources = await self.describe(), await self.order_sources()
        options = await self.options()
        count = min(max(2, describe.players.min), describe.players.max)
        if sources.openings and sources.openings[0].seats <= describe.players.max:
            count = sources.openings[0].seats
        return self.make_game(name, count, options)

    def make_game(self, name: str, seats: int, options: dict[str, Any]) -> Game:
        """Return a game with that many seats."""
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.settings.seed}/{name}")
        return Game(tuple(range(1, seats + 1)), options, self.seed(f"{name}/init"), str(identity))

    def seed(self, name: object) -> str:
        """Return the seed of a turn or game: 64 hexadecimal digits, always the same for a name."""
        return hashlib.sha256(f"{self.settings.seed}/{name}".encode()).hexdigest()

    async def opening(self) -> Point:
        """Return position 0 of the main game (K06)."""

        async def begin() -> Point:
            engine, game = await self.engine(), await self.game()
            self.trace.restart()
            return point_of(await engine.init(game.init()))

        return await self._once("opening", "K06", begin)

    async def line(self) -> tuple[Step, ...]:
        """Return the first turns of the main game, played straight, with sets that the engine accepted (K18)."""

        async def play() -> tuple[Step, ...]:
            engine, point = await self.engine(), await self.opening()
            self.trace.restart()
            await engine.load(point)
            steps: list[Step] = []
            while len(steps) < _STEPS and not point.position.finished:
                steps.append(await self.step(engine, point))
                point = steps[-1].after
            if not steps:
                raise Skipped("the game is finished before its first turn")
            return tuple(steps)

        return await self._once("line", "K18", play)

    async def ordering(self, point: Point) -> tuple[int, ...]:
        """Return the seats of the main game that may order at a point; what else is awaited is K27's affair."""
        seats = set((await self.game()).seats) - set(point.position.eliminated)
        return tuple(seat for seat in point.position.awaited(seats) if seat in seats)

    async def step(self, engine: Engine, before: Point) -> Step:
        """Play a turn from the position that the engine holds, each awaited seat with a set that was just accepted."""
        sources, awaited = await self.order_sources(), await self.ordering(before)
        sets: dict[int, OrderSet] = {}
        for seat in awaited:
            orders = await sources.choose(engine, before, seat, self.chance)
            if orders is not None:
                sets[seat] = orders
        absent = tuple(seat for seat in awaited if seat not in sets)
        seed = self.seed(before.turn)
        self.trace.restart()
        after = await engine.play(before, sets, seed, absent)  # what was tried on the way must not count
        return Step(before, sets, absent, seed, after)

    async def last_step(self) -> Step:
        """Return the last step of the line, once it is known that what comes of it can be compared."""
        await self.comparable()
        return (await self.line())[-1]

    async def comparable(self) -> None:
        """Return if turns are deterministic (K18) and loading drops orders (K22)."""

        async def compare() -> bool:
            engine, step = await self.engine(), (await self.line())[-1]
            awaited = await self.ordering(step.before)
            replies: list[Reply] = []
            for sets in (dict.fromkeys(awaited, ()), step.sets):
                self.trace.restart()
                await engine.load(step.before)
                for seat, orders in sets.items():
                    await engine.order(seat, step.before.turn, orders)
                await engine.load(step.before)
                replies.append(await engine.turn(step.before.turn, step.seed, awaited))
            first, second = replies
            if first.status == second.status == 200:  # else K24 has something to say
                what = "PUT /v1/state drops orders that were posted before it"
                self.same(point_of(first), point_of(second), what)
            return True

        await self.deterministic()
        await self._once("load_drops_orders", "K22", compare)

    async def deterministic(self) -> None:
        """Return if turns are deterministic on one process and on two (K18); what is compared needs that."""

        async def compare() -> bool:
            engine, steps = await self.engine(), await self.line()
            first = [await self.replay(engine, step) for step in steps]
            await asyncio.sleep(self.settings.pause)
            for step, point in zip(steps, first, strict=True):
                self.trace.restart()
                again = await self.replay(engine, step)
                self.same(again, await self.replay(engine, step), "the same bytes from the same process")
                self.same(point, again, f"the same bytes {self.settings.pause:g} s later")
            other = await self.other()
            for step, point in zip(steps, first, strict=True):
                if other is not None:
                    self.trace.restart()
                    await self.replay(engine, step)
                    self.same(point, await self.replay(other, step), "the same bytes from a second process")
            return True

        await self._once("deterministic", "K18", compare)

    async def replay(self, engine: Engine, step: Step, **changes: Any) -> Point:
        """Load where a step began, play it again, and return the position that comes."""
        step = msgspec.structs.replace(step, **changes)
        return await engine.play(step.before, step.sets, step.seed, step.absent)

    async def all_absent(self) -> Point:
        """Return what comes of the last step's turn if no seat sends anything (K24)."""

        async def play() -> Point:
            engine, step = await self.engine(), await self.last_step()
            self.trace.restart()
            return await engine.play(step.before, {}, step.seed, await self.ordering(step.before))

        return await self._once("all_absent", "K24", play)

    async def once(self, key: str, check: str, make: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `make` returns, made once; its failure is that of `check`, and skips all others that ask."""
        return await self._once(key, check, make)

    @staticmethod
    def same(expected: Point, came: Point, what: str) -> None:
        """Raise `Failed` unless two answers are the same bytes."""
        if expected.body != came.body:
            raise Failed("two answers differ", expected=what, came=first_difference(expected.body, came.body))

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _once(self, key: str, check: str, make: Callable[[], Awaitable[_T]]) -> _T:
        if key not in self._memo:
            try:
                self._memo[key] = await make()
            except Finding as finding:
                finding.calls = finding.calls or self.trace.curl(check)
                self._memo[key] = finding
        made = self._memo[key]
        if not isinstance(made, Finding):
            return cast("_T", made)
        if self.current == check or isinstance(made, Skipped):
            raise made
        what = f"needs {check}: {made}; expected {made.expected}, came {made.came}"
        raise Skipped(what, cause=check)

    async def _find_options(self) -> dict[str, Any]:
        describe, sources = await self.describe(), await self.order_sources()
        self.trace.restart()
        await (await self.engine()).describe()  # for the trace
        fault = schema_fault(describe.options_schema)
        if fault:
            raise Failed("options_schema is not a JSON Schema", expected="a JSON Schema", came=fault)
        tried: Sequence[dict[str, Any]] = [
            *({} if opening.options is UNSET else opening.options for opening in sources.openings),
            {},
        ]
        found = [option_faults(describe.options_schema, options) for options in tried]
        if bad := next((faults for faults in found[:-1] if faults), None):
            raise Failed(
                "options of an example break options_schema", expected="options that pass", came="; ".join(bad)
            )
        if len(tried) == 1 and found[0]:
            expected = "{} passes, or there are examples with options that do"
            raise Failed("nobody can know which options are valid", expected=expected, came="; ".join(found[0]))
        return dict(tried[0])
