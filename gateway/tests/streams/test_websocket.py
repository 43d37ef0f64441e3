"""WebSockets on real sockets: handshake, messages, and what clients may send."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import WSMsgType


async def received(connection: Any) -> Any:
    """Return the next message's JSON."""
    message = await connection.receive(timeout=10)
    assert message.type is WSMsgType.TEXT, message
    return json.loads(message.data)


async def closed(connection: Any) -> int:
    """Read to the end, and return the code of the close frame."""
    while (await connection.receive(timeout=10)).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED):
        pass
    code: int = connection.close_code
    return code


async def test_an_event_is_a_message_with_id_event_and_data(backend: Any, gateway: Any) -> None:
    """A message has what a server-sent event has; the payload is JSON in JSON."""
    connection = await gateway.connect()
    await gateway.live(1)
    await backend.publish(1)
    await backend.publish(2, payload=json.dumps({"n": 2, "fill": "é" * 40_000}))
    await backend.publish(3, payload=json.dumps({"fill": "x" * 200}))
    assert await received(connection) == {"id": "g1-1", "event": "test.happened", "data": {"n": 1}}
    assert (await received(connection))["data"] == {"n": 2, "fill": "é" * 40_000}
    assert (await received(connection))["data"] == {"fill": "x" * 200}
    await connection.close()


async def test_a_frame_beyond_64_kb_is_well_formed(backend: Any, gateway: Any) -> None:
    """The largest payload makes a frame whose length has eight bytes."""
    connection = await gateway.connect()
    await gateway.live(1)
    await backend.publish(1, payload=json.dumps({"fill": "x" * 70_000}))
    assert len((await received(connection))["data"]["fill"]) == 70_000
    await connection.close()


async def test_the_token_is_not_answered(gateway: Any, bearer_prefix: str) -> None:
    """Of the two subprotocols the one without the token is chosen, whatever their order; nothing is compressed."""
    for protocols in (("galaxy.events.v1", bearer_prefix + "secret"), (bearer_prefix + "secret", "galaxy.events.v1")):
        connection = await gateway.connect(protocols=protocols, compress=15)
        assert connection.protocol == "galaxy.events.v1"
        headers = connection._response.headers
        assert "secret" not in str(headers)
        assert "Sec-WebSocket-Extensions" not in headers
        assert (headers["X-Request-Id"], headers["X-More"]) == ("request-0001", "1")
        await connection.close()


@pytest.mark.parametrize(
    ("protocols", "headers", "status", "code"),
    [
        ((), {}, 400, "malformed_request"),
        (("galaxy.bearer.secret",), {}, 400, "malformed_request"),
        (("galaxy.events.v1",), {"Origin": "https://bad.example"}, 403, "origin_refused"),
        (("galaxy.events.v1",), {"Origin": "null"}, 403, "origin_refused"),
        (("galaxy.events.v1",), {"Sec-WebSocket-Version": "7x"}, 400, "malformed_request"),
    ],
)
async def test_a_handshake_is_refused(
    gateway: Any, caplog: Any, protocols: Any, headers: Any, status: int, code: str
) -> None:
    """Without our subprotocol, from a foreign page or malformed it is a problem; no token reaches a log."""
    sent = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    sent |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": ", ".join(protocols), **headers}
    async with gateway.session.get(f"http://{gateway.address}/ws", headers=sent) as response:
        assert (response.status, (await response.json())["code"]) == (status, code)
    assert "secret" not in caplog.text
    assert (gateway.count, gateway.streams._places.taken) == (0, 0)


async def test_a_page_of_a_known_origin_is_let_in(gateway: Any) -> None:
    """An allowed Origin opens a stream."""
    connection = await gateway.connect(origin="https://good.example")
    await connection.close()


async def test_the_first_message_resumes(backend: Any, gateway: Any) -> None:
    """A client that sends its last id first gets what it missed, then what comes."""
    await backend.publish(1, 2, 3)
    await gateway.caught_up(backend)
    connection = await gateway.connect()
    await connection.send_json({"last_event_id": "g1-1"})
    await gateway.live(1)
    await backend.publish(4)
    assert [(await received(connection))["data"]["n"] for _ in range(3)] == [2, 3, 4]
    await connection.close()


async def test_without_a_first_message_events_come_after_a_second(backend: Any, gateway: Any) -> None:
    """What is published before the wait for the first message is over is not lost."""
    connection = await gateway.connect()
    await gateway.until(lambda: gateway.count == 1)
    await backend.publish(1)
    assert (await received(connection))["data"] == {"n": 1}
    await connection.close()


async def test_an_id_that_comes_late_is_answered_by_a_resync(backend: Any, gateway: Any, monkeypatch: Any) -> None:
    """What was sent meanwhile cannot be taken back, so the client fetches its state."""
    monkeypatch.setattr("galaxy_gateway.streams.websocket.FIRST_WITHIN", 0.0)
    await backend.publish(1, 2)
    await gateway.caught_up(backend)
    connection = await gateway.connect()
    await gateway.live(1)
    await connection.send_json({"last_event_id": "g1-1"})
    assert await received(connection) == {"id": "g1-2", "event": "resync", "data": {}}
    await backend.publish(3)
    assert (await received(connection))["id"] == "g1-3"
    await connection.close()


