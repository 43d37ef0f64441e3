"""Orders: judged by the engine before they are committed, "accepted" only after it (SPEC R-8, R-9).

What a crash leaves behind, by where the process dies: while the engine is asked, nothing, and an engine that takes
orders by the call of a turn holds a set that nobody will use, since a turn loads it again; a lease on its memory ends
by itself, and a turn waits for that. In the commit (`orders.commit`), all or nothing: the set, its mark in the record,
and a turn that it makes due. After it, the set counts, whether or not its player heard so; sent again it is the same
set.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw

from galaxy_contracts.runtime import Question, Receipt, StoredOrders, Submission
from galaxy_engine.failures import EngineError, EngineFailure, EngineRefused, EngineTimeout
from galaxy_engine.messages import Options, Orders, Verdict
from galaxy_kernel.api import Cache, Connection, Context, KeyedLocks, Problem, conflict, invalid, not_found, request_id
from galaxy_runtime.caches import Record
from galaxy_runtime.clocks.service import ClockService
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.engines.domain import Engine, Engines, broke_off
from galaxy_runtime.errors import engine_busy, engine_failed, orders_changed, orders_refused
from galaxy_runtime.orders import queries
from galaxy_runtime.orders.commit import OrderCommits
from galaxy_runtime.orders.domain import LEASE, PATIENCE, OpenTurn, encoded, refused_orders
from galaxy_runtime.orders.queries import NewSet
from galaxy_runtime.settings import RuntimeSettings

T = TypeVar("T")

_ORDERS: msgspec.json.Decoder[Orders] = msgspec.json.Decoder(Orders)
_POLL = 0.05
"""Seconds between two looks for the end of another's lease on an engine's memory."""
_MARGIN = 0.5
"""Seconds before the end of a lease at which its holder gives up."""


class OrderService:
    """What players do with their seats, as far as the engine and the clock are concerned."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        clocks: ClockService,
        engines: Engines,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._clocks, self._engines = clocks, engines
        self._commits = OrderCommits(context, cache, time)
        self._locks = KeyedLocks()

    async def put(self, game_id: UUID, seat: int, submission: Submission) -> Receipt:
        """Have a set judged and committed; see the contract."""
        document = encoded(submission.orders)
        await self._check_open(game_id, submission.turn, seat)
        verdict = await self._judge(game_id, seat, Orders(submission.turn, tuple(submission.orders)))
        if not verdict.accepted:
            raise orders_refused(refused_orders(verdict))
        given = NewSet(game_id=game_id, seat=seat, submission=submission, document=document, request_id=request_id())
        if (stored := await self._commits.put(given)) is None:
            raise await self._why_not(game_id, seat, submission.turn)
        return Receipt(turn=submission.turn, revision=stored.revision, final=submission.final)

    async def stored(self, connection: Connection, game_id: UUID, seat: int) -> StoredOrders | None:
        """Return a seat's set for the current turn; see the contract."""
        return await queries.find_orders(connection, game_id, seat)

    async def ask(self, game_id: UUID, seat: int, question: Question, body: bytes | None) -> bytes:
        """Put a question to the engine; see the contract.

        Raise the problems 409 `options_unsupported` and `validate_unsupported` where it does not have the capability.
        """
        if question == "options":
            return msgspec.json.encode(await self._options(game_id, seat))
        try:
            orders = _ORDERS.decode(body or b"")
        except msgspec.MsgspecError as error:
            raise invalid("orders", f"is not a set of orders: {error}") from None
        encoded(orders.orders)
        await self._check_open(game_id, orders.turn, seat)
        return msgspec.json.encode(await self._judge(game_id, seat, orders, keep=False))

    async def _judge(self, game_id: UUID, seat: int, orders: Orders, *, keep: bool = True) -> Verdict:
        """Return the engine's verdict. `keep`: an engine that cannot judge otherwise may have the set."""

        async def judge(engine: Engine) -> Verdict:
            if not engine.describe.can("validate"):
                if not keep:
                    raise conflict("validate_unsupported", "This engine does not judge orders before they are sent.")
                return await self._loaded(game_id, orders.turn, engine, lambda: engine.client.order(seat, orders))
            try:
                return await engine.client.validate(seat, orders)
            except EngineRefused:  # it holds another turn, or nothing
                return await self._loaded(game_id, orders.turn, engine, lambda: engine.client.validate(seat, orders))

        return await self._ask(game_id, judge)

    async def _options(self, game_id: UUID, seat: int) -> Options:
        turn = (await self._open_turn(game_id)).turn
        await self._check_open(game_id, turn, seat)

        async def find(engine: Engine) -> Options:
            if not engine.describe.can("options"):
                raise conflict("options_unsupported", "This engine does not list the orders that are possible.")
            try:
                options = await engine.client.options(seat)
                if options.turn == turn:
                    return options
            except EngineRefused:
                pass
            return await self._loaded(game_id, turn, engine, lambda: engine.client.options(seat))

        return await self._ask(game_id, find)

    async def _ask(self, game_id: UUID, question: Callable[[Engine], Awaitable[T]]) -> T:
        """Return what the game's engine answers. Its failures become problems.

        It is asked again where a call broke off, once it was looked at: memory may have known one that is gone. One
        that took too long is not.
        """
        try:
            engine = await self._engines.open(game_id, PATIENCE)
            try:
                return await self._watched(game_id, question(engine))
            except EngineRefused:
                raise
            except EngineError:
                engine = await self._engines.open(game_id, PATIENCE)
                return await self._watched(game_id, question(engine))
        except EngineFailure as failure:
            raise engine_failed(failure) from failure

    async def _watched(self, game_id: UUID, answer: Awaitable[T]) -> T:
        """Return an engine's answer; a call that breaks off makes the engine suspect."""
        try:
            return await answer
        except EngineFailure as failure:
            if broke_off(failure):
                self._engines.suspect(game_id)
            raise

    async def _loaded(self, game_id: UUID, turn: int, engine: Engine, call: Callable[[], Awaitable[T]]) -> T:
        """Load the current position into an engine and call it, while nobody else does and no turn runs."""
        async with self._locks.hold(game_id):
            lease, state = await self._borrowed(game_id, turn)
            try:
                async with asyncio.timeout(LEASE.total_seconds() - _MARGIN):
                    await engine.client.load(turn, Raw(state))
                    return await call()
            except TimeoutError:
                raise EngineTimeout(f"the engine of game {game_id} took too long to load its position") from None
            finally:
                await asyncio.shield(self._give_back(game_id, lease))

    async def _borrowed(self, game_id: UUID, turn: int) -> tuple[int, bytes]:
        """Return the lease on an engine's memory, and the position. Raise the problem that stands in the way."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LEASE.total_seconds()
        while True:
            async with self._context.database.transaction() as connection:
                row = await queries.borrow(connection, game_id, turn)
            if row is not None:
                return row.order_lease, bytes(row.state)
            now = await self._open_turn(game_id)
            if (refusal := now.refusal(turn, now.awaiting[0] if now.awaiting else 0)) is not None:
                raise refusal
            if loop.time() > until:
                raise engine_busy()
            await asyncio.sleep(_POLL)

    async def _give_back(self, game_id: UUID, lease: int) -> None:
        async with self._context.database.transaction() as connection:
            await queries.give_back(connection, game_id, lease)

    async def _check_open(self, game_id: UUID, turn: int, seat: int) -> None:
        """Return if a seat may order for a turn: by memory, or else by the database. Raise the problem if not."""
        record = self._cache.get(game_id)
        if record is not None and record.made_at is not None:
            known = OpenTurn(turn=record.turn, closed=record.closed(self._clocks.now()), awaiting=record.awaiting)
            if known.refusal(turn, seat) is None:
                return
        refusal = (await self._open_turn(game_id)).refusal(turn, seat)
        if refusal is not None:
            raise refusal

    async def _open_turn(self, game_id: UUID) -> OpenTurn:
        async with self._context.database.reading() as connection:
            found = await queries.find_open_turn(connection, game_id, self._time.shift)
        if found is None:
            raise not_found("running game")
        return found

    async def _why_not(self, game_id: UUID, seat: int, turn: int) -> Problem:
        """Return why a set was not stored."""
        refusal = (await self._open_turn(game_id)).refusal(turn, seat)
        if refusal is not None:
            return refusal
        async with self._context.database.reading() as connection:
            stored = await queries.find_orders(connection, game_id, seat)
        return orders_changed(0 if stored is None else stored.revision)
