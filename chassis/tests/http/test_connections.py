"""How many connections there may be, and how long one may keep the service waiting."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp.web import BaseRequest

from galaxy_chassis.http.connections import (
    PROGRESS,
    ConnectionGuard,
    ConnectionLimits,
    network_of,
    raise_descriptor_limit,
)
from galaxy_chassis.http.response import AnyResponse, json_response
from galaxy_chassis.http.server import HttpServer

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Loop:
    """The time, and whether a timer is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, _seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append(call)
        return None  # type: ignore[return-value] # nobody cancels it here


class Fake:
    """A connection in a state of the test's choice."""

    def __init__(self, peer: str = "192.0.2.1", *, opened_at: float = 0.0) -> None:
        self.peer, self.opened_at = peer, opened_at
        self.used = False
        self.head_begun_at: float | None = None
        self.idle: float | None = opened_at
        self.unread = 0.0
        self.ended = False

    def idle_since(self) -> float | None:
        return self.idle

    def unread_for(self, now: float) -> float:
        return self.unread

    def end(self) -> None:
        self.ended = True


def guard_of(loop: Loop, **limits: object) -> ConnectionGuard:
    return ConnectionGuard(ConnectionLimits(**limits), loop)  # type: ignore[arg-type] # a loop of the test's own


def busy(peer: str = "192.0.2.1") -> Fake:
    made = Fake(peer)
    made.used, made.idle = True, None
    return made


def test_silent_and_slow_connections_are_ended_in_time() -> None:
    """One that sends nothing, one whose head does not end and one that does not read: each by its limit."""
    loop = Loop()
    guard = guard_of(loop, head=10.0, unread=30.0)
    silent, slow, unread, idle = Fake(), Fake(), busy(), Fake()
    slow.head_begun_at, unread.unread, idle.used = 5.0, 29.0, True
    for each in (silent, slow, unread, idle):
        assert guard.admit(each)
    loop.now = 10.0
    guard.sweep()
    assert not any(each.ended for each in (silent, slow, unread, idle))
    loop.now, unread.unread = 15.1, 31.0
    guard.sweep()
    assert [each.ended for each in (silent, slow, unread, idle)] == [True, True, True, False]
    assert {reason: number for reason, number in guard.ended.items() if number} == {
        "silent": 1,
        "slow_head": 1,
        "unread": 1,
    }
    assert len(guard) == 1


def test_one_more_than_the_limit_displaces_the_idlest() -> None:
    """Those that never brought a request go first, then those that have idled longest; none that is being served."""
    loop = Loop()
    guard = guard_of(loop, total=4, per_client=99)
    served, unused, old, young = busy(), Fake(), Fake(), Fake()
    for idle, since in ((unused, 3.0), (old, 1.0), (young, 2.0)):
        idle.idle = since
    old.used = young.used = True
    for each in (served, unused, old, young):
        guard.admit(each)
    order = []
    for _ in range(3):
        loop.now += 1.0
        assert guard.admit(busy())
        order.append([each.ended for each in (unused, old, young)].count(True))
        assert len(guard) == 4
    assert (unused.ended, old.ended, young.ended, order) == (True, True, True, [1, 2, 3])
    loop.now += 1.0
    assert not guard.admit(Fake())
    assert (guard.ended["displaced"], guard.ended["refused"]) == (3, 1)
    assert not served.ended


def test_the_idlest_goes_before_the_others() -> None:
    """Of three that idle, it is the one idle longest that makes room."""
    loop = Loop()
    guard = guard_of(loop, total=3, per_client=99)
    idling = [Fake(), Fake(), Fake()]
    for each, since in zip(idling, (2.0, 1.0, 3.0), strict=True):
        each.idle, each.used = since, True
        guard.admit(each)
    loop.now = 5.0
    guard.admit(busy())
    assert [each.ended for each in idling] == [False, True, False]


def test_a_client_has_its_own_limit_and_a_proxy_has_none() -> None:
    """One network's connections displace each other, and nobody else's."""
    loop = Loop()
    guard = guard_of(loop, per_client=2, is_proxy=lambda peer: peer == "10.0.0.1")
    other = Fake("192.0.2.9")
    guard.admit(other)
    first, *_, last = crowd = [Fake(f"2001:db8::{number}") for number in range(1, 5)]
    for each in crowd:
        loop.now += 1.0
        each.idle = loop.now
        assert guard.admit(each)
    for _ in range(5):
        assert guard.admit(busy("10.0.0.1"))
    assert first.ended
    assert not last.ended
    assert not other.ended
    assert len(guard) == 1 + 2 + 5


