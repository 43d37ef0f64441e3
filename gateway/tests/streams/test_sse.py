"""Server-sent events on real sockets: what is on the wire, and how streams end."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest


async def test_an_event_arrives_as_the_backend_wrote_it(backend: Any, gateway: Any) -> None:
    """A message has the backend's cursor as id, the kind and the payload; headers forbid caching and buffering."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1)
    await client.heard(1)
    assert client.events == [{"id": "g1-1", "event": "test.happened", "data": '{"n": 1}'}]
    headers = client.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert (headers["X-Request-Id"], headers["X-More"]) == ("request-0001", "1")


async def test_the_first_block_says_when_to_return_and_from_where(gateway: Any) -> None:
    """A client gets its own delay, and a cursor before any event, so that it misses nothing when it returns."""
    clients = [await gateway.open() for _ in range(5)]
    await asyncio.gather(*(client.until(lambda c=client: c.blocks) for client in clients))
    assert {client.blocks[0]["id"].strip() for client in clients} == {"g1-0"}
    delays = {int(client.blocks[0]["retry"]) for client in clients}
    assert len(delays) > 1
    assert all(1500 <= delay <= 4500 for delay in delays)
    assert all(client.events == [] for client in clients)


async def test_events_reach_their_account_and_session_alone(backend: Any, gateway: Any) -> None:
    """An account's event reaches all its sessions, a session's event that session, and others nothing."""
    one, two, other = [await gateway.open(*who) for who in (("alice", "s1"), ("alice", "s2"), ("bob", "s3"))]
    await gateway.live(3)
    await backend.publish(1, account_id="alice")
    await backend.publish(2, session_id="s2")
    await backend.publish(3, account_id="bob")
    await backend.publish(4, account_id="alice")
    await two.heard(3)
    await one.heard(2)
    await other.heard(1)
    assert (one.numbers, two.numbers, other.numbers) == ([1, 4], [1, 2, 4], [3])


async def test_a_client_without_a_cursor_begins_now(backend: Any, gateway: Any) -> None:
    """What was published before its stream is not sent, though it is in memory."""
    await backend.publish(1, 2)
    await gateway.caught_up(backend)
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(3)
    await client.heard(1)
    assert (client.numbers, client.blocks[0]["id"].strip()) == ([3], "g1-2")


async def test_a_payload_in_lines_stays_one_message(backend: Any, gateway: Any) -> None:
    """Line breaks between a payload's tokens do not break the message apart, and those of Unicode stay."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1, payload='{\n"n":\r\n1, "text": "\u2028é"}')
    await client.heard(1)
    assert client.events[0]["data"] == '{ "n":  1, "text": "\u2028é"}'


async def test_a_revoked_session_ends_at_once(backend: Any, gateway: Any) -> None:
    """Its streams get the event and end, others go on, and whoever keeps callers in memory is notified."""
    forgotten: list[str] = []
    gateway.streams.on_revoked.append(forgotten.append)
    one, again, other = [await gateway.open(*who) for who in (("alice", "s1"), ("alice", "s1"), ("alice", "s2"))]
    await gateway.live(3)
    await backend.revoke("s1")
    await one.until(lambda: one.ended and again.ended)
    assert one.kinds == again.kinds == ["session.revoked"]
    assert forgotten == ["s1"]
    await backend.publish(1)
    await other.heard(1)
    assert (other.numbers, gateway.count) == ([1], 1)
    assert gateway.metrics.ended["revoked"] == 2


async def test_an_account_is_not_a_session(backend: Any, gateway: Any) -> None:
    """Only an event for a session ends streams, those of that session."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1, account_id="alice", kind="session.revoked")
    await backend.publish(2)
    await client.heard(2)
    assert (client.numbers, gateway.count) == ([1, 2], 1)


async def test_a_session_revoked_before_its_stream_begins_gets_none(backend: Any, gateway: Any) -> None:
    """A caller that was checked before its session ended is refused, though nothing is heard of it again."""
    await backend.revoke("s1")
    await gateway.caught_up(backend)
    response = await gateway.ask()
    assert (response.status, (await response.json())["code"]) == (401, "unauthenticated")
    assert gateway.metrics.refused["revoked"] == 1


