"""A gateway in this process, before a backend that the test scripts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from gateway_doubles import QUIET, TOKEN, Front, ScriptedBackend, Start, scripted_backend
from push_backend import PushBackend
from store_fixtures import server

from galaxy_gateway.gateway import Gateway, configure

__all__ = ["front", "push", "server", "start"]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a gateway before a scripted backend, a new one unless given, with more settings where given."""
    async with AsyncExitStack() as stack:

        async def begin(backend: ScriptedBackend | None = None, **settings: str) -> Front:
            backend = backend or await stack.enter_async_context(scripted_backend())
            environment = {
                **QUIET,
                "GATEWAY_TOKEN": TOKEN,
                "GATEWAY_LISTEN_ADDR": "127.0.0.1:0",
                "GATEWAY_BACKEND_URL": backend.url,
                **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()},
            }
            gateway = await stack.enter_async_context(Gateway(configure(environment)).running())
            connector = aiohttp.TCPConnector(limit=0)
            client = aiohttp.ClientSession(f"http://{gateway.address}", connector=connector)
            await stack.enter_async_context(client)
            return Front(gateway, backend, client)

        yield begin


@pytest.fixture
async def front(start: Start) -> Front:
    """A gateway with the least settings."""
    return await start()


@pytest.fixture
async def push() -> AsyncIterator[PushBackend]:
    """A scripted push service that knows the gateways of this folder."""
    backend = PushBackend(token=TOKEN)
    await backend.start()
    yield backend
    await backend.stop()
