"""Requests that fit the API's description, and many that do not, are answered without a server error."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from aiosmtpd.smtp import SMTP
from full_backend import ALL, Mailbox, sign_in
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from galaxy_devkit.testing import GATEWAY_TOKEN, PostgresCluster
from galaxy_devkit.testing.kernel import make_boot
from galaxy_kernel.core.assembly import assemble, describe_routes
from galaxy_kernel.http import openapi

CODES = {
    "BACKEND_ADMIN_BOOTSTRAP_USER": "root",
    "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "the first password",
    "BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "100000",
    "BACKEND_SMTP_TLS_MODE": "none",
}
schema = schemathesis.openapi.from_dict(openapi.build(describe_routes(assemble({}))))


@pytest.fixture(scope="module")
def service(postgres_cluster: PostgresCluster) -> Iterator[tuple[str, str]]:
    """A kernel with every plugin, on a thread and a loop of its own, with an operator and a player; URL and token."""
    started, stopping, found = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        box = Mailbox()
        server = await loop.create_server(lambda: SMTP(box), "127.0.0.1", 0)
        relay = {"BACKEND_SMTP_PORT": str(server.sockets[0].getsockname()[1])}
        async with make_boot(postgres_cluster)(*ALL, environment=CODES | relay) as booted:
            session = await sign_in(booted, box, "ada@example.test")
            found.extend((booted.url, session["session_token"]))
            started.set()
            await stopping.wait()
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(60)
    changed = requests.put(
        f"{found[0]}/api/v1/admin/admins/me/password",
        json={"current_password": "the first password", "new_password": "a changed one, long"},
        auth=("root", "the first password"), timeout=30,
    )  # fmt: skip
    assert changed.status_code == 204
    yield found[0], found[1]
    loop.call_soon_threadsafe(stopping.set)
    thread.join(30)
    loop.close()


@schema.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_server_error(case: Any, service: tuple[str, str]) -> None:
    """No operation, called with its access, answers 5xx."""
    address, token = service
    headers = {"X-Gateway-Token": GATEWAY_TOKEN}
    auth = ("root", "a changed one, long") if "/admin/" in case.operation.path else None
    leaves = case.operation.label == "DELETE /api/v1/user/account"  # would delete the token too
    if "/user/" in case.operation.path and not leaves:
        headers["Authorization"] = f"Bearer {token}"
    case.headers.pop("Authorization", None)
    case.call_and_validate(base_url=address, headers=headers, auth=auth, checks=[not_a_server_error], timeout=20)