async def test_an_expired_session_ends(gateway: Any) -> None:
    """A stream ends when its session's time is over, and not before."""
    gateway.expires_at = gateway.clock.now() + timedelta(hours=1)
    client = await gateway.open()
    await gateway.live(1)
    gateway.clock.advance(timedelta(minutes=59))
    gateway.hub.tick()
    assert gateway.count == 1
    gateway.clock.advance(timedelta(minutes=1))
    gateway.hub.tick()
    await client.until(lambda: client.ended)
    assert gateway.metrics.ended["expired"] == 1


async def test_every_stream_has_one_heartbeat_an_interval(make_gateway: Any, backend: Any) -> None:
    """Over the ticks of one interval each stream is written to once, not all in the same tick."""
    gateway = await make_gateway(backend.address, heartbeat=timedelta(minutes=5))
    clients = [await gateway.open() for _ in range(20)]
    await gateway.live(20)
    await backend.publish(1)
    await gateway.caught_up(backend)
    beats = []
    for _ in range(300):
        before = [stream.stalled for stream in gateway.hub._streams]
        assert not any(before)
        gateway.hub.tick()
        beats.append(sum(stream.slot == gateway.hub._slot for stream in gateway.hub._streams))
    assert (sum(beats), max(beats)) == (20, 1)
    await asyncio.gather(*(client.until(lambda c=client: len(c.blocks) == 3) for client in clients))
    assert {client.blocks[2]["id"].strip() for client in clients} == {backend.cursor()}
    assert all("" in client.blocks[2] for client in clients)


async def test_a_client_that_leaves_frees_everything(gateway: Any) -> None:
    """When a connection closes, its stream, its place and its entries are gone."""
    client = await gateway.open()
    await gateway.live(1)
    client.close()
    await client.until(lambda: gateway.count == 0)
    places = gateway.streams._places
    await client.until(lambda: places.taken == 0)
    assert (gateway.hub._by_target, places._accounts, places._networks) == ({}, {}, {})
    assert gateway.metrics.ended == {"left": 1}


async def test_draining_ends_all_streams_and_refuses_new_ones(gateway: Any) -> None:
    """After draining every stream has ended, and a new one is 503 with Retry-After."""
    clients = [await gateway.open() for _ in range(10)]
    await gateway.live(10)
    await gateway.streams.drain(5)
    await clients[0].until(lambda: all(client.ended for client in clients))
    response = await gateway.ask()
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert gateway.metrics.ended["stopping"] == 10


async def test_a_gateway_without_a_backend_refuses_streams(make_backend: Any, make_gateway: Any) -> None:
    """Until the backend has been reached once, a stream is 503, and the probe fails and names the address."""
    backend = await make_backend()
    await backend.stop()
    gateway = await make_gateway(backend.address, subscribed=False)
    await gateway.until(lambda: backend.address in gateway.streams._subscription._lost)
    response = await gateway.ask()
    assert (response.status, (await response.json())["code"]) == (503, "events_unavailable")
    health = await gateway.streams.probe()
    assert (health.state, backend.address in health.detail) == ("failed", True)
    await backend.start()
    await gateway.until(lambda: gateway.streams.subscribed)
    assert (await gateway.streams.probe()).state == "ok"


async def test_a_request_with_a_body_is_refused(gateway: Any) -> None:
    """The stream's request has no body."""
    async with gateway.session.get(f"http://{gateway.address}/events", data=b"x") as response:
        assert (response.status, (await response.json())["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(("size", "ends"), [(16 * 1024, False), (64 * 1024, True)])
async def test_what_a_client_sends_on_its_stream_is_not_kept(backend: Any, gateway: Any, size: int, ends: bool) -> None:
    """Bytes after the request are passed over up to a bound, and end the stream beyond it."""
    host, port = gateway.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\nX-Account: alice\r\nX-Session: s1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await gateway.live(1)
    writer.write(b"x" * size)
    if ends:
        await gateway.until(lambda: gateway.metrics.ended["misused"] == 1)
        await gateway.until(lambda: gateway.count == 0)
    else:
        await writer.drain()
        await backend.publish(1)
        assert await reader.readuntil(b'{"n": 1}\n\n')
        assert gateway.count == 1
    writer.close()
