"""Servers that a test starts and pytest stops."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from galaxy_kernel.manifest import Route
from galaxy_kernel.testing.http import Api, serving

Serve = Callable[..., Awaitable[Api]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Give what serves some routes of a plugin `demo` until the test ends; takes the options of `serving`."""
    async with AsyncExitStack() as stack:

        async def start(*routes: Route, **options: Any) -> Api:
            return await stack.enter_async_context(serving(routes, **options))

        yield start
