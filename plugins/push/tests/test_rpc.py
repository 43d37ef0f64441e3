"""Subscriptions: what a gateway receives, from which cursor on, and why a stream ends."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from galaxy_devkit.testing import GATEWAY_TOKEN

SERVICE = "galaxy.push.v1.Push"
OTHER = "ffffffffffff"
"""A generation that no database here has."""


def number(cursor: str) -> int:
    """Return the number in a cursor."""
    return int(cursor.rpartition("-")[2])


async def test_an_event_arrives_whole(backend: Any, gateway: Any) -> None:
    """A subscriber gets cursor, target, kind, payload and request id of an event."""
    account, session = uuid4(), uuid4()
    async with gateway.subscribed(backend.address):
        await backend.publish(1, account_id=account, request_id="request-0001")
        await backend.publish(2, session_id=session, kind="session.test_ended")
        await gateway.heard(2)
    first, second = gateway.events
    assert (first.WhichOneof("target"), first.account_id) == ("account_id", str(account))
    assert (first.kind, first.payload, first.request_id) == ("test.happened", '{"n":1}', "request-0001")
    assert (second.WhichOneof("target"), second.session_id) == ("session_id", str(session))
    assert (second.kind, len(second.request_id)) == ("session.test_ended", 36)
    assert number(second.cursor) == number(first.cursor) + 1


async def test_an_empty_cursor_means_from_now_on(backend: Any, gateway: Any) -> None:
    """Without a cursor a gateway receives what is published after its opening, and nothing earlier."""
    await backend.publish(1, 2)
    await backend.numbered(2)
    async with gateway.subscribed(backend.address):
        opening = gateway.openings[0]
        await backend.publish(3)
        await gateway.heard(1)
    assert (gateway.numbers, opening.resync_required) == ([3], False)


async def test_a_gateway_goes_on_after_its_cursor(make_backend: Any, gateway: Any) -> None:
    """Events published while a gateway is away are received when it is back, at any backend, each once."""
    one = await make_backend()
    other = await make_backend(one)
    async with gateway.subscribed(one.address):
        await one.publish(1)
        await gateway.heard(1)
    await one.publish(2, 3)
    await other.publish(4)
    async with gateway.subscribed(other.address):
        await gateway.heard(4)
        await one.publish(5)
        await gateway.heard(5)
    assert gateway.numbers == [1, 2, 3, 4, 5]
    assert [opening.resync_required for opening in gateway.openings] == [False, False]


async def test_the_opening_is_a_cursor_to_come_back_with(backend: Any, gateway: Any) -> None:
    """A gateway that left before the first event misses nothing: it returns with the opening's cursor."""
    async with gateway.subscribed(backend.address):
        pass
    await backend.publish(1)
    async with gateway.subscribed(backend.address):
        await gateway.heard(1)
    assert gateway.numbers == [1]


async def test_a_cursor_older_than_what_is_kept_asks_for_a_resync(make_backend: Any, gateway: Any) -> None:
    """Behind what was trimmed, the opening says resync_required, and the stream goes on from now."""
    backend = await make_backend(retention="1m")
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    await backend.publish(2, 3)
    await backend.numbered(3)
    await backend.age("2 minutes")
    await backend.trim()
    async with gateway.subscribed(backend.address):
        await backend.publish(4)
        await gateway.heard(2)
    assert gateway.numbers == [1, 4]
    assert [opening.resync_required for opening in gateway.openings] == [False, True]
    assert number(gateway.openings[1].cursor) == number(gateway.events[0].cursor) + 2


async def test_the_last_event_trimmed_is_a_good_cursor(make_backend: Any, gateway: Any) -> None:
    """A gateway that was up to date needs no resync, though the table has been emptied since."""
    backend = await make_backend(retention="1m")
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    await backend.age("2 minutes")
    await backend.trim()
    assert await backend.rows("SELECT count(*) FROM push_events") == [(0,)]
    async with gateway.subscribed(backend.address):
        await backend.publish(2)
        await gateway.heard(2)
    assert gateway.numbers == [1, 2]
    assert not gateway.openings[1].resync_required
    assert number(gateway.events[1].cursor) == number(gateway.events[0].cursor) + 1


@pytest.mark.parametrize("ahead", [0, 1_000_000, -1_000_000])
async def test_a_cursor_of_another_database_asks_for_a_resync(backend: Any, gateway: Any, ahead: int) -> None:
    """A cursor of another generation, whatever its number, gets an opening to continue from."""
    end = await backend.end()
    gateway.cursor = f"{OTHER}-{number(end) + ahead}"
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    assert gateway.openings[0].resync_required
    assert (gateway.openings[0].cursor, gateway.numbers) == (end, [1])


@pytest.mark.parametrize("old", [0, 17, None], ids=["zero", "small", "last"])
async def test_a_plain_number_asks_for_a_resync(backend: Any, gateway: Any, old: int | None) -> None:
    """A cursor of the time before generations is not an error: it gets an opening to continue from."""
    end = await backend.end()
    gateway.cursor = str(number(end) if old is None else old)
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    assert (gateway.openings[0].resync_required, gateway.openings[0].cursor, gateway.numbers) == (True, end, [1])


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "-1", "1.5", "007", "9223372036854775808", " 1", "١"),
        *(f"{OTHER}-", f"{OTHER}-007", f"{OTHER}-9223372036854775808", f"{OTHER}--1", "FFFFFFFFFFFF-1", "fff-1"),
    ],
)
async def test_a_malformed_cursor_is_refused(backend: Any, cursor: str) -> None:
    """A malformed cursor is INVALID_ARGUMENT, and the sentence names the field."""
    code, sentence = await backend.refusal(cursor=cursor)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence.startswith("cursor: ")


