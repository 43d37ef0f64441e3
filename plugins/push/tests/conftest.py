"""Booted backends, and gateways that subscribe to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from sqlalchemy import text

from galaxy_contracts.proto.push_pb2 import Event, Frame, Opening, SubscribeRequest
from galaxy_contracts.push import PUSH, PushEvent
from galaxy_devkit.testing import GATEWAY_TOKEN, Boot, Booted
from galaxy_kernel.api import Database
from galaxy_push.plugin import PushPlugin

METHOD = "/galaxy.push.v1.Push/Subscribe"
AUTHORISED = (("x-gateway-token", GATEWAY_TOKEN),)
ALONE = [("grpc.use_local_subchannel_pool", 1)]
"""Options of a channel that shares its connection with no other of the process."""


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition that background work brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # there is no event for it
            await asyncio.sleep(0.005)


def subscription(channel: Any, *, metadata: Any = AUTHORISED, **request: str) -> Any:
    """Call the method."""
    method = channel.unary_stream(
        METHOD, request_serializer=SubscribeRequest.SerializeToString, response_deserializer=Frame.FromString
    )
    return method(SubscribeRequest(**{"gateway_id": "gateway-1", **request}), metadata=metadata)


async def ended(stream: Any) -> tuple[grpc.StatusCode, str]:
    """Read a stream to its end and return why it ended."""
    try:
        async with asyncio.timeout(30):
            while await stream.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return await stream.code(), await stream.details()


@dataclass
class Gateway:
    """A gateway: keeps received events in order, and its cursor from one subscription to the next."""

    name: str = "gateway-1"
    cursor: str = ""
    events: list[Event] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    """The number of events in each frame."""

    @property
    def numbers(self) -> list[int]:
        """The `n` of each event's payload."""
        return [json.loads(event.payload)["n"] for event in self.events]

    @asynccontextmanager
    async def subscribed(self, address: str) -> AsyncIterator[None]:
        """Listen in the background, until the block's end cuts the connection."""
        async with grpc.aio.insecure_channel(address, options=ALONE) as channel:
            stream = subscription(channel, gateway_id=self.name, cursor=self.cursor)
            self._take(await stream.read())
            task = asyncio.create_task(self._listen(stream))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                stream.cancel()

    async def _listen(self, stream: Any) -> None:
        while (frame := await stream.read()) is not grpc.aio.EOF:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.HasField("opening"):
            assert not frame.events
            self.openings.append(frame.opening)
            self.cursor = frame.opening.cursor
            return
        self.frames.append(len(frame.events))
        self.events += frame.events
        self.cursor = frame.events[-1].cursor

    async def heard(self, number: int) -> None:
        """Wait until it has received so many events."""
        await until(lambda: len(self.events) >= number)


def numbered_events(*numbers: int, fill: int = 0, **fields: Any) -> Sequence[PushEvent]:
    """Make events with these numbers in their payloads, and so many additional bytes."""
    target: dict[str, UUID] = {} if "session_id" in fields else {"account_id": uuid4()}
    more = {"fill": "x" * fill} if fill else {}
    return [PushEvent(**{"kind": "test.happened", "payload": {"n": n, **more}, **target, **fields}) for n in numbers]


