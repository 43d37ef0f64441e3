"""The service is what its description says: what fits is not refused, and what is answered is described."""

import asyncio
import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import requests
import schemathesis
from aiosmtpd.smtp import SMTP
from full_backend import ALL, Mailbox, api_document, sign_in
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis import check
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from galaxy_contracts.formats import parse_name
from galaxy_devkit.testing import GATEWAY_TOKEN, PostgresCluster
from galaxy_devkit.testing.kernel import make_boot

CODES = {
    "BACKEND_ADMIN_BOOTSTRAP_USER": "root",
    "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "the first password",
    "BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "100000",
    "BACKEND_SMTP_TLS_MODE": "none",
}
schema = schemathesis.openapi.from_dict(deepcopy(api_document()))


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


def _valid_name(text: str) -> bool:
    try:
        return bool(parse_name(text))
    except ValueError:
        return False


schemathesis.openapi.format("iana-time-zone", st.sampled_from(["Europe/Vienna", "UTC", "America/New_York"]))
schemathesis.openapi.format("visible-line", st.text(min_size=1, max_size=80).filter(_valid_name))
BEYOND_SCHEMA = {
    "admin.change_own_password": {"new_password"},
    "admin.create": {"password", "username"},
    "lobby.create": {"engine_version", "max_players", "min_players", "schedule", "options", "policy"},
    "lobby.edit": {"engine_version", "max_players", "min_players", "schedule", "options", "policy"},
    "lobby.extend": {"body", "by", "until"},
    "lobby.invite": {"body", "account_id"},
    "notification.choose": {"kind"},
    "notification.test": {"kind", "payload", "account_id"},
}
"""Fields that may be refused although they fit the schema: it cannot say that something must exist or be enough."""

schema.config.generation.update(allow_x00=False, modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@check
def refuses_nothing_that_fits(_: Any, response: Any, case: Any) -> None:
    """Fail where a request that fits the description is refused for its form."""
    generated = case.meta is not None and case.meta.generation.mode
    if generated is not GenerationMode.POSITIVE or response.status_code not in (400, 413, 415, 422):
        return
    problem = response.json()
    fields = {fault["field"].partition(".")[0] for fault in problem.get("errors", [{"field": problem["code"]}])}
    beyond = fields - BEYOND_SCHEMA.get(case.operation.definition.raw["operationId"], set())
    assert not beyond, f"{case.operation.label}: {problem}"


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    refuses_nothing_that_fits,
]


@schema.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_service_is_as_described(case: Any, service: tuple[str, str]) -> None:
    """No operation, called with its access, answers 5xx, refuses what fits, or answers what is not described."""
    address, token = service
    headers = {"X-Gateway-Token": GATEWAY_TOKEN}
    auth = ("root", "a changed one, long") if "/admin/" in case.operation.path else None
    leaves = case.operation.label == "DELETE /api/v1/user/account"  # would delete the token too
    if "/user/" in case.operation.path and not leaves:
        headers["Authorization"] = f"Bearer {token}"
    case.headers.pop("Authorization", None)
    case.call_and_validate(base_url=address, headers=headers, auth=auth, checks=CHECKS, timeout=20)
