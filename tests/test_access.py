"""Access (SPEC K-13): a walk over every route, and each plugin alone."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from full_backend import ALL, SEND

from galaxy_admin.plugin import AdminPlugin
from galaxy_auth.plugin import AuthPlugin
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.testing import FakeAccounts, FakeOutbox
from galaxy_devkit.testing import GATEWAY_TOKEN, Boot, Booted, offering
from galaxy_kernel.core.assembly import describe_routes
from galaxy_kernel.http.route import Access, Route
from galaxy_mail.plugin import MailPlugin
from galaxy_user.plugin import UserPlugin


def routes(booted: Booted) -> list[Route]:
    return [route for _, route in describe_routes(booted.kernel.assembly)]


def path_of(route: Route) -> str:
    return re.sub(r"\{[a-z_]+\}", lambda _: str(uuid4()), route.path)


async def answers(booted: Booted, headers: dict[str, str], *accesses: Access) -> dict[str, int]:
    """Call every route of these accesses and return the statuses by route."""
    found = {}
    for route in routes(booted):
        if route.access in accesses:
            async with booted.client.request(route.method, path_of(route), headers=headers) as response:
                found[route.name] = response.status
    assert found
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer gxs_nosuchtoken"},
        {"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="},
        {"Authorization": "Basic ???"},
        {"X-Gateway-Token": "wrong"},
    ],
)
async def test_nobody_gets_in(full_backend: Booted, headers: dict[str, str]) -> None:
    """Without credentials, or with wrong ones, every closed route answers 401 before it reads a body."""
    found = await answers(full_backend, headers, Access.USER, Access.ADMIN, Access.INTERNAL)
    wrong_password = headers.get("Authorization", "").startswith("Basic bm9")  # which locks after a few attempts
    assert set(found.values()) == ({401, 429} if wrong_password else {401}), found


async def test_one_access_does_not_open_another(full_backend: Booted) -> None:
    """The gateway's token opens internal routes alone."""
    found = await answers(full_backend, {"X-Gateway-Token": GATEWAY_TOKEN}, Access.USER, Access.ADMIN)
    assert set(found.values()) == {401}


PERSONAL = re.compile(r'"(email|recipient|recipients|account_id|display_name|blocked_reason)"')


async def test_reads_of_personal_data_are_marked(full_backend: Booted) -> None:
    """Every list or view for operators whose answer holds an address, an account or its name is recorded when read."""
    marked = {route.name: route.personal for route in routes(full_backend) if route.access is Access.ADMIN}
    async with full_backend.client.get("/openapi.json") as response:
        document = await response.json()
    schemas, unmarked = document["components"]["schemas"], []

    def shown(schema: Any, seen: frozenset[str] = frozenset()) -> str:
        """Return a schema as text, with all that it refers to."""
        text = json.dumps(schema)
        names = set(re.findall(r"#/components/schemas/([^\"]+)", text)) - seen - {"Problem"}
        return text + "".join(shown(schemas[name], seen | names) for name in names)

    for path in document["paths"].values():
        operation = path.get("get", {"x-access": "public"})
        if operation["x-access"] == "admin" and not marked[operation["operationId"]]:
            answer = operation["responses"]["200"]["content"]
            if PERSONAL.search(shown(answer)):
                unmarked.append(operation["operationId"])
    assert unmarked == ["notification.kinds"], "it describes payloads, and holds none"
    assert {"user.show", "user.list", "mail.list_deliveries"} <= {name for name, personal in marked.items() if personal}


async def test_a_lookup_stands_in_the_audit_log(full_backend: Booted) -> None:
    """The kernel records who looked up whose account, by its id and never by its address."""
    async with full_backend.client.get("/api/v1/admin/users?email=ada@example.test") as response:
        assert response.status == 401
    async with full_backend.database.reading() as connection:
        query = "SELECT count(*) FROM admin_audit_log WHERE action = 'user.list'"
        assert (await connection.exec_driver_sql(query)).scalar_one() == 0, "only who got in is recorded"


async def test_without_its_provider_an_access_is_closed(boot: Boot) -> None:
    """Without the admin plugin its routes name the distribution that opens them; internal ones name the token."""
    async with boot(
        *(each for each in ALL if each is not AdminPlugin), environment={"BACKEND_GATEWAY_TOKEN": ""}
    ) as some:
        assert set((await answers(some, {}, Access.ADMIN, Access.INTERNAL)).values()) == {403}
        async with some.client.get("/api/v1/admin/users") as response:
            problem = await response.json()
    assert problem["code"] == "access_closed"
    assert "galaxy-backend-admin" in problem["detail"]


FAKES: dict[Any, type[Any] | None] = {
    AdminPlugin: None,
    MailPlugin: None,
    UserPlugin: None,
    AuthPlugin: offering("fakes", {ACCOUNTS: FakeAccounts(), OUTBOX: FakeOutbox()}),
}


@pytest.mark.parametrize("plugin", FAKES, ids=lambda plugin: plugin.manifest.name)
async def test_each_boots_alone(boot: Boot, plugin: type[Any]) -> None:
    """Every plugin starts with only fakes for what it requires, and is ready."""
    needed = FAKES[plugin]
    async with boot(plugin, *([needed] if needed else [])) as booted, booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()


async def test_forwarded_addresses_are_believed_from_trusted_proxies(boot: Boot) -> None:
    """A peer in BACKEND_TRUSTED_PROXIES names the client: the nearest address that is not a proxy's own."""
    environment = {"BACKEND_TRUSTED_PROXIES": "127.0.0.0/8,192.0.2.0/24", "BACKEND_AUTH_CODES_PER_IP_PER_HOUR": "1"}
    forwarded = ("198.51.100.1, 192.0.2.9", "198.51.100.2, 192.0.2.9", "203.0.113.1, 198.51.100.1, 192.0.2.8")
    statuses = []
    async with boot(*ALL, environment=environment) as booted:
        for number, chain in enumerate(forwarded):
            body, headers = {"email": f"p{number}@example.test"}, {"X-Forwarded-For": chain}
            async with booted.client.post(SEND, json=body, headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [202, 202, 429]


async def test_forwarded_addresses_are_believed_from_the_gateway_alone(full_backend: Booted) -> None:
    """The throttle by address counts the forwarded client only for a trusted caller."""

    async def ask(number: int, headers: dict[str, str]) -> int:
        async with full_backend.client.post(
            SEND, json={"email": f"p{number}@example.test"}, headers=headers
        ) as response:
            return response.status

    gateway = {"X-Gateway-Token": GATEWAY_TOKEN}
    statuses = [await ask(number, {**gateway, "X-Forwarded-For": f"198.51.100.{number}"}) for number in range(70)]
    assert set(statuses) == {202}
    statuses = [await ask(number, {"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(100, 162)]
    assert statuses.count(429) == 2
