"""The listener by itself, without a kernel: probes, addresses, and the handler for everything else."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.web import BaseRequest

from galaxy_chassis.errors import BootError
from galaxy_chassis.http.response import AnyResponse, json_response, problem_response
from galaxy_chassis.http.server import HttpServer, answer_fixed


class Handler:
    """Answers as the API above the listener does, by the listener's state."""

    def __init__(self) -> None:
        self.server: HttpServer | None = None

    async def __call__(self, request: BaseRequest) -> AnyResponse:
        assert self.server is not None
        fixed, refusal = self.server.fixed.get(request.path), self.server.refusal
        if fixed is not None:
            return await answer_fixed(request, fixed)
        if refusal is not None:
            return problem_response(refusal(), "request-id")
        return json_response(200, b'{"served": true}', "request-id")


async def alive() -> tuple[int, Mapping[str, Any]]:
    return 200, {"status": "alive"}


@asynccontextmanager
async def listening(address: str = "127.0.0.1:0") -> AsyncIterator[tuple[HttpServer, aiohttp.ClientSession]]:
    """Start a server with one probe, and a client for it."""
    handler = Handler()
    server = handler.server = HttpServer(address, handler)
    server.serve_probe("/healthz", alive)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{server.address}") as client:
            yield server, client
    finally:
        await server.close()


async def test_probes_answer_before_it_is_open_and_while_it_drains() -> None:
    """Probes always answer; the rest is 503 `starting`, then served, then 503 `stopping`."""
    async with listening() as (server, client):
        seen = []
        for step in (None, server.open, None):
            if step is not None:
                step()
            elif seen:
                assert await server.drain(1.0) is True
            probe, rest = await client.get("/healthz"), await client.get("/thing")
            seen.append((probe.status, rest.status, (await rest.json()).get("code")))
        assert seen == [(200, 503, "starting"), (200, 200, None), (200, 503, "stopping")]


async def test_a_probe_takes_get_and_head_alone() -> None:
    """Another method is 405, with those that exist."""
    async with listening() as (_, client):
        answer = await client.post("/healthz")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_taken_address_is_named_by_its_variable() -> None:
    """The error names the variable to change."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BootError, match=f"BACKEND_HTTP_LISTEN_ADDR: cannot listen on {address}: another process"):
            await HttpServer(address, Handler()).start()


async def test_an_address_of_another_machine_is_refused() -> None:
    """An address that cannot be bound is a BootError too."""
    with pytest.raises(BootError, match="GATEWAY_LISTEN_ADDR.*choose an address of this machine"):
        await HttpServer("192.0.2.1:0", Handler(), variable="GATEWAY_LISTEN_ADDR").start()


async def test_ipv6_is_listened_on() -> None:
    """An address in brackets is one, and comes back in brackets."""
    async with listening("[::1]:0") as (server, client):
        assert server.address.startswith("[::1]:")
        assert (await client.get("/healthz")).status == 200


async def test_closing_twice_is_fine() -> None:
    """`close` is safe in every state."""
    server = HttpServer("127.0.0.1:0", Handler())
    await server.close()
    await server.start()
    await server.close()
    await server.close()
