"""Faults from outside: Postgres down, the relay faulty, kill -9 of the process."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from full_backend import ALL, CONFIRM, SEND, Mailbox, Served, post
from sqlalchemy import text

from galaxy_devkit.postgres.server import EmbeddedPostgres
from galaxy_devkit.testing import Boot, Booted


async def states(booted: Booted) -> list[str]:
    async with booted.database.reading() as connection:
        return list((await connection.execute(text("SELECT state FROM mail_deliveries"))).scalars())


async def until(booted: Booted, wanted: list[str]) -> None:
    async with asyncio.timeout(20):
        while await states(booted) != wanted:
            await asyncio.sleep(0.05)


async def relay(booted: Booted) -> dict[str, Any]:
    booted.kernel.probes.forget()
    async with booted.client.get("/readyz") as response:
        assert response.status == 200
        return next(check for check in (await response.json())["checks"] if check["name"] == "relay")


async def ready(booted: Booted) -> tuple[int, set[str]]:
    """Return the status of /readyz, and the failed checks."""
    booted.kernel.probes.forget()
    async with booted.client.get("/readyz") as response:
        checks = (await response.json())["checks"]
        return response.status, {check["name"] for check in checks if check["state"] == "failed"}


async def test_postgres_away_is_503_that_names_it(
    boot: Boot, tmp_path: Path, mail_environment: dict[str, str], mailbox: Mailbox
) -> None:
    """Without Postgres a write is 503 at once and a cached read succeeds; with it back writes do too."""
    async with (
        EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres,
        boot(*ALL, environment=mail_environment, dsn=postgres.dsn()) as booted,
    ):
        _, challenge = await post(booted, SEND, {"email": "ada@example.test"})
        body = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to("ada@example.test")}
        _, session = await post(booted, CONFIRM, body)
        await postgres.stop("immediate")
        async with asyncio.timeout(10):
            people = [f"p{number}@example.test" for number in range(30)]
            answers = await asyncio.gather(*(post(booted, SEND, {"email": email}) for email in people))
        assert {(status, problem["code"]) for status, problem in answers} == {(503, "database_unavailable")}
        assert all("Postgres" in problem["detail"] for _, problem in answers)
        assert await ready(booted) == (503, {"postgres"})
        headers = {"Authorization": f"Bearer {session['session_token']}"}
        async with booted.client.get("/api/v1/user/account", headers=headers) as response:
            assert response.status == 200
        await postgres.start()
        async with asyncio.timeout(20):
            while (await post(booted, SEND, {"email": "bob@example.test"}))[0] != 202:
                await asyncio.sleep(0.2)
            while (await ready(booted))[0] != 200:
                await asyncio.sleep(0.2)
        assert len(await mailbox.code_to("bob@example.test")) == 8


async def test_relay_that_is_gone_pauses_and_costs_nothing(boot: Boot, unused_tcp_port: int) -> None:
    """While the relay is down the mail waits without losing an attempt; the probe reports it and does not gate."""
    environment = {"BACKEND_SMTP_PORT": str(unused_tcp_port), "BACKEND_SMTP_TLS_MODE": "none"}
    async with boot(*ALL, environment=environment) as booted:
        assert (await post(booted, SEND, {"email": "ada@example.test"}))[0] == 202
        async with asyncio.timeout(10):
            while (await relay(booted))["state"] != "degraded":
                await asyncio.sleep(0.05)
        async with booted.database.reading() as connection:
            row = (await connection.execute(text("SELECT state, attempts FROM mail_deliveries"))).one()
        assert tuple(row) == ("pending", 0)
        assert "BACKEND_SMTP_HOST" in (await relay(booted))["detail"]
        box = Mailbox()
        from aiosmtpd.smtp import SMTP

        server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", unused_tcp_port)
        await until(booted, ["sent"])
        assert (await relay(booted))["state"] == "ok"
        server.close()
    assert len(box.mails) == 1


@pytest.mark.slow
async def test_killed_process_loses_no_mail(
    empty_database: str, mailbox: Mailbox, mail_environment: dict[str, str]
) -> None:
    """After a kill -9 the next process sends the acknowledged mails, under the same Message-ID."""
    people = [f"p{number}@example.test" for number in range(20)]
    async with Served(empty_database, mail_environment) as first:
        async with aiohttp.ClientSession(first.url) as client:

            async def ask(email: str) -> int:
                async with client.post(SEND, json={"email": email}) as response:
                    return response.status

            assert set(await asyncio.gather(*(ask(email) for email in people))) == {202}
        await first.kill()
    before = {mail["To"] for mail in mailbox.mails}
    # those claimed by the killed process come back when their lease ends: bring that forward
    async with Served(empty_database, mail_environment) as second:
        from galaxy_kernel.database import Database, make_engine, schema_of

        database = Database(make_engine(empty_database), schema_of(empty_database))
        async with database.transaction() as connection:
            await connection.execute(text("UPDATE mail_deliveries SET next_attempt_at = now() WHERE state = 'pending'"))
        await database.close()
        async with asyncio.timeout(20):
            while {mail["To"] for mail in mailbox.mails} != set(people):
                await asyncio.sleep(0.05)
        assert second.process.returncode is None
    assert before <= set(people)
    ids: dict[str, set[str]] = {}
    for mail in mailbox.mails:
        ids.setdefault(mail["To"], set()).add(mail["Message-ID"])
    assert all(len(each) == 1 for each in ids.values())
