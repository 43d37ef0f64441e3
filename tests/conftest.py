"""Fixtures with every plugin booted, and a real SMTP server behind them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiosmtpd.smtp import SMTP
from full_backend import ALL, Mailbox

from galaxy_devkit.testing import Boot, Booted


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
    await server.wait_closed()


@pytest.fixture
def mail_environment(mailbox: Mailbox) -> dict[str, str]:
    return {"BACKEND_SMTP_HOST": "127.0.0.1", "BACKEND_SMTP_PORT": str(mailbox.port), "BACKEND_SMTP_TLS_MODE": "none"}


@pytest.fixture
async def full_backend(boot: Boot, mail_environment: dict[str, str]) -> AsyncIterator[Booted]:
    """A backend with every plugin."""
    async with boot(*ALL, environment=mail_environment) as booted:
        yield booted
