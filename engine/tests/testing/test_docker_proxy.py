"""The proxy that strikes at calls to a Docker daemon."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galaxy_engine.testing.docker_proxy import STAGES, DockerProxy, Stage, kind

LISTING, START = (
    b"GET /v1.41/containers/json?all=1 HTTP/1.1\r\n\r\n",
    b"POST /v1.41/containers/c0ffee/start HTTP/1.1\r\n\r\n",
)
ANSWERS = {
    LISTING: (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",),
    START: (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"),
}


class ScriptedDaemon:
    """Answers the two calls, one of them in two parts, and notes which it got and which it did."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.did: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while call := await reader.read(1000):
            self.got.append(call)
            *beginning, end = ANSWERS[call]
            writer.writelines(beginning)
            await writer.drain()
            self.did.append(call)
            writer.write(end)
        writer.close()


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[ScriptedDaemon]:
    daemon = ScriptedDaemon()
    server = await asyncio.start_unix_server(daemon.serve, tmp_path / "d")
    yield daemon
    server.close()


@pytest.mark.parametrize("stage", STAGES)
async def test_the_client_never_sees_the_answer_of_the_call_that_is_struck(
    tmp_path: Path, daemon: ScriptedDaemon, stage: Stage
) -> None:
    """Other calls pass; the struck one never reaches the daemon `before`, is with it when `sent`, and done at last."""
    at_the_strike: list[tuple[int, int]] = []

    async def strike() -> None:
        at_the_strike.append((daemon.got.count(START), daemon.did.count(START)))

    async with DockerProxy(tmp_path / "p", f"unix://{tmp_path}/d") as proxy:
        proxy.arm("POST containers/{id}/start", stage, strike, occurrence=2)
        reader, writer = await asyncio.open_unix_connection(proxy.path)
        for call in (LISTING, START):
            writer.write(call)
            assert await reader.readexactly(len(b"".join(ANSWERS[call]))) == b"".join(ANSWERS[call])
        assert not proxy.reached
        writer.write(START)
        assert await reader.read() == b""
        await proxy.struck.wait()
        writer.close()
    assert at_the_strike == [(1, 1) if stage == "before" else (2, 2)]
    assert daemon.got.count(START) == (1 if stage == "before" else 2), "nor is it sent after the strike"
    assert proxy.calls == {"GET containers/json": 1, "POST containers/{id}/start": 2}


async def test_a_call_whose_client_hangs_up_is_struck_all_the_same(tmp_path: Path, daemon: ScriptedDaemon) -> None:
    """Who waits for a strike that has been reached does not wait for ever."""
    release, struck = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    async def strike() -> None:
        struck.set()

    server = await asyncio.start_unix_server(hold, tmp_path / "silent")
    async with server, DockerProxy(tmp_path / "p", f"unix://{tmp_path}/silent") as proxy:
        proxy.arm("POST containers/{id}/start", "answered", strike)
        _, writer = await asyncio.open_unix_connection(proxy.path)
        writer.write(START)
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            await proxy.struck.wait()
        release.set()
    assert struck.is_set() and proxy.reached


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (b"GET /v1.41/containers/json?all=1 HTTP/1.1", "GET containers/json"),
        (b"GET /containers/galaxy-7e-1/json HTTP/1.1", "GET containers/{id}/json"),
        (b"DELETE /v1.41/containers/c0ffee?force=True&v=True HTTP/1.1", "DELETE containers/{id}"),
        (b"POST /v1.41/containers/create?name=galaxy-7e-1 HTTP/1.1", "POST containers/create"),
        (b"POST /v1.41/containers/c0ffee/stop?t=5 HTTP/1.1", "POST containers/{id}/stop"),
        (b"GET /v1.41/images/127.0.0.1:5000/galaxy/game@sha256:ab/json HTTP/1.1", "GET images/{id}/json"),
        (b"POST /v1.41/images/create?fromImage=a%2Fb&tag=1 HTTP/1.1", "POST images/create"),
        (b"GET /v1.41/networks?filters=%7B%7D HTTP/1.1", "GET networks"),
        (b"DELETE /v1.41/networks/c0ffee HTTP/1.1", "DELETE networks/{id}"),
        (b"GET /v1.41/events?filters=%7B%7D HTTP/1.1", "GET events"),
        (b'{"Image": "GET /a HTTP/1.1"}', None),
    ],
)
def test_a_calls_kind_is_its_method_and_path_without_names(request_line: bytes, expected: str | None) -> None:
    """Two calls are of one kind where they differ by the name of what they are about alone; a body is not a call."""
    assert kind(request_line + b"\r\n") == expected
