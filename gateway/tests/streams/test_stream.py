"""Clients that do not read, and what is kept for them."""

import asyncio
import socket
from datetime import timedelta
from typing import Any

BIG = "x" * 60_000


async def silent_client(gateway: Any, last: str = "", session: str = "s1") -> socket.socket:
    """Open a stream that is never read, with a small window."""
    host, port = gateway.address.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    resume = f"Last-Event-ID: {last}\r\n" if last else ""
    request = f"GET /events HTTP/1.1\r\nHost: x\r\nX-Account: alice\r\nX-Session: {session}\r\n{resume}\r\n"
    await loop.sock_sendall(connection, request.encode())
    return connection


async def test_a_client_that_reads_nothing_is_cut_off_and_others_are_not(backend: Any, make_gateway: Any) -> None:
    """Beyond its buffer a client's connection is closed; a client that reads gets everything."""
    gateway = await make_gateway(backend.address, heartbeat=timedelta(minutes=5))  # it is the buffer that decides
    connection = await silent_client(gateway)
    client = await gateway.open(session="s2")
    await gateway.live(2)
    for n in range(40):
        await backend.publish(n, payload=f'{{"n":{n},"fill":"{BIG}"}}')
        await client.heard(n + 1)
    await gateway.until(lambda: gateway.count == 1)
    assert (client.numbers, gateway.metrics.ended["slow"]) == (list(range(40)), 1)
    connection.close()


async def test_a_client_that_was_cut_off_resumes(backend: Any, make_gateway: Any) -> None:
    """It comes back with the last id that it has read, and misses nothing."""
    gateway = await make_gateway(backend.address, heartbeat=timedelta(minutes=5))
    connection = await silent_client(gateway)
    await gateway.live(1)
    await backend.publish(*range(40), payload=f'{{"n":1,"fill":"{BIG}"}}')
    await gateway.until(lambda: gateway.metrics.ended["slow"] == 1)
    connection.close()
    client = await gateway.open(last="g1-3")
    await client.heard(37)
    assert [event["id"] for event in client.events] == [f"g1-{n}" for n in range(4, 41)]


async def test_a_client_that_stops_reading_what_it_missed_is_cut_off(backend: Any, make_gateway: Any) -> None:
    """What a client has missed is written as it reads, in bounded memory, and not for ever."""
    gateway = await make_gateway(backend.address, heartbeat=timedelta(seconds=1))
    await backend.publish(*range(200), payload=f'{{"n":1,"fill":"{BIG}"}}')
    await gateway.caught_up(backend)
    connection = await silent_client(gateway, last="g1-0")
    await gateway.until(lambda: gateway.count == 1)
    [stream] = gateway.hub._streams
    await gateway.until(lambda: stream.full)
    assert stream._transport.get_write_buffer_size() < 256 * 1024
    assert not stream.live
    await gateway.until(lambda: gateway.metrics.ended["slow"] == 1)
    connection.close()


async def test_a_client_that_reads_late_gets_all_that_it_missed(backend: Any, gateway: Any) -> None:
    """12 MB of missed events reach a client whole, though its buffer holds a fraction of them."""
    await backend.publish(*range(200), payload=f'{{"n":1,"fill":"{BIG}"}}')
    await gateway.caught_up(backend)
    client = await gateway.open(last="g1-0")
    await client.heard(200)
    assert [event["id"] for event in client.events] == [f"g1-{n}" for n in range(1, 201)]


async def test_two_heartbeats_unread_are_the_end(backend: Any, gateway: Any) -> None:
    """A client that leaves something unread from one heartbeat to the next is cut off, however little it is."""
    connection = await silent_client(gateway)
    await gateway.live(1)
    [stream] = gateway.hub._streams
    while not stream._transport.get_write_buffer_size():
        await backend.publish(1, payload=f'{{"n":1,"fill":"{BIG}"}}')
        await gateway.caught_up(backend)
    for _ in range(15):
        gateway.hub.tick()
    assert (stream.stalled, stream.end_reason) == (True, None)
    for _ in range(15):
        gateway.hub.tick()
    assert stream.end_reason == "slow"
    connection.close()


async def test_draining_does_not_wait_for_a_client_that_reads_nothing(backend: Any, gateway: Any) -> None:
    """What is unread when the time is over is thrown away."""
    connection = await silent_client(gateway)
    await gateway.live(1)
    [stream] = gateway.hub._streams
    while not stream._transport.get_write_buffer_size():
        await backend.publish(1, payload=f'{{"n":1,"fill":"{BIG}"}}')
        await gateway.caught_up(backend)
    await gateway.streams.drain(0.05)
    await gateway.until(lambda: gateway.count == 0 and stream._transport.get_write_buffer_size() == 0)
    assert gateway.metrics.ended["stopping"] == 1
    connection.close()
