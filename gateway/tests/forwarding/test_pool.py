"""Calls over kept connections, against backends that misbehave on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from raw_backend import RawBackend, raw_backend, written

from galaxy_chassis.clock import SystemClock
from galaxy_chassis.http.problems import Problem
from galaxy_gateway.forwarding import pool
from galaxy_gateway.forwarding.backends import Backends

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TARGET = "/api/v1/public/things"


@asynccontextmanager
async def before(*backends: RawBackend, timeout: float = 30.0) -> AsyncIterator[Backends]:
    """Make calls to backends."""
    calls = Backends([backend.url for backend in backends], timeout=timeout, clock=SystemClock())
    try:
        yield calls
    finally:
        await calls.close()


async def ask(calls: Backends, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """Make a call, and return the body of its answer."""
    async with calls.call(method, TARGET, headers, body, safe=method == "GET") as response:
        return await response.read()


async def test_a_connection_is_kept_and_its_calls_are_framed() -> None:
    """Calls that follow each other share one; each has the fields it was given, and a length where one is due."""
    async with raw_backend(written(OK)) as backend, before(backend) as calls:
        assert [await ask(calls, method, X="é") for method in ("GET", "DELETE")] == [b"ok"] * 2
        host = backend.url.removeprefix("http://")
        assert backend.heads == [
            f"GET {TARGET} HTTP/1.1\r\nHost: {host}\r\nX: é\r\n\r\n".encode(),
            f"DELETE {TARGET} HTTP/1.1\r\nHost: {host}\r\nX: é\r\nContent-Length: 0\r\n\r\n".encode(),
        ]
        assert backend.connections == 1


async def test_a_field_that_is_not_utf8_is_passed_on_as_it_came() -> None:
    """aiohttp reads such bytes as surrogates: they are the client's own."""
    async with raw_backend(written(OK)) as backend, before(backend) as calls:
        await ask(calls, X=b"\xff\xc3\xa9".decode("utf-8", "surrogateescape"))
        assert b"\r\nX: \xff\xc3\xa9\r\n" in backend.heads[0]


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\0b"])
async def test_a_field_cannot_end_early(value: str) -> None:
    """It is refused here, and nothing is sent."""
    async with raw_backend(written(OK)) as backend, before(backend) as calls:
        with pytest.raises(ValueError, match="line break"):
            await ask(calls, X=value)
        assert not backend.heads


async def test_an_idle_connection_is_not_used_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its backend is about to close it: a change sent on it would be lost."""
    async with raw_backend(written(OK)) as backend, before(backend) as calls:
        await ask(calls, "POST", b"{}")
        monkeypatch.setattr(pool, "KEPT", 0.0)
        await ask(calls, "POST", b"{}")
        assert backend.connections == 2


async def test_a_connection_that_its_backend_closed_meanwhile_is_not_used() -> None:
    """A change goes over a new one, and is sent once."""

    async def answer_once(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.encode())
        writer.close()

    async with raw_backend(answer_once) as backend, before(backend) as calls:
        for _ in range(3):
            assert await ask(calls, "POST") == b"ok"
            await _until(lambda: not any(each.is_open for each in calls._backends[0].pool._idle))
        assert (backend.connections, len(backend.heads), calls.failures["broken"]) == (3, 3, 0)


@pytest.mark.parametrize(
    ("text", "code"),
    [("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 502), ("garbage", 502), ("", 504)],
)
async def test_a_bad_answer_to_a_change_is_said_to_have_been_sent(text: str, code: int) -> None:
    """It is sent once; the problem says that it may have taken effect."""
    async with raw_backend(written(text)) as backend, before(backend, timeout=0.2) as calls:
        with pytest.raises(Problem, match="may or may not have taken effect") as raised:
            await ask(calls, "POST")
        assert (raised.value.status, len(backend.heads)) == (code, 1)


async def test_an_answer_before_the_body_was_sent_is_given() -> None:
    """And the rest of the body goes nowhere: the next call has a new connection."""

    async def refuse(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.encode())
        if b"POST" in head:
            await asyncio.Event().wait()  # it never reads the body

    async with raw_backend(refuse) as backend, before(backend) as calls:
        assert await ask(calls, "POST", bytes(8 * 2**20)) == b"ok"
        assert await ask(calls) == b"ok"
        assert backend.connections == 2


async def test_calls_beyond_the_connections_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within their time; one whose client is gone gives its place back."""
    monkeypatch.setattr(pool, "CONNECTIONS", 2)
    go = asyncio.Event()

    async def hold(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK.encode())

    async with raw_backend(hold) as backend, before(backend) as calls:
        asking = [asyncio.create_task(ask(calls)) for _ in range(6)]
        await _until(lambda: len(backend.heads) == 2)
        asking[0].cancel()
        await _until(lambda: len(backend.heads) == 3)
        go.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert (type(answers[0]), answers[1:], backend.connections) == (asyncio.CancelledError, [b"ok"] * 5, 3)


async def test_a_call_that_waits_too_long_for_a_connection_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before: the time is one for waiting and being answered."""
    monkeypatch.setattr(pool, "CONNECTIONS", 1)
    async with raw_backend(written("")) as backend, before(backend, timeout=0.2) as calls:
        codes = await asyncio.gather(*(ask(calls, "POST") for _ in range(3)), return_exceptions=True)
        assert [code.status for code in codes if isinstance(code, Problem)] == [504] * 3
        assert calls.failures["late"] == 3


async def test_a_read_is_asked_of_the_other_backend_when_its_answer_is_garbage() -> None:
    """It changes nothing, so that it may begin twice."""
    async with raw_backend(written("garbage")) as bad, raw_backend(written(OK)) as good, before(bad, good) as calls:
        assert [await ask(calls) for _ in range(4)] == [b"ok"] * 4
        assert bad.heads


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.002)
