"""The main job: a person signs in with a code read from a real mail."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from full_backend import ALL, Mailbox, sign_in

from galaxy_chassis.clock import SystemClock
from galaxy_devkit.testing import Boot, Booted
from galaxy_kernel.database.clock import DatabaseClock


async def account(client: aiohttp.ClientSession, token: str) -> int:
    async with client.get("/api/v1/user/account", headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status


async def test_sign_in_by_a_code_from_a_real_mail(full_backend: Booted, mailbox: Mailbox) -> None:
    """From the request to the mail's bytes and back: an account, a session, a token that opens."""
    session = await sign_in(full_backend, mailbox, "ada@example.test")
    assert session["account"]["email"] == "ada@example.test"
    assert await account(full_backend.client, session["session_token"]) == 200
    headers = {"Authorization": f"Bearer {session['session_token']}"}
    async with full_backend.client.get("/api/v1/user/account", headers=headers) as response:
        assert await response.json() == session["account"], "both plugins show an account alike"
    mail = await mailbox.mail_to("ada@example.test")
    assert mail["Message-ID"]
    assert mail.get_body(("html",)) is not None


class MachineOff(SystemClock):
    """A machine whose wall clock is set wrong."""

    def __init__(self, hours: float) -> None:
        self._off = timedelta(hours=hours)

    def now(self) -> datetime:
        return super().now() + self._off


@pytest.mark.parametrize("hours", [-1, -0.1, 1])
async def test_a_machine_whose_clock_is_off_signs_in(
    boot: Boot, mailbox: Mailbox, mail_environment: dict[str, str], hours: float
) -> None:
    """The code arrives and opens, the throttles know only their own lengths, and `/readyz` says what is wrong."""
    async with boot(*ALL, environment=mail_environment, clock=DatabaseClock(MachineOff(hours))) as booted:
        session = await sign_in(booted, mailbox, "ada@example.test")
        assert await account(booted.client, session["session_token"]) == 200
        started = datetime.fromisoformat(session["account"]["created_at"])
        assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)
        async with booted.client.get("/readyz") as response:
            body = await response.json()
        clock = next(check for check in body["checks"] if (check["plugin"], check["name"]) == ("kernel", "clock"))
        assert (response.status, clock["state"], body["status"]) == (200, "degraded", "ready")


async def test_revoked_token_is_dead_on_the_other_replica_within_a_second(
    boot: Boot, full_backend: Booted, mailbox: Mailbox, mail_environment: dict[str, str]
) -> None:
    """A session of one replica is valid on the other, and is refused there as soon as here."""
    async with boot(*ALL, environment=mail_environment, dsn=full_backend.dsn) as other:
        token = (await sign_in(full_backend, mailbox, "ada@example.test"))["session_token"]
        async with asyncio.timeout(1):
            while await account(other.client, token) != 200:
                await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {token}"}
        async with full_backend.client.get("/api/v1/user/sessions", headers=headers) as response:
            (session,) = (await response.json())["items"]
        async with full_backend.client.delete(f"/api/v1/user/sessions/{session['id']}", headers=headers) as response:
            assert response.status in (200, 204)
        assert await account(full_backend.client, token) == 401
        async with asyncio.timeout(1):
            while await account(other.client, token) != 401:
                await asyncio.sleep(0.01)


async def test_deleting_an_account_closes_everything_and_scrubs_it(full_backend: Booted, mailbox: Mailbox) -> None:
    """After a deletion no table holds the address, and the token is refused at once."""
    token = (await sign_in(full_backend, mailbox, "gone@example.test"))["session_token"]
    async with full_backend.client.delete(
        "/api/v1/user/account", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        assert response.status == 204
    assert await account(full_backend.client, token) == 401
    async with asyncio.timeout(5):
        while any("gone@example.test" in row for row in await everything(full_backend)):
            await asyncio.sleep(0.05)


async def everything(booted: Booted) -> list[str]:
    """Every row of every table."""
    from sqlalchemy import text

    tables = text("SELECT tablename FROM pg_tables WHERE schemaname = 'backend'")
    async with booted.database.reading() as connection:
        names = (await connection.execute(tables)).scalars().all()
        queries = [text(f'SELECT t::text FROM "{name}" t') for name in names]
        return [row for query in queries for row in (await connection.execute(query)).scalars()]
