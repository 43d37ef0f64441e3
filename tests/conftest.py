"""Fixtures with every plugin booted, and a real SMTP server behind them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from full_backend import ALL, Mailbox, receiving

from galaxy_devkit.testing import Boot, Booted


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with receiving() as box:
        yield box


@pytest.fixture
def mail_environment(mailbox: Mailbox) -> dict[str, str]:
    return mailbox.environment


@pytest.fixture
async def full_backend(boot: Boot, mail_environment: dict[str, str]) -> AsyncIterator[Booted]:
    """A backend with every plugin."""
    async with boot(*ALL, environment=mail_environment) as booted:
        yield booted


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One `backend dev` for all tests of the page: each has people of its own."""
    from page_people import Backend

    running = Backend(tmp_path_factory.mktemp("page") / "data", {"BACKEND_LOBBY_MIN_INTERVAL": "1s"})
    yield running
    running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """One browser for the tests of a file, which run on its event loop."""
    from page_people import browsers

    async with browsers() as browser:
        yield browser
