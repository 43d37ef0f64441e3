"""The contract over HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from galaxy_game.engine import Engine
from galaxy_game.server import BODY_LIMIT, HEAD_LIMIT, ORDERS_LIMIT, Request, Server

TOKEN = "t" * 40
INIT = {"game_id": "g", "seed": "s", "options": {}, "seats": [{"seat": 1, "name": "A"}, {"seat": 2, "name": "B"}]}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.start_server(Server(Engine()).connected, "127.0.0.1", 0, limit=HEAD_LIMIT)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def talk(port: int, sent: bytes) -> bytes:
    """Send bytes; return everything that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    return received


def raw(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def ask(server: Server, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    code, content = server.answer(Request(method, path, headers, json.dumps(body).encode()))
    return code, json.loads(content)


def test_routes() -> None:
    """Every path of the contract is answered, to its own method alone."""
    server = Server(Engine())
    code, position = ask(server, "POST", "/v1/init", INIT)
    assert code == 200
    orders = {"turn": 0, "orders": []}
    for method, path, body in [
        ("GET", "/healthz", None), ("GET", "/v1/describe", None), ("GET", "/v1/seats/1/options", None),
        ("PUT", "/v1/state", {"turn": 0, "state": position["state"]}), ("POST", "/v1/seats/1/orders", orders),
        ("POST", "/v1/seats/2/validate", orders), ("POST", "/v1/seats/2/suggest", {"turn": 0}),
        ("POST", "/v1/turns", {"turn": 0, "seed": "s", "absent": []}),
    ]:  # fmt: skip
        assert ask(server, method, path, body)[0] == 200, path
        code, refusal = ask(server, "DELETE", path, body)
        assert (code, refusal["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/turns/", "/v1/seats/x/orders", "/v1/seats/0/orders", "/v1/seats/01/orders",
     "/v1/seats/1000/options", "/v1/seats/٣/orders", "/v1/seats/-1/options", "/v1/seats/1/burn", "/v2/describe",
     "/v1/seats/9/orders"],
)  # fmt: skip
def test_not_found(path: str) -> None:
    """Paths and seats that do not exist are 404."""
    server = Server(Engine())
    ask(server, "POST", "/v1/init", INIT)
    assert ask(server, "POST", path, {"turn": 0, "orders": []})[0] == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"NaN", b'{"turn": Infinity}', b"[" * 100_000, b"[" * 900 + b"]" * 900,
             b'{"a":' * 100_000, b"9" * 5000, b'"\\ud800"', b"null", b"[]", b"7"],
    ids=range(13),
)  # fmt: skip
def test_rubbish(body: bytes) -> None:
    """What is not JSON, or not an object, is the caller's fault on every path."""
    server = Server(Engine())
    ask(server, "POST", "/v1/init", INIT)
    for method, path in [
        ("POST", "/v1/init"),
        ("PUT", "/v1/state"),
        ("POST", "/v1/turns"),
        ("POST", "/v1/seats/1/orders"),
    ]:
        code, content = server.answer(Request(method, path, {}, body))
        assert code in {400, 422}
        assert set(json.loads(content)) == {"code", "message"}


def test_deep_state() -> None:
    """A snapshot nested as deep as the parser bears is refused like any other malformed one."""
    body = b'{"turn": 0, "state": {"format": 1, "digest": "", "game": ' + b"[" * 970 + b"]" * 970 + b"}}"
    assert Server(Engine()).answer(Request("PUT", "/v1/state", {}, body))[0] in {400, 422}