def test_a_flood_costs_a_constant_for_each_connection() -> None:
    """However many clients connect at once, all connections are looked at but once in a while."""
    looks = 0

    class Counted(Fake):
        def idle_since(self) -> float | None:
            nonlocal looks
            looks += 1
            return None

    loop = Loop()
    guard = guard_of(loop, total=100, per_client=1000)
    for number in range(2000):
        guard.admit(Counted(f"192.0.2.{number % 250}"))
    assert guard.ended["refused"] == 1900
    assert looks == 100


def test_a_listener_that_is_full_says_so_once_a_minute(logged: Callable[..., object]) -> None:
    """The warning names the limit, and how many alike were held back."""
    loop = Loop()
    guard = guard_of(loop, total=1)
    with logged() as lines:  # type: ignore[attr-defined]
        for now in (0.0, 1.0, 2.0, 61.0):
            loop.now = now
            guard.admit(busy(f"192.0.2.{now}"))
    assert [(line["event"], line["limit"], line["held_back"]) for line in lines] == [
        ("http_connections_exhausted", "total", 0),
        ("http_connections_exhausted", "total", 1),
    ]


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(peer: str, network: str) -> None:
    """Nobody can have another place by another address of the network that is its own."""
    assert network_of(peer) == network


def test_the_limit_of_descriptors_is_raised_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit becomes the hard one, and connections leave a reserve below it."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    assert raise_descriptor_limit() == 1000
    assert given == [(1000, 1000)]
    guard = guard_of(Loop(), total=4096)
    guard.fit_descriptors()
    assert 16 <= guard.total <= 1000 - 256


def test_a_limit_that_cannot_be_raised_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses, the soft limit counts, and a few connections are served in any case."""

    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 1000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    guard = guard_of(Loop(), total=4096)
    guard.fit_descriptors()
    assert (raise_descriptor_limit(), guard.total) == (64, 16)


@asynccontextmanager
async def serving(
    handler: Callable[[BaseRequest], Awaitable[AnyResponse]], **limits: float
) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer("127.0.0.1:0", handler, limits=ConnectionLimits(**limits))  # type: ignore[arg-type]
    await server.start()
    server.open()
    try:
        yield server, int(server.address.rpartition(":")[2])
    finally:
        await server.close()


async def large(request: BaseRequest) -> AnyResponse:
    return json_response(200, b"x" * (PROGRESS * 256), "r")


async def small(request: BaseRequest) -> AnyResponse:
    return json_response(200, b"{}", "r")


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("sent", "reason"), [(b"", "silent"), (b"GET / HTTP/1.1\r\nHost:", "slow_head")])
async def test_a_connection_that_does_not_ask_is_closed(sent: bytes, reason: str) -> None:
    """A client that sends nothing, and one that stops in its head, see the end of their connection."""
    async with (
        asyncio.timeout(10),
        serving(small, head=0.05) as (server, port),
        client(port) as (reader, writer),
    ):
        writer.write(sent)
        assert await reader.read() == b""
        assert server.connections_ended[reason] == 1
        assert server.connections == 0


async def test_a_head_that_trickles_is_closed_although_the_connection_was_used() -> None:
    """The time of a head begins with its first byte, on every request of a connection."""
    async with (
        asyncio.timeout(10),
        serving(small, head=0.05) as (server, port),
        client(port) as (reader, writer),
    ):
        writer.write(ASK)
        await reader.readuntil(b"{}")
        writer.write(b"G")
        assert await reader.read() == b""
        assert server.connections_ended["slow_head"] == 1


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
async def test_an_answer_that_nobody_reads_ends_in_a_reset(closing: bytes) -> None:
    """Whether the connection was to be kept or to be closed, a client that does not read does not keep it."""
    async with serving(large, unread=0.05) as (server, port), asyncio.timeout(10):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            await loop.sock_sendall(deaf, b"GET / HTTP/1.1\r\nHost: x\r\n" + closing + b"\r\n")
            while not server.connections_ended["unread"]:
                await asyncio.sleep(0.01)
            assert server.connections == 0
            with pytest.raises(ConnectionResetError):
                while await loop.sock_recv(deaf, 65536):
                    pass


async def test_a_crowd_of_silent_clients_does_not_keep_others_out() -> None:
    """With more silent connections than are allowed, a client that asks is answered."""
    async with asyncio.timeout(20), serving(small, total=20) as (server, port), AsyncExitStack() as stack:
        for _ in range(40):
            await stack.enter_async_context(client(port))
        reader, writer = await stack.enter_async_context(client(port))
        writer.write(ASK)
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200")
        assert server.connections <= 20
        assert server.connections_ended["displaced"] >= 20
