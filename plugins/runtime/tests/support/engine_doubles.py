"""An engine in this process, a host that starts such engines, and an owner of games that notes what it is told."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

from galaxy_contracts.database import Connection
from galaxy_contracts.runtime import Failure, PositionMade
from galaxy_engine.drivers.driver import EngineSpec, Observed, Prepared, PullPolicy

Hook = Callable[[str, Any], Awaitable[web.StreamResponse | None]]
"""Called with the name of a call and its body; what it returns is answered in place of the engine's own answer."""


class DoubleEngine:
    """A small engine that speaks the contract: its state lists the orders of every turn.

    An order `{"bad": true}` is refused. `last` is the turn at which the game is finished, with seat 1 as its winner.
    """

    def __init__(
        self, capabilities: Sequence[str] = ("validate", "options", "suggest", "bundle"), last: int = 1_000_000
    ) -> None:
        self.last = last
        self.described: dict[str, Any] = {
            "contract": 1,
            "engine": "double",
            "version": "1.0.0",
            "players": {"min": 1, "max": 8},
            "capabilities": list(capabilities),
            "examples": [{"seats": 2, "turns": [{"1": [{"go": 1}]}]}],
        }
        self.hook: Hook | None = None
        self.awaiting: Callable[[int, list[int]], list[int]] | None = None
        """Which seats are awaited before a turn: all unless set."""
        self.eliminated: list[int] = []
        self.calls: list[str] = []
        self.state: dict[str, Any] | None = None
        self.orders: dict[int, Any] = {}
        self.address = ""
        self.token: str | None = None
        """Calls without it are answered with 401, where it is set."""
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port of the loopback; return the address."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.address = f"127.0.0.1:{port}"
        return self.address

    async def stop(self) -> None:
        """Stop listening, as an engine that dies."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, raw = request.path, await request.read()
        body = json.loads(raw) if raw else None
        parts = path.strip("/").split("/")
        name = parts[-1] if request.method != "PUT" else "state"
        self.calls.append(name)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"code": "unauthorized", "message": "no"}, status=401)
        if self.hook is not None and (answer := await self.hook(name, body)) is not None:
            return answer
        seat = int(parts[2]) if parts[1:2] == ["seats"] else 0
        handler = getattr(self, f"_{name}")
        return handler(body, seat)  # type: ignore[no-any-return]

    def _healthz(self, body: Any, seat: int) -> web.Response:
        return web.Response(text="ok")

    def _describe(self, body: Any, seat: int) -> web.Response:
        return web.json_response(self.described)

    def _init(self, body: Any, seat: int) -> web.Response:
        seats = [each["seat"] for each in body["seats"]]
        self.state = {"turn": 0, "seats": seats, "seed": body["seed"], "log": [], "options": body["options"]}
        return self._position()

    def _state(self, body: Any, seat: int) -> web.Response:
        self.state, self.orders = body["state"], {}
        return web.Response(status=204)

    def _judge(self, body: Any) -> dict[str, Any] | None:
        assert self.state is not None
        if body["turn"] != self.state["turn"]:
            return None
        errors = [
            {"index": place, "code": "bad", "message": "bad order"}
            for place, order in enumerate(body["orders"])
            if isinstance(order, dict) and order.get("bad")
        ]
        return {"accepted": not errors, "errors": errors}

    def _orders(self, body: Any, seat: int) -> web.Response:
        verdict = self._judge(body)
        if verdict is None:
            return web.json_response({"code": "wrong_turn", "message": "wrong turn"}, status=409)
        if verdict["accepted"]:
            self.orders[seat] = body["orders"]
        return web.json_response(verdict)

    def _validate(self, body: Any, seat: int) -> web.Response:
        if self.state is None or (verdict := self._judge(body)) is None:
            return web.json_response({"code": "wrong_turn", "message": "wrong turn"}, status=409)
        return web.json_response(verdict)

    def _options(self, body: Any, seat: int) -> web.Response:
        if self.state is None:
            return web.json_response({"code": "no_state", "message": "nothing is loaded"}, status=409)
        return web.json_response({"turn": self.state["turn"], "orders": [{"seat": seat}], "complete": True})

    def _suggest(self, body: Any, seat: int) -> web.Response:
        return web.json_response({"turn": body["turn"], "orders": [{"machine": seat}]})

    def _turns(self, body: Any, seat: int) -> web.Response:
        if "state" in body:
            self.state = body["state"]
            self.orders = {int(each): orders for each, orders in body.get("orders", {}).items()}
        assert self.state is not None
        if body["turn"] != self.state["turn"]:
            return web.json_response({"code": "wrong_turn", "message": "wrong turn"}, status=409)
        used = {str(each): self.orders.get(each) for each in sorted(self.state["seats"])}
        entry = {"orders": used, "absent": body["absent"], "vacant": body.get("vacant", []), "seed": body["seed"]}
        self.state = {**self.state, "turn": self.state["turn"] + 1, "log": [*self.state["log"][-3:], entry]}
        self.orders = {}
        return self._position()

    def _position(self) -> web.Response:
        assert self.state is not None
        turn, seats = self.state["turn"], self.state["seats"]
        position: dict[str, Any] = {
            "turn": turn,
            "state": self.state,
            "reports": {str(seat): {"text": f"turn {turn} for seat {seat}"} for seat in seats},
            "public_report": {"text": f"turn {turn}"},
            "eliminated": self.eliminated,
        }
        if self.awaiting is not None:
            position["awaiting"] = self.awaiting(turn, seats)
        if turn >= self.last:
            position |= {"finished": True, "result": {"winners": [seats[0]]}}
        return web.json_response(position)


class DoubleHost:
    """A driver (`EngineDriver`) whose engines are servers in this process; several may share `engines`."""

    name = "double"

    def __init__(
        self, owner: str, engines: "dict[str, tuple[EngineSpec, DoubleEngine, Observed]] | None" = None
    ) -> None:
        self.owner = owner
        self.engines = {} if engines is None else engines
        """By name."""
        self.make: Callable[[EngineSpec], DoubleEngine] = lambda spec: DoubleEngine()
        self.failure: Exception | None = None
        """Raised by every call, as an unreachable host would."""
        self.hook: Callable[[str], Awaitable[None]] | None = None
        """Called before each call with its name; may raise."""
        self.launches: list[EngineSpec] = []
        self.removed: list[str] = []
        self.hints: asyncio.Queue[UUID] = asyncio.Queue()

    async def check(self) -> None:
        await self._called("check")

    async def prepare(self, image: str, policy: PullPolicy) -> Prepared:
        await self._called("prepare")
        return Prepared(image)

    async def launch(self, spec: EngineSpec) -> Observed:
        await self._called("launch")
        if spec.id.name in self.engines:
            return self.engines[spec.id.name][2]
        engine = self.make(spec)
        engine.token = spec.environment.get("GALAXY_TOKEN")
        address = await engine.start()
        handle = hashlib.sha256(spec.id.name.encode()).hexdigest()
        seen = Observed(spec.id, handle, spec.image, "running", address, datetime.now(UTC))
        self.engines[spec.id.name] = (spec, engine, seen)
        self.launches.append(spec)
        return seen

    async def remove(self, handle: str, grace: timedelta) -> None:
        await self._called("remove")
        for name, (_, engine, seen) in list(self.engines.items()):
            if seen.handle == handle:
                del self.engines[name]
                self.removed.append(name)
                await engine.stop()

    async def observe(self, game_id: UUID | None = None) -> Sequence[Observed]:
        await self._called("observe")
        every = [seen for _, _, seen in self.engines.values() if seen.id.owner == self.owner]
        return [seen for seen in every if game_id is None or seen.id.game_id == game_id]

    async def watch(self) -> AsyncIterator[UUID]:
        while True:
            yield await self.hints.get()

    async def logs(self, handle: str, tail: int) -> str:
        await self._called("logs")
        return f"the log of {handle[:8]}"

    async def close(self) -> None:
        pass

    def engine_of(self, game_id: UUID) -> DoubleEngine:
        """Return the newest engine of a game."""
        found = [
            (spec.id.generation, engine) for spec, engine, _ in self.engines.values() if spec.id.game_id == game_id
        ]
        return max(found, key=lambda each: each[0])[1]

    async def kill(self, game_id: UUID, *, exit_code: int = 137, oom: bool = False) -> None:
        """Have a game's running engine end."""
        for name, (spec, engine, seen) in list(self.engines.items()):
            if spec.id.game_id == game_id and seen.state == "running":
                await engine.stop()
                ended = Observed(
                    seen.id, seen.handle, seen.image, "ended", None, seen.started_at, exit_code, oom, "killed"
                )
                self.engines[name] = (spec, engine, ended)
                self.hints.put_nowait(game_id)

    async def _called(self, name: str) -> None:
        if self.hook is not None:
            await self.hook(name)
        if self.failure is not None:
            raise self.failure


class NotedTable:
    """A `GameTable` that keeps what it is told; told things of transactions that rolled back too."""

    def __init__(self) -> None:
        self.made: list[PositionMade] = []
        self.failed: list[tuple[UUID, Failure]] = []
        self.halts: list[tuple[UUID, Failure]] = []
        self.moved: list[tuple[UUID, datetime, str]] = []
        self.reminded: list[tuple[UUID, int, tuple[int, ...]]] = []
        self.refuse: Callable[[PositionMade], Exception | None] = lambda made: None

    async def position_made(self, connection: Connection, made: PositionMade) -> None:
        await self.positions_made(connection, [made])

    async def positions_made(self, connection: Connection, made: Sequence[PositionMade]) -> None:
        for each in made:
            if (error := self.refuse(each)) is not None:
                raise error
        self.made += made

    async def start_failed(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        self.failed.append((game_id, failure))

    async def halted(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        self.halts.append((game_id, failure))

    async def postponed(self, connection: Connection, game_id: UUID, until: datetime, reason: str) -> None:
        self.moved.append((game_id, until, reason))

    async def deadline_near(self, connection: Connection, game_id: UUID, turn: int, seats: Sequence[int]) -> None:
        self.reminded.append((game_id, turn, tuple(seats)))