@dataclass
class Backend:
    """A booted kernel with the plugin, and what tests do to it."""

    booted: Booted

    @property
    def database(self) -> Database:
        return self.booted.database

    @property
    def address(self) -> str:
        """Where gateways subscribe."""
        assert self.booted.kernel.rpc is not None
        return self.booted.kernel.rpc.address

    @asynccontextmanager
    async def call(self, *, metadata: Any = AUTHORISED, **request: str) -> AsyncIterator[Any]:
        """Begin a bare subscription, on a connection of its own."""
        async with grpc.aio.insecure_channel(self.address, options=ALONE) as channel:
            yield subscription(channel, metadata=metadata, **request)

    async def refusal(self, *, metadata: Any = AUTHORISED, **request: str) -> tuple[grpc.StatusCode, str]:
        """Subscribe, and return why the stream ended."""
        async with self.call(metadata=metadata, **request) as stream:
            return await self.ended(stream)

    events = staticmethod(numbered_events)
    new_key = staticmethod(uuid4)
    ended = staticmethod(ended)
    until = staticmethod(until)

    @property
    def push(self) -> Any:
        """The plugin's service, by the contract it provides."""
        return self.booted.kernel.services.require(PUSH, asked_by="the test")

    async def publish(self, *numbers: int, **fields: Any) -> None:
        """Publish events with these numbers in their payloads, in one transaction."""
        async with self.database.transaction() as connection:
            await self.push.publish(connection, numbered_events(*numbers, **fields))

    @property
    def plugin(self) -> Any:
        """The plugin itself, to inspect its state."""
        return self.booted.kernel.assembly.plugins._manager.get_plugin("push")

    @property
    def subscribers(self) -> int:
        """Open subscriptions."""
        return int(self.plugin._subscriptions._metrics.subscribers)

    async def tell(self, fact: Any) -> None:
        """Record a fact as its plugin would."""
        shared = self.booted.kernel.assembly.require_resources()
        async with self.database.transaction() as connection:
            await shared.facts.record(connection, fact)

    async def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Read from the database."""
        async with self.database.reading() as connection:
            return [tuple(row) for row in await connection.execute(text(query), values)]

    async def end(self) -> str:
        """Return the cursor after the last event."""
        [(generation, last)] = await self.rows("SELECT generation, last_seq FROM push_state")
        return f"{generation}-{last}"

    async def numbered(self, number: int) -> None:
        """Wait until so many events are numbered."""
        async with asyncio.timeout(30):
            while await self.rows("SELECT count(*) FROM push_events WHERE seq IS NOT NULL") != [(number,)]:
                await asyncio.sleep(0.01)

    async def arrived(self, kind: str) -> None:
        """Wait until an event of a kind is numbered."""
        query = "SELECT count(*) FROM push_events WHERE kind = :kind AND seq IS NOT NULL"
        async with asyncio.timeout(30):
            while await self.rows(query, kind=kind) == [(0,)]:
                await asyncio.sleep(0.01)

    async def gone(self, account_id: UUID) -> None:
        """Wait until there are no more events for an account."""
        query = "SELECT count(*) FROM push_events WHERE account_id = :id"
        async with asyncio.timeout(30):
            while await self.rows(query, id=account_id) != [(0,)]:
                await asyncio.sleep(0.01)

    def forget_memory(self) -> None:
        """Empty the backend's hub, so that subscribers read the table."""
        hub = self.plugin._reader._hub
        hub._drop_to(hub.head)

    def count_pages(self) -> Callable[[], int]:
        """Return a function that counts subscribers' reads of the table from now on."""
        subscriptions, number = self.plugin._subscriptions, 0
        read = subscriptions._page

        async def counted(after: Any) -> Any:
            nonlocal number
            number += 1
            return await read(after)

        subscriptions._page = counted
        return lambda: number

    async def age(self, interval: str) -> None:
        """Make the events older than they are."""
        await self.run(
            "UPDATE push_events SET numbered_at = numbered_at - CAST(CAST(:age AS text) AS interval)", age=interval
        )

    async def trim(self) -> None:
        """Run the trimming worker's passes."""
        workers = dict(self.booted.kernel.assembly.plugins.call("backend_workers"))["push"]
        run = next(worker.run for worker in workers if worker.name == "push.trim")
        while await run():
            pass

    async def run(self, statement: str, **values: Any) -> None:
        """Change the database behind the plugin's back."""
        async with self.database.transaction() as connection:
            await connection.execute(text(statement), values)


@pytest.fixture
def gateway() -> Gateway:
    """Return a gateway that has not subscribed yet."""
    return Gateway()


@pytest.fixture
def make_gateway() -> type[Gateway]:
    """Return a function that makes a gateway of a name."""
    return Gateway


@pytest.fixture
async def make_backend(boot: Boot) -> AsyncIterator[Any]:
    """Return a function that boots a backend; `beside` another one, as a replica on the same database."""
    async with AsyncExitStack() as stack:

        async def make(beside: Backend | None = None, *more: type[Any], dsn: str | None = None, **settings: str) -> Any:
            environment = {f"BACKEND_PUSH_{name.upper()}": value for name, value in settings.items()}
            dsn = beside.booted.dsn if beside else dsn
            return Backend(await stack.enter_async_context(boot(PushPlugin, *more, environment=environment, dsn=dsn)))

        yield make


@pytest.fixture
async def settled(backend: Backend) -> Backend:
    """Return a backend whose reader has made its first pass."""
    await until(lambda: backend.plugin._reader._looked_at is not None)
    return backend


@pytest.fixture
async def backend(make_backend: Any) -> Backend:
    """Return a backend with default settings."""
    made: Backend = await make_backend()
    return made
