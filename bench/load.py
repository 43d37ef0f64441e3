"""An HTTP load on a server: wrk on 16 connections where it is installed, otherwise raw sockets in a process of its own.

The latter ask one request at a time on each kept connection. They can be slower than a bare aiohttp, and then hide part
of a difference.
"""

import asyncio
import re
import shutil
import time
from collections.abc import Sequence
from typing import cast

from bench.process import alone, cpu_seconds
from bench.rounds import Values

CONNECTIONS = 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "
_WRK_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRK_TOTAL = re.compile(r"(\d+) requests in")
_WRK_FAULTS = re.compile(r"Non-2xx|Socket errors")


async def loaded(port: int, pid: int, path: str, token: str, seconds: float) -> Values:
    """Load a server, `pid`; return its answers for a second, and for a second of its CPU time.

    Raise RuntimeError unless all are 200.
    """
    await _load(port, path, token, 0.5)
    used = cpu_seconds(pid)
    rate, requests = await _load(port, path, token, seconds)
    return {"rate": rate, "by_cpu": requests / (cpu_seconds(pid) - used)}


async def _load(port: int, path: str, token: str, seconds: float) -> tuple[float, float]:
    """Return the requests a second and how many there were."""
    wrk = shutil.which("wrk")
    if wrk is None:
        given = await alone("bench.load:hammer", port=port, path=path, token=token, n=CONNECTIONS, seconds=seconds)
        return given["requests"] / given["seconds"], given["requests"]
    process = await asyncio.create_subprocess_exec(
        *(wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-H", f"Authorization: Bearer {token}"),
        f"http://127.0.0.1:{port}{path}",
        stdout=asyncio.subprocess.PIPE,
    )
    told = (await process.communicate())[0].decode()
    rate, total = _WRK_RATE.search(told), _WRK_TOTAL.search(told)
    if rate is None or total is None or _WRK_FAULTS.search(told):
        raise RuntimeError(f"wrk: the server failed, or the load: {told}")
    return float(rate[1]), float(total[1])


async def hammer(port: int, path: str, token: str, n: int, seconds: float) -> dict[str, float]:
    """Ask on `n` connections for some seconds; return how many answers came, and in how many seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(request), "127.0.0.1", port))[1] for _ in range(n)]
    return await driven(clients, seconds)


async def driven(clients: "Sequence[Client]", seconds: float) -> dict[str, float]:
    """Let connected clients ask for so long; return how many `requests` were answered in how many `seconds`.

    Raise what the first of them that failed raised.
    """
    started = time.perf_counter()
    for client in clients:
        client.ask()
    await asyncio.wait([client.failed for client in clients], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    took = time.perf_counter() - started
    for client in clients:
        if client.failed.done():
            client.failed.result()
        client.stop()
    return {"requests": float(sum(client.answers for client in clients)), "seconds": took}


class Client(asyncio.Protocol):
    """One connection that sends the same request again and again, one at a time."""

    def __init__(self, request: bytes) -> None:
        self.answers = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._pending = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it

    def ask(self) -> None:
        self._transport.write(self._request)

    def stop(self) -> None:
        if not self.failed.done():
            self.failed.set_result(None)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
        head = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, head) if head >= 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            self._pending = data
            return
        self._pending = b""
        if data.startswith(_OK):
            self.answers += 1
            self._transport.write(self._request)
        elif not self.failed.done():
            self.failed.set_exception(RuntimeError(f"load: the server answered {data[:200]!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(f"load: the server closed the connection ({error})"))
