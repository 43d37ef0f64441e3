"""Clients that return with a cursor: each event once, in order, from the ring or from the backend."""

import asyncio
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import NoOpMeter

from galaxy_chassis.clock import ManualClock
from galaxy_contracts.proto.push_pb2 import Event, ReplayRequest, ReplayResponse
from galaxy_gateway.callers import Caller
from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.hub import Hub
from galaxy_gateway.streams.messages import Message
from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.resume import Resumer
from galaxy_gateway.streams.ring import Bounds
from galaxy_gateway.streams.sse import SERVER_SENT_EVENTS
from galaxy_gateway.streams.stream import Stream


async def test_a_short_absence_is_answered_from_the_ring(backend: Any, gateway: Any) -> None:
    """A client that returns soon gets what it missed, once, and the backend is not asked."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1)
    await client.heard(1)
    client.close()
    await backend.publish(2, 3)
    await backend.publish(4, account_id="bob")
    await gateway.caught_up(backend)
    again = await gateway.open(last=client.last_id)
    await gateway.live(1)
    await backend.publish(5)
    await again.heard(3)
    assert (again.numbers, backend.replays) == ([2, 3, 5], [])


async def test_a_gateway_that_was_not_there_asks_the_backend(backend: Any, make_gateway: Any) -> None:
    """A cursor from before this gateway began is resumed by pages of the account's events."""
    await backend.publish(*range(1, 8))
    await backend.publish(100, account_id="bob")
    await backend.publish(8, session_id="s1")
    await backend.publish(101, session_id="s2")
    backend.page = 3
    gateway = await make_gateway(backend.address)
    client = await gateway.open(last=backend.cursor(2))
    await gateway.live(1)
    await backend.publish(9)
    await client.heard(7)
    assert client.numbers == [3, 4, 5, 6, 7, 8, 9]
    assert [request.after for request in backend.replays] == ["g1-2", "g1-5"]
    assert {(request.account_id, request.session_id, request.up_to) for request in backend.replays} == {
        ("alice", "s1", "g1-10")
    }


async def test_what_comes_while_older_events_are_read_is_neither_lost_nor_doubled(
    backend: Any, make_gateway: Any
) -> None:
    """Events that arrive in the middle of a replay follow it, in order."""
    await backend.publish(1, 2)
    gateway = await make_gateway(backend.address)

    async def meanwhile() -> None:
        await backend.publish(backend.last + 1)
        await gateway.caught_up(backend)

    backend.before_replay, backend.page = meanwhile, 1
    client = await gateway.open(last=backend.cursor(0))
    await gateway.live(1)
    await backend.publish(backend.last + 1)
    await client.heard(backend.last)
    assert client.numbers == list(range(1, backend.last + 1))
    assert len(backend.replays) >= 2


@pytest.mark.parametrize("last", ["7", "g0-1", "nonsense", "g1-", "-3", "g1-x", "g1-1" + 200 * "0"])
async def test_a_cursor_of_another_stream_brings_a_resync(backend: Any, gateway: Any, last: str) -> None:
    """A cursor without generation, of another one, or malformed is answered by a resync, and events go on."""
    await backend.publish(1)
    await gateway.caught_up(backend)
    client = await gateway.open(last=last)
    await gateway.live(1)
    await backend.publish(2)
    await client.heard(2)
    assert client.events[0] == {"id": "g1-1", "event": "resync", "data": "{}"}
    assert client.numbers == [2]


async def test_a_cursor_that_the_backend_does_not_keep_brings_a_resync(backend: Any, make_gateway: Any) -> None:
    """Where the backend has removed what follows, the client fetches its state again."""
    await backend.publish(1, 2, 3)
    backend.trimmed = 2
    gateway = await make_gateway(backend.address)
    client = await gateway.open(last=backend.cursor(1))
    await gateway.live(1)
    await backend.publish(4)
    await client.heard(2)
    assert (client.kinds, client.numbers) == (["resync", "test.happened"], [4])
    assert client.events[0]["id"] == "g1-3"