async def test_an_old_id_is_answered_by_a_resync(gateway: Any) -> None:
    """A cursor of another stream brings `resync`, as with server-sent events."""
    connection = await gateway.connect()
    await connection.send_json({"last_event_id": "17"})
    assert await received(connection) == {"id": "g1-0", "event": "resync", "data": {}}
    await connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        ["{}", "{}"],
        ['{"last_event_id": 7}'],
        ['{"other": 1}'],
        ["[]"],
        ["nonsense"],
        [b"\x00"],
        ["[" * 4000],
    ],
)
async def test_what_a_client_may_not_send_ends_the_stream(gateway: Any, sent: list[Any]) -> None:
    """A second message, an unknown one and a binary one are answered by 1008."""
    connection = await gateway.connect()
    for data in sent:
        await (connection.send_str(data) if isinstance(data, str) else connection.send_bytes(data))
    assert await closed(connection) == 1008
    await gateway.until(lambda: gateway.count == 0)
    assert gateway.metrics.ended["misused"] == 1


async def test_a_large_message_ends_the_stream(gateway: Any) -> None:
    """More than 4 kB in one message is answered by 1009."""
    connection = await gateway.connect()
    await connection.send_str(json.dumps({"last_event_id": "x" * 5000}))
    assert await closed(connection) == 1009
    await gateway.until(lambda: gateway.count == 0)


async def test_pings_are_answered_and_counted(gateway: Any) -> None:
    """A ping comes back with its data; a flood of them ends the stream."""
    connection = await gateway.connect(autoping=False)
    await connection.ping(b"here")
    message = await connection.receive(timeout=10)
    assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"here")
    for _ in range(60):
        await connection.ping()
    assert await closed(connection) == 1008


async def test_a_client_that_answers_no_ping_is_cut_off(gateway: Any) -> None:
    """One that answers stays; one that says nothing from one heartbeat to the next is cut off."""
    silent, other = await gateway.connect(autoping=False), await gateway.connect(session="s2")
    await gateway.live(2)
    reading = asyncio.create_task(other.receive())
    answers = next(stream for stream in gateway.hub._streams if stream.session_id == "s2")
    for _ in range(3):
        for _ in range(15):
            gateway.hub.tick()
        if answers.end_reason is None:
            await gateway.until(lambda: answers.frames_received)
    assert (gateway.metrics.ended["slow"], answers.end_reason) == (1, None)
    reading.cancel()
    await asyncio.wait([reading])
    await silent.close()
    await other.close()


async def test_a_revoked_session_is_closed_with_a_code(backend: Any, gateway: Any) -> None:
    """It gets the event, and a close frame with 1008."""
    connection = await gateway.connect()
    await gateway.live(1)
    await backend.revoke("s1")
    assert (await received(connection))["event"] == "session.revoked"
    assert await closed(connection) == 1008
    await gateway.until(lambda: gateway.count == 0)


async def test_a_session_revoked_while_the_first_message_is_awaited_is_closed(backend: Any, gateway: Any) -> None:
    """A stream that is not live yet ends as well."""
    connection = await gateway.connect()
    await gateway.until(lambda: gateway.count == 1)
    await backend.revoke("s1")
    assert await closed(connection) == 1008


async def test_draining_closes_with_going_away(gateway: Any) -> None:
    """Every WebSocket gets 1001 and is gone."""
    connections = [await gateway.connect() for _ in range(5)]
    await gateway.live(5)
    drained = asyncio.create_task(gateway.streams.drain(10))
    assert [await closed(connection) for connection in connections] == [1001] * 5
    await drained
    assert (gateway.count, gateway.metrics.ended["stopping"]) == (0, 5)


async def test_draining_does_not_wait_for_a_close_that_is_not_answered(gateway: Any, monkeypatch: Any) -> None:
    """A client that does not answer the close frame in the time of draining is disconnected."""
    monkeypatch.setattr("galaxy_gateway.streams.stream.LINGER", 3600.0)
    connection = await gateway.connect()
    await gateway.live(1)
    await gateway.streams.drain(0.05)
    await gateway.until(lambda: gateway.count == 0)
    await connection.close()


async def test_a_client_that_closes_is_answered_and_gone(gateway: Any) -> None:
    """A close frame is answered, and frees everything."""
    connection = await gateway.connect()
    await gateway.live(1)
    await connection.close()
    assert connection.close_code == 1000
    await gateway.until(lambda: gateway.count == 0 and gateway.streams._places.taken == 0)
    assert gateway.metrics.ended == {"left": 1}


async def test_a_connection_that_breaks_is_gone(gateway: Any) -> None:
    """A client that vanishes without a close frame frees everything."""
    connection = await gateway.connect()
    await gateway.live(1)
    connection._response.connection.transport.abort()
    await gateway.until(lambda: gateway.count == 0 and gateway.streams._places.taken == 0)


async def test_a_resync_of_the_gateway_is_sent_and_closed(backend: Any, gateway: Any) -> None:
    """When events may have been missed the client gets `resync`, and 1012, service restart."""
    connection = await gateway.connect()
    await gateway.live(1)
    backend.restore("g2")
    await backend.publish()
    assert await received(connection) == {"id": "g2-0", "event": "resync", "data": {}}
    assert await closed(connection) == 1012


async def test_a_plain_request_is_refused(gateway: Any) -> None:
    """What is not a handshake is 400, though it offers the subprotocol."""
    headers = {"Sec-WebSocket-Protocol": "galaxy.events.v1"}
    async with gateway.session.get(f"http://{gateway.address}/ws", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (400, "malformed_request")
