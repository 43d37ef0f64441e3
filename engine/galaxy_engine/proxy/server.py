"""The proxy's own listener: requests are read whole, judged, and answered one by one."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

import aiohttp
import msgspec
from aiohttp import web

from galaxy_engine.proxy.daemon import Upstream
from galaxy_engine.proxy.policy import Policy, RefusedError
from galaxy_engine.proxy.routes import Call, Routes, find, parameters

MOST_BODY = 256 * 1024
"""Bytes: a create of ours has three thousand."""
STOP_WITHIN = 2.0
"""Seconds that answers in progress may take when the proxy stops; a stream of events would take for ever."""


class Proxy:
    """Judges requests, and answers those that do not pass."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._pass(request)
        except RefusedError as refused:
            if request.transport is None:
                raise
            log("docker_request_refused", method=request.method, path=request.raw_path[:500], reason=str(refused))
            return web.json_response({"message": f"docker-proxy: {refused}"}, status=refused.status)

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Upgrade" in request.headers or "upgrade" in request.headers.get("Connection", "").lower():
            raise RefusedError("connections are not upgraded", 400)
        route, found = find(request.method, request.raw_path.partition("?")[0])
        params = parameters(route, list(request.rel_url.query.items()))
        body = await self._body(request) if request.body_exists else b""
        if body and not route.has_body:
            raise RefusedError("a body is not allowed there", 400)
        return await route.handler(self._routes, Call(request, found, params, body))

    @staticmethod
    async def _body(request: web.BaseRequest) -> bytes:
        body = bytearray()
        try:
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MOST_BODY:
                    raise RefusedError(f"the body has more than {MOST_BODY} bytes", 413)
        except aiohttp.ClientPayloadError:
            raise RefusedError("the body cannot be read", 400) from None
        return bytes(body)


@contextlib.asynccontextmanager
async def serving(policy: Policy, daemon: str, listener: socket) -> AsyncIterator[None]:
    """Serve at the socket for as long as the context lasts."""
    async with Upstream(daemon) as upstream:
        proxy = Proxy(Routes(policy, upstream))
        server = web.Server(proxy.handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=STOP_WITHIN)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()


def listen(address: str) -> socket:
    """Return a socket that listens at `unix:///path` or `host:port`. Raise ValueError or OSError if it cannot."""
    if address.startswith("unix://"):
        path = Path(address.removeprefix("unix://"))
        if path.is_socket():  # of a proxy that was killed
            path.unlink()
        listener = socket(AF_UNIX, SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o660)
    else:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"{address!r} is neither unix:///PATH nor HOST:PORT")
        listener = socket()
        listener.bind((host or "0.0.0.0", int(port)))  # noqa: S104  as everywhere else, :PORT is every interface
    listener.listen()
    return listener


async def serve(policy: Policy, daemon: str, address: str) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(policy, daemon, listen(address)):
        log("docker_proxy_started", address=address, daemon=daemon, stack=policy.stack)
        await stopped.wait()


def log(event: str, **fields: str) -> None:
    """Write a line of JSON to stdout."""
    line = {"time": datetime.now(UTC).isoformat(), "event": event, **fields}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