async def test_a_cursor_ahead_of_this_gateway_gets_nothing_twice(backend: Any, gateway: Any) -> None:
    """A client that another gateway has sent more than this one has yet skips what it has."""
    client = await gateway.open(last="g1-2")
    await gateway.live(1)
    await backend.publish(1, 2, 3)
    await client.heard(1)
    assert client.numbers == [3]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_a_backend_that_cannot_answer_is_asked_again(backend: Any, make_gateway: Any, code: Any) -> None:
    """A failed read of older events is repeated; the stream stays open meanwhile."""
    await backend.publish(1, 2)
    backend.replay_codes = [code, code]
    gateway = await make_gateway(backend.address)
    client = await gateway.open(last=backend.cursor(0))
    await client.heard(2)
    assert (client.numbers, len(backend.replays)) == ([1, 2], 3)


async def test_a_backend_that_cannot_replay_brings_a_resync(backend: Any, make_gateway: Any) -> None:
    """A backend without Replay is not asked again: the client fetches its state."""
    await backend.publish(1, 2)
    backend.replay_codes = [grpc.StatusCode.UNIMPLEMENTED]
    gateway = await make_gateway(backend.address)
    client = await gateway.open(last=backend.cursor(0))
    await client.heard(1)
    assert (client.kinds, len(backend.replays)) == (["resync"], 1)


async def test_a_revocation_that_is_replayed_ends_the_stream(backend: Any, make_gateway: Any) -> None:
    """A client whose session ended before this gateway began gets nothing that follows that."""
    await backend.publish(1)
    await backend.revoke("s1")
    await backend.publish(2)
    gateway = await make_gateway(backend.address)
    client = await gateway.open(last="g1-0")
    await client.until(lambda: client.ended)
    assert client.kinds == ["test.happened", "session.revoked"]


async def test_many_clients_resume_with_few_reads_at_a_time(backend: Any, make_gateway: Any) -> None:
    """200 clients that return to a new gateway each get all they missed; the backend has at most so many reads."""
    for n in range(1, 6):
        for who in range(200):
            await backend.publish(n, account_id=f"player-{who}")
    gateway = await make_gateway(backend.address, replays=4)
    clients = await asyncio.gather(*(gateway.open(f"player-{who}", f"s{who}", "g1-0") for who in range(200)))
    await gateway.live(200)
    await asyncio.gather(*(client.heard(5) for client in clients))
    assert all(client.numbers == [1, 2, 3, 4, 5] for client in clients)
    assert 1 <= backend.most_replaying <= 4


async def test_an_idle_clients_heartbeats_move_its_cursor(backend: Any, gateway: Any) -> None:
    """Others' events make a client's cursor no older: its id follows with each heartbeat."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(*range(50), account_id="bob")
    await gateway.caught_up(backend)
    for _ in range(15):
        gateway.hub.tick()
    await client.until(lambda: client.last_id == "g1-50")


async def test_a_heartbeat_moves_no_cursor_back(backend: Any, gateway: Any) -> None:
    """A client that is ahead of this gateway keeps its cursor."""
    client = await gateway.open(last="g1-9")
    await gateway.live(1)
    for _ in range(15):
        gateway.hub.tick()
    await client.until(lambda: len(client.blocks) == 2)
    assert client.last_id == ""


class Recorder:
    """A transport that keeps what is written; after every second message it asks to wait."""

    def __init__(self) -> None:
        self.data = b""
        self._writes = 0

    def write(self, data: bytes) -> None:
        self.data += data
        self._writes += 1

    def get_write_buffer_size(self) -> int:
        return 0 if self._writes % 2 else 500

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("it is never cut off")

    async def drain(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def ids(self) -> list[int]:
        """The number of each event, in the order in which they were written."""
        return [int(block.split(b"\n")[0].rpartition(b"-")[2]) for block in self.data.split(b"\n\n")[:-1]]


class Log:
    """The backend's events; what it replays is what it has numbered, whether or not the hub has it already."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.limit = 1
        self.busy = asyncio.Event()
        self.busy.set()

    def messages(self, start: int, end: int) -> list[Message]:
        """Return the events with these numbers."""
        return [
            Message(number, f"g-{number}", self.targets[number - 1], "a.b", "{}") for number in range(start, end + 1)
        ]

    async def replay(self, request: ReplayRequest, timeout: float) -> ReplayResponse:
        """Answer as the backend does, when the test lets it."""
        await self.busy.wait()
        after, up_to = (int(cursor.rpartition("-")[2]) for cursor in (request.after, request.up_to))
        own = [each for each in self.messages(after + 1, up_to) if each.target in ("a", "s")]
        events = [Event(cursor=each.cursor, account_id=each.target, kind="a.b", payload="{}") for each in own]
        return ReplayResponse(events=events[: self.limit], more=len(own) > self.limit)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.sampled_from("asbx"), min_size=1, max_size=5)),
        st.tuples(st.just("resume"), st.integers(0, 60)),
        st.tuples(st.just("let"), st.integers(0, 8)),
        st.tuples(st.just("block"), st.just(0)),
        st.tuples(st.just("unblock"), st.integers(1, 4)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, kept=st.integers(1, 6), begin=st.integers(0, 10))
