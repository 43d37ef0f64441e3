"""Countries end to end (SPEC G-1 to G-3, U-3): from the gateway's client address to the operators' lists."""

import asyncio
import base64
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from full_backend import ALL, CONFIRM, SEND, Mailbox, Served
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from sqlalchemy import text

from galaxy_contracts.geo import COUNTRIES
from galaxy_devkit.testing import GATEWAY_TOKEN, Boot, Booted
from galaxy_kernel.database import Database, make_engine, schema_of

OPERATOR = {"BACKEND_ADMIN_BOOTSTRAP_USER": "olga", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "first password of olga"}
SECOND = "wholly-different-4711-words"
ACCOUNT = "/api/v1/user/account"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a country database."""
    path = tmp_path / "country.mmdb"
    writer = MMDBWriter(6, "GeoLite2-Country", ipv4_compatible=True)
    for network, country in (("192.0.2.0/24", "AT"), ("2001:db8::/32", "JP")):
        writer.insert_network(IPSet([network]), {"country": {"iso_code": country}})
    writer.to_db_file(str(path))
    return path


def from_(address: str, token: str = "") -> dict[str, str]:
    """Return the headers of a request that the gateway forwards."""
    headers = {"X-Gateway-Token": GATEWAY_TOKEN, "X-Forwarded-For": address}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


async def signed_in(booted: Booted, mailbox: Mailbox, address: str) -> Any:
    """Sign in by way of the gateway."""
    headers, email = from_(address), "ada@example.test"
    async with booted.client.post(SEND, json={"email": email}, headers=headers) as response:
        challenge_id = (await response.json())["challenge_id"]
    body = {"challenge_id": challenge_id, "code": await mailbox.code_to(email)}
    async with booted.client.post(CONFIRM, json=body, headers=headers) as response:
        assert response.status == 201
        return await response.json()


async def as_operator(booted: Booted, path: str) -> Any:
    """Make a request as the operator, whose first password is changed by now."""
    headers = {"Authorization": "Basic " + base64.b64encode(f"olga:{SECOND}".encode()).decode()}
    async with booted.client.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def change_password(booted: Booted) -> None:
    first = OPERATOR["BACKEND_ADMIN_BOOTSTRAP_PASSWORD"]
    headers = {"Authorization": "Basic " + base64.b64encode(f"olga:{first}".encode()).decode()}
    body = {"current_password": first, "new_password": SECOND}
    async with booted.client.put("/api/v1/admin/admins/me/password", json=body, headers=headers) as response:
        assert response.status in (200, 204), await response.text()


async def test_where_players_come_from(
    boot: Boot, mail_environment: dict[str, str], mailbox: Mailbox, database: Path
) -> None:
    """A country is declared at sign-in, requests are counted, operators see both, and deletion removes both."""
    environment = mail_environment | OPERATOR | {"BACKEND_GEOIP_DB_PATH": str(database)}
    async with boot(*ALL, environment=environment) as booted:
        session = await signed_in(booted, mailbox, "192.0.2.7")
        account_id, token = session["account"]["id"], session["session_token"]
        assert session["account"]["declared_country"] == "AT"
        for address in ("192.0.2.7", "192.0.2.8", "2001:db8::1"):
            async with booted.client.get(ACCOUNT, headers=from_(address, token)) as response:
                assert (await response.json())["declared_country"] == "AT"
        await change_password(booted)
        geo: Any = booted.kernel.services.require(COUNTRIES, asked_by="the test")
        await geo.flush()
        shown = await as_operator(booted, f"/api/v1/admin/users/{account_id}")
        assert shown["declared_country"] == "AT"
        assert [(each["country"], each["requests"]) for each in shown["countries"]] == [("AT", 2), ("JP", 1)]
        listed = await as_operator(booted, f"/api/v1/admin/users/{account_id}/countries")
        assert listed["items"] == shown["countries"]
        summary = await as_operator(booted, "/api/v1/admin/geo/summary")
        assert [(each["country"], each["accounts"]) for each in summary["items"]] == [("AT", 1), ("JP", 1)]
        async with booted.client.delete(ACCOUNT, headers=from_("192.0.2.7", token)) as response:
            assert response.status == 204
        await _until_told(booted)
        await geo.flush()
        shown = await as_operator(booted, f"/api/v1/admin/users/{account_id}")
        assert (shown["declared_country"], shown["countries"]) == (None, [])


@pytest.mark.slow
async def test_a_kill_loses_what_was_not_written_and_no_more(
    boot: Boot, empty_database: str, mail_environment: dict[str, str], mailbox: Mailbox, database: Path
) -> None:
    """Written counts survive kill -9 of the process, a stop writes them all, and the file is read again."""
    environment = mail_environment | {"BACKEND_GEOIP_DB_PATH": str(database)}
    async with boot(*ALL, environment=environment, dsn=empty_database) as booted:
        session = await signed_in(booted, mailbox, "192.0.2.7")
        token, account = session["session_token"], UUID(session["account"]["id"])
    async with Served(empty_database, environment) as first:
        await _ask(first, token, times=10)
        async with asyncio.timeout(20):
            while await _counted(empty_database, account) != 10:
                await asyncio.sleep(0.05)
        await _ask(first, token, times=7)
        await first.kill()
    left = await _counted(empty_database, account)
    assert 10 <= left <= 17
    async with Served(empty_database, environment) as second:
        await _ask(second, token, times=3)
    assert await _counted(empty_database, account) == left + 3


async def _ask(served: Served, token: str, *, times: int) -> None:
    async with aiohttp.ClientSession(served.url) as client:
        for _ in range(times):
            async with client.get(ACCOUNT, headers=from_("192.0.2.7", token)) as response:
                assert response.status == 200


async def _counted(dsn: str, account_id: UUID) -> int:
    """Return an account's requests from AT, its only country."""
    database = Database(make_engine(dsn), schema_of(dsn))
    query = "SELECT coalesce(sum(requests), 0) FROM user_country_counters WHERE account_id = :id AND country = 'AT'"
    try:
        async with database.reading() as connection:
            return int((await connection.execute(text(query), {"id": account_id})).scalar_one())
    finally:
        await database.close()


async def _until_told(booted: Booted) -> None:
    async with asyncio.timeout(10):
        while True:
            async with booted.database.reading() as connection:
                query = "SELECT count(*) FROM facts WHERE listener = 'geo'"
                if not (await connection.exec_driver_sql(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)
