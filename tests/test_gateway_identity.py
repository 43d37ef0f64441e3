"""Who a client is, through a whole gateway before a whole backend: what it forges has no effect."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from full_backend import ALL, SEND

from galaxy_devkit.dev import edge
from galaxy_devkit.testing import GATEWAY_TOKEN, Boot, Booted

LIMITED = {"BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "1"}


@pytest.fixture
async def backend(boot: Boot, mail_environment: dict[str, str]) -> AsyncIterator[Booted]:
    """Return a backend in which each client address may ask for one code an hour."""
    async with boot(*ALL, environment=mail_environment | LIMITED) as booted:
        yield booted


@asynccontextmanager
async def gateway(backend: Booted, **settings: str) -> AsyncIterator[str]:
    """Run a gateway before it, and yield its address."""
    assert backend.kernel.rpc is not None
    push = backend.kernel.rpc.address
    own = {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
    async with edge.running(edge.environment("127.0.0.1:0", backend.url, push, GATEWAY_TOKEN) | own) as address:
        yield address


async def ask(gateway: str, number: int, headers: Mapping[str, str], *, address: str) -> int:
    """Ask for a code for a person's mailbox from an address of this machine, and return the status."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with (
        aiohttp.ClientSession(f"http://{gateway}", connector=connector) as client,
        client.post(SEND, json={"email": f"p{number}@example.test"}, headers=headers) as response,
    ):
        return response.status


def forged(number: int) -> dict[str, str]:
    """Return every header in which a client could name itself, another one each time."""
    elsewhere = f"198.51.100.{number}"
    return {
        "X-Forwarded-For": elsewhere,
        "X_Forwarded_For": elsewhere,
        "X-Forwarded-Host": "inside.example",
        "X-Real-IP": elsewhere,
        "X-Client-IP": elsewhere,
        "True-Client-IP": elsewhere,
        "CF-Connecting-IP": elsewhere,
        "Forwarded": f"for={elsewhere}",
        "X-Gateway-Token": GATEWAY_TOKEN,
        "X-Request-Id": f"forged-{number}",
    }


async def test_forged_headers_have_no_effect_on_who_is_counted(backend: Booted) -> None:
    """The backend throttles the true address, whatever a client calls itself, even with the gateway's own token."""
    async with gateway(backend) as address:
        statuses = [await ask(address, number, forged(number), address="127.0.0.2") for number in range(3)]
        others = [await ask(address, 3 + number, forged(9), address=f"127.0.0.{number + 3}") for number in range(2)]
    assert (statuses, others) == ([202, 429, 429], [202, 202])


async def test_a_trusted_proxy_names_the_client(backend: Booted) -> None:
    """The nearest address that is not a proxy's counts; what the client wrote before it does not."""
    chains = ("203.0.113.1", "198.51.100.7, 203.0.113.1", "203.0.113.1, 203.0.113.2")
    async with gateway(backend, trusted_proxies="127.0.0.2") as address:
        statuses = [
            await ask(address, number, {"X-Forwarded-For": chain}, address="127.0.0.2")
            for number, chain in enumerate(chains)
        ]
        assert await ask(address, 3, {"X-Forwarded-For": "203.0.113.1"}, address="127.0.0.3") == 202
    assert statuses == [202, 429, 202]