def test_any_interleaving_brings_each_event_once_and_in_order(
    steps: list[tuple[str, Any]], kept: int, begin: int
) -> None:
    """Whatever the ring keeps, whenever pages come and events arrive, a stream has exactly its own after its cursor."""
    asyncio.run(_interleave(steps, kept, begin))


async def test_what_comes_while_a_client_reads_is_not_lost() -> None:
    """An event that arrives while the stream waits for its client, in the middle of what it missed, follows that."""
    steps: list[tuple[str, Any]] = [("publish", "aaaa"), ("resume", 0), ("let", 1), ("publish", "a"), ("let", 9)]
    await _interleave([*steps, ("publish", "a")], kept=10, begin=0)


def test_an_event_that_comes_twice_is_passed_on_once() -> None:
    """A backend that repeats itself, as none should, makes nothing double."""
    log = Log()
    log.targets = ["a", "a", "a"]
    hub = Hub(Bounds(3600.0, 10, 10**9), 15, ManualClock(), Metrics(NoOpMeter("test")))
    hub.opened(Cursor("g", 0), resync=False)
    hub.publish(log.messages(1, 2))
    hub.publish(log.messages(1, 3))
    assert hub.ring is not None
    assert [message.number for message in hub.ring.after(0, "a")] == [1, 2, 3]


async def test_a_session_that_ends_while_its_stream_opens_gets_none() -> None:
    """A stream whose session's end has come before it joins ends at once."""
    hub = Hub(Bounds(3600.0, 10, 10**9), 15, ManualClock(), Metrics(NoOpMeter("test")))
    hub.opened(Cursor("g", 0), resync=False)
    hub.publish([Message(1, "g-1", "s", "session.revoked", "{}")])
    recorder = Recorder()
    stream = Stream(Caller("a", "s", None), SERVER_SENT_EVENTS, recorder, recorder.drain, buffer=1024)
    hub.join(stream)
    assert stream.end_reason == "revoked"


async def _interleave(steps: list[tuple[str, Any]], kept: int, begin: int) -> None:
    log, clock, metrics = Log(), ManualClock(), Metrics(NoOpMeter("test"))
    log.targets = [("a", "x", "s", "b")[number % 4] for number in range(begin)]
    hub = Hub(Bounds(3600.0, kept, 10**9), 15, clock, metrics)
    hub.opened(Cursor("g", begin), resync=False)
    resumer = Resumer(hub, log, None, metrics, at_once=2, patience=1.0)  # type: ignore[arg-type] # as far as used here
    streams: list[tuple[int, Recorder, asyncio.Task[None]]] = []
    for step, value in steps:
        if step == "publish":
            log.targets += value
            hub.publish(log.messages(len(log.targets) - len(value) + 1, len(log.targets)))
        elif step == "resume":
            after, recorder = min(value, len(log.targets)), Recorder()
            stream = Stream(Caller("a", "s", None), SERVER_SENT_EVENTS, recorder, recorder.drain, buffer=1024)
            hub.join(stream)
            streams.append((after, recorder, asyncio.create_task(resumer.catch_up(stream, f"g-{after}"))))
        elif step == "let":
            for _ in range(value):
                await asyncio.sleep(0)
        elif step == "block":
            log.busy.clear()
        else:
            log.busy.set()
            log.limit = value
    log.busy.set()
    await asyncio.gather(*(task for _, _, task in streams))
    for after, recorder, _ in streams:
        assert recorder.ids == [
            number for number, target in enumerate(log.targets, 1) if number > after and target in ("a", "s")
        ]
