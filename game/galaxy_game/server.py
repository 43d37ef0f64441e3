"""The engine contract over HTTP/1.1.

One thread and no locks: a call is read whole, done in one piece and answered in one write, so that calls on several
connections cannot come between each other, and half a request holds up nobody.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from galaxy_game.engine import Engine, package_version
from galaxy_game.model import canonical
from galaxy_game.requests import Refusal

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 4 * 1024 * 1024
"""Far above the largest snapshot of this game; a body of 16 MiB could need more memory than an engine has."""
ORDERS_LIMIT = 256 * 1024 + 1024
"""A seat's orders, and what stands around them."""
REQUEST_TIME = 30.0
"""Seconds for the rest of a request whose first bytes have come, and for the reader of an answer."""
IDLE_TIME = 600.0
"""Seconds for which a connection is kept without a request."""
USAGE = """galaxy-game: the reference engine. It is an HTTP server and takes no arguments; its settings are variables:
  PORT                 where it listens (8080)
  GALAXY_LISTEN_HOST   the address (all addresses)
  GALAXY_TOKEN         what calls must bear, if it is set
Hold it against the engine contract: galaxy-engine check "$(command -v galaxy-game)"
"""
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}
_SEAT = re.compile(r"/v1/seats/([1-9][0-9]{0,2})/(orders|validate|options|suggest)")

log = logging.getLogger("galaxy_game")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was read."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def keep(self) -> bool:
        """Whether the connection goes on after this request."""
        return self.headers.get("connection", "").lower() != "close"


class Server:
    """Answers requests for one engine."""

    def __init__(self, engine: Engine, token: str = "") -> None:
        self._engine = engine
        self._credentials = f"Bearer {token}".encode() if token else b""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until its other end, or what it sent, ends it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve(reader, writer):
                pass
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether another may follow."""
        async with asyncio.timeout(IDLE_TIME):  # not wait_for, which may swallow a cancellation (Python 3.11)
            first = await reader.readexactly(1)
        try:
            async with asyncio.timeout(REQUEST_TIME):
                request = await _read(first, reader, writer)
        except Refusal as refusal:
            # What follows is the rest of something that was not understood, or is too large to be read.
            _write(writer, refusal.status, _refused(refusal), keep=False)
            await _discard(reader, writer)
            return False
        status, content = self.answer(request)
        _write(writer, status, content, keep=request.keep)
        async with asyncio.timeout(REQUEST_TIME):
            await writer.drain()
        return request.keep

    def answer(self, request: Request) -> tuple[int, bytes]:
        """Return status and body. Nothing that a caller sends is a fault of the server."""
        try:
            return 200, self._route(request)
        except Refusal as refusal:
            return refusal.status, _refused(refusal)
        except Exception:
            log.exception("call_failed %s %s", request.method, request.path)
            return 500, canonical({"code": "internal", "message": "This is a fault of the engine; its log has more."})

    def _route(self, request: Request) -> bytes:
        if request.path == "/healthz":
            return _only("GET", request, lambda: b"{}")
        authorization = request.headers.get("authorization", "").encode("latin-1")
        if self._credentials and not hmac.compare_digest(authorization, self._credentials):
            raise Refusal(401, "unauthorized", "The bearer token is missing or wrong.")
        engine = self._engine
        match request.path:
            case "/v1/describe":
                return _only("GET", request, engine.describe)
            case "/v1/init":
                return _only("POST", request, lambda: engine.init(_parse(request.body)))
            case "/v1/state":
                return _only("PUT", request, lambda: engine.load(_parse(request.body)))
            case "/v1/turns":
                return _only("POST", request, lambda: engine.turn(_parse(request.body)))
        return self._seat(request)

    def _seat(self, request: Request) -> bytes:
        found = _SEAT.fullmatch(request.path)
        if not found:
            raise Refusal(404, "not_found", "The contract has no such path, or no such seat.")
        seat, call, engine = int(found[1]), found[2], self._engine
        if call == "options":
            return _only("GET", request, lambda: engine.options(seat))
        calls = {"orders": engine.order, "validate": engine.validate, "suggest": engine.suggest}
        return _only("POST", request, lambda: calls[call](seat, _parse(request.body)))


async def _read(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    try:
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise Refusal(431, "too_large", f"The head has at most {HEAD_LIMIT} bytes.") from None
    start, *lines = head.strip("\r\n").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = start.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Refusal(400, "bad_request", "This is not a request of HTTP/1.1.")
    if parts[2] == "HTTP/1.0":
        headers["connection"] = "close"
    path = parts[1].partition("?")[0]
    length = _length(headers, ORDERS_LIMIT if path.startswith("/v1/seats/") else BODY_LIMIT)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(parts[0], path, headers, await reader.readexactly(length))


def _length(headers: Mapping[str, str], limit: int) -> int:
    if "transfer-encoding" in headers:
        raise Refusal(411, "length_required", "Send the body with a Content-Length.")
    text = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Refusal(400, "bad_request", "Content-Length is a number.")
    if int(text) > limit:
        raise Refusal(413, "too_large", f"This body has at most {limit} bytes.")
    return int(text)


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on for a moment: closing with unread bytes would destroy the answer before it is read."""
    async with asyncio.timeout(2):
        await writer.drain()
        for _ in range(1024):
            if not await reader.read(64 * 1024):
                return


def _write(writer: asyncio.StreamWriter, status: int, content: bytes, *, keep: bool) -> None:
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        + ("" if keep else "Connection: close\r\n")
    )
    writer.write(head.encode() + b"\r\n" + content)  # one piece: two small ones cost 40 ms


def _refused(refusal: Refusal) -> bytes:
    return canonical({"code": refusal.code, "message": refusal.message})


def _only(method: str, request: Request, call: Callable[[], bytes]) -> bytes:
    if request.method != method:
        raise Refusal(405, "method_not_allowed", f"This path answers {method} alone.")
    return call()


def _parse(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_json", "The body is not JSON, or it is nested too deep.") from None


def _no_constant(name: str) -> object:
    raise ValueError(name)


async def serve(host: str, port: int, token: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = await asyncio.start_server(Server(Engine(), token).connected, host, port, limit=HEAD_LIMIT, backlog=128)
    log.info("listening %s:%s galaxy %s", host, port, package_version())
    await stop.wait()
    listener.close()
    log.info("stopped")


def main() -> None:
    """Serve on $PORT (8080) of $GALAXY_LISTEN_HOST (all addresses), with $GALAXY_TOKEN where there is one."""
    if sys.argv[1:]:
        wanted = sys.argv[1:] in (["-h"], ["--help"])
        (sys.stdout if wanted else sys.stderr).write(USAGE)
        sys.exit(0 if wanted else 2)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    port = os.environ.get("PORT") or "8080"
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        sys.exit(f"PORT is a number up to 65535, not {port!r}")
    host = os.environ.get("GALAXY_LISTEN_HOST") or "0.0.0.0"  # noqa: S104 -- the contract: all addresses of the container
    asyncio.run(serve(host, int(port), os.environ.get("GALAXY_TOKEN", "")))


if __name__ == "__main__":
    main()