@pytest.mark.parametrize("gateway_id", ["", "two words", "x" * 65, "line\nbreak"])
async def test_a_malformed_gateway_id_is_refused(backend: Any, gateway_id: str) -> None:
    """A subscriber without a name that can stand in a log line is INVALID_ARGUMENT, naming the field."""
    code, sentence = await backend.refusal(gateway_id=gateway_id)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence.startswith("gateway_id: ")


@pytest.mark.parametrize("metadata", [(), (("x-gateway-token", GATEWAY_TOKEN + "x"),)])
async def test_the_token_is_required(backend: Any, metadata: Any) -> None:
    """Without the gateway's token a subscription is refused."""
    code, _ = await backend.refusal(metadata=metadata)
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_health_and_reflection_know_the_service(backend: Any) -> None:
    """Health reports SERVING for the service, and reflection lists its methods."""
    async with grpc.aio.insecure_channel(backend.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await check).status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        metadata = (("x-gateway-token", GATEWAY_TOKEN),)
        [answer] = [each async for each in stub.ServerReflectionInfo(iter([ask]), metadata=metadata)]
    assert b"resync_required" in answer.file_descriptor_response.file_descriptor_proto[0]


async def test_a_backlog_goes_in_frames(backend: Any, gateway: Any) -> None:
    """Waiting events are sent together, up to 64 in a frame, from the table as from memory."""
    async with gateway.subscribed(backend.address):
        pass
    await backend.publish(*range(1000))
    await backend.numbered(1000)
    async with gateway.subscribed(backend.address):
        await gateway.heard(1000)
    assert gateway.numbers == list(range(1000))
    assert max(gateway.frames) == 64
    assert len(gateway.frames) < 40


async def test_large_events_are_not_put_together(backend: Any, gateway: Any) -> None:
    """Frames stay far below a client's limit, whatever is in them."""
    async with gateway.subscribed(backend.address):
        pass
    await backend.publish(*range(100), fill=60_000)
    await backend.numbered(100)
    async with gateway.subscribed(backend.address):
        await gateway.heard(100)
    assert max(gateway.frames) == 8
    assert gateway.numbers == list(range(100))


async def test_streams_end_when_the_backend_stops(make_backend: Any, gateway: Any, boot: Any) -> None:
    """On stop a stream ends with UNAVAILABLE and a sentence, and the gateway continues elsewhere."""
    stays = await make_backend()
    stops = await make_backend(stays)
    await stays.publish(1)
    await stays.numbered(1)
    async with stops.call() as stream:
        gateway.cursor = (await stream.read()).opening.cursor
        await stops.booted.kernel.rpc.stop(5)
        code, sentence = await stops.ended(stream)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "another replica" in sentence
    async with gateway.subscribed(stays.address):
        await stays.publish(2)
        await gateway.heard(1)
    assert gateway.numbers == [2]


async def test_a_stream_whose_place_is_lost_as_it_begins_ends(backend: Any) -> None:
    """When the reader loses its position while a subscriber gets one, the stream ends instead of staying silent."""
    await backend.publish(1)
    await backend.numbered(1)
    plugin = backend.plugin
    hub, standing = plugin._reader._hub, plugin._subscriptions._standing
    await backend.until(lambda: hub.head is not None)

    async def lost() -> Any:
        found = await standing()
        hub.open(found.end)
        return found

    plugin._subscriptions._standing = lost
    async with backend.call() as stream, asyncio.timeout(10):
        code, _ = await backend.ended(stream)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_silent_subscriber_is_cut_off(make_backend: Any, gateway: Any) -> None:
    """A subscriber that reads nothing is cut off with a reason, after at most its window; others get everything."""
    backend = await make_backend(write_timeout="300ms")
    async with backend.call(gateway_id="silent") as silent, gateway.subscribed(backend.address):
        await silent.read()
        for start in range(0, 400, 20):
            await backend.publish(*range(start, start + 20), fill=60_000)
            await gateway.heard(start + 20)
        await backend.until(lambda: backend.subscribers == 1)
        taken = 0
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            while (frame := await silent.read()) is not grpc.aio.EOF:
                taken += len(frame.events)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "BACKEND_PUSH_WRITE_TIMEOUT" in (raised.value.details() or "")
    assert taken < 400
    assert gateway.numbers == list(range(400))


async def test_a_subscriber_that_was_cut_off_comes_back(make_backend: Any, gateway: Any) -> None:
    """With its cursor it continues where it was cut off: it receives the rest, once."""
    backend = await make_backend(write_timeout="200ms")
    async with backend.call() as slow:
        gateway.cursor = (await slow.read()).opening.cursor
        await backend.publish(*range(400), fill=60_000)
        await backend.until(lambda: backend.subscribers == 0)
        with pytest.raises(grpc.aio.AioRpcError):
            while (frame := await slow.read()) is not grpc.aio.EOF:
                gateway._take(frame)
    assert len(gateway.events) < 400
    async with gateway.subscribed(backend.address):
        await gateway.heard(400)
    assert gateway.numbers == list(range(400))