def test_fault_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A defect is 500 with nothing of its inside in the answer, and stands in the log."""
    monkeypatch.setattr(Engine, "describe", lambda self: 1 // 0)
    code, answer = ask(Server(Engine()), "GET", "/v1/describe")
    assert (code, answer["code"]) == (500, "internal")
    assert "ZeroDivisionError" in caplog.text
    assert "Zero" not in answer["message"]


def test_token() -> None:
    """With a token set, calls without it are 401 and change nothing; health needs none."""
    server = Server(Engine(), TOKEN)
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": TOKEN}, {"authorization": "Bearer ü"}):
        assert ask(server, "POST", "/v1/init", INIT, **wrong)[0] == 401
    assert ask(server, "GET", "/healthz")[0] == 200
    assert ask(server, "GET", "/v1/seats/1/options", authorization=f"Bearer {TOKEN}")[0] == 409


async def test_keep_alive(port: int) -> None:
    """A connection serves one request after another, pipelined too, until it is told to close."""
    received = await talk(port, raw("GET", "/healthz") * 3 + raw("GET", "/nowhere", b"", "Connection: close") + b"rest")
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"HTTP/1.1 404 Not Found") == 1
    assert received.count(b"Connection: close") == 1


async def test_one_write(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body leave in one piece: two would cost the reader 40 ms."""
    written: list[bytes] = []
    original = asyncio.StreamWriter.write

    def write(self: asyncio.StreamWriter, data: bytes) -> None:
        written.append(data)
        original(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", write)
    await talk(port, raw("GET", "/v1/describe"))
    assert sum(data.startswith(b"HTTP/1.1 200") and data.endswith(b"}") for data in written) == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"rubbish\r\n\r\n", 400), (b"\r\n\r\n\r\n", 400), (b"GET /healthz HTTP/2.0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200), (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (raw("GET", "/healthz?x=1"), 200), (raw("BREW", "/healthz"), 405),
        (raw("POST", "/v1/init", b"", "Transfer-Encoding: chunked"), 411),
        (b"POST /v1/init HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /v1/init HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_LIMIT + b"\r\n\r\n", 431),
        (raw("POST", "/v1/seats/1/orders", b"x" * (ORDERS_LIMIT + 1)), 413),
        (raw("PUT", "/v1/state", b"x" * (BODY_LIMIT + 1)), 413),
        (raw("PUT", "/v1/state", b"x" * BODY_LIMIT), 400),
    ],
    ids=range(14),
)  # fmt: skip
async def test_requests(port: int, sent: bytes, expected: int) -> None:
    """Requests that are malformed or too large are refused, and the server goes on."""
    assert status(await talk(port, sent)) == expected
    assert status(await talk(port, raw("GET", "/healthz"))) == 200


async def test_too_large_while_sending(port: int) -> None:
    """A sender of 17 MiB reads its refusal: the rest is read and thrown away."""
    assert status(await talk(port, raw("PUT", "/v1/state", b"x" * 17 * 1024 * 1024))) == 413


async def test_expect(port: int) -> None:
    """A client that waits for leave to send its body gets it."""
    body = json.dumps(INIT).encode()
    received = await talk(port, raw("POST", "/v1/init", body, "Expect: 100-continue"))
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


async def test_half_requests(port: int) -> None:
    """Half a request, however many, holds up nobody."""
    halves = []
    for half in [b"G", b"POST /v1/init HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"] * 40:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(half)
        await writer.drain()
        halves.append(writer)
    assert status(await talk(port, raw("GET", "/healthz"))) == 200
    for writer in halves:
        writer.close()


def answered(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(raw("GET", "/healthz", b"", "Connection: close"))
            return connection.recv(100).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def process(free_port: int) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PORT": str(free_port), "GALAXY_LISTEN_HOST": "127.0.0.1"}
    started = subprocess.Popen(
        [sys.executable, "-m", "galaxy_game.server"], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    started.communicate()


def test_process(process: subprocess.Popen[str], free_port: int) -> None:
    """As a process it listens on $PORT, says so on stdout, and stops on SIGTERM although connections are open."""
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    assert answered(free_port)
    with socket.create_connection(("127.0.0.1", free_port)) as idle:
        idle.sendall(b"GET /heal")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert "stopped" in process.stdout.readline()


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("serve", 2)])
def test_arguments(argument: str, status: int) -> None:
    """There are none: instead of serving, it says how it is set up."""
    command = [sys.executable, "-m", "galaxy_game.server", argument]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == status
    assert "GALAXY_TOKEN" in (done.stdout if status == 0 else done.stderr)


def test_bad_port() -> None:
    """An invalid port is reported in one line."""
    for port in ("x", "99999"):
        done = subprocess.run(
            [sys.executable, "-m", "galaxy_game.server"],
            env=os.environ | {"PORT": port},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == f"PORT is a number up to 65535, not '{port}'\n"
