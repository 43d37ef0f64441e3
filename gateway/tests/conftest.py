"""A gateway in this process, before a backend that the test scripts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from gateway_doubles import QUIET, TOKEN, Front, Start, scripted_backend

from galaxy_gateway.gateway import Gateway, configure


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a gateway before a scripted backend, with more settings where given."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: str) -> Front:
            backend = await stack.enter_async_context(scripted_backend())
            environment = {
                **QUIET,
                "GATEWAY_TOKEN": TOKEN,
                "GATEWAY_LISTEN_ADDR": "127.0.0.1:0",
                "GATEWAY_BACKEND_URL": backend.url,
                **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()},
            }
            gateway = await stack.enter_async_context(Gateway(configure(environment)).running())
            client = await stack.enter_async_context(aiohttp.ClientSession(f"http://{gateway.address}"))
            return Front(gateway, backend, client)

        yield begin


@pytest.fixture
async def front(start: Start) -> Front:
    """A gateway with the least settings."""
    return await start()
