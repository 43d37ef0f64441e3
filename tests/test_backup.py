"""Backup and restore by the commands of the runbook, and an upgrade and a roll back on data that is there."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from full_backend import ALL, CONFIRM, SEND, Mailbox, post, sign_in
from sqlalchemy import text

from galaxy_devkit.postgres.binaries import installations
from galaxy_devkit.testing import Boot, Booted
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import from_classes
from galaxy_kernel.database import Database, make_engine
from galaxy_migrations import runner
from galaxy_migrations.branch import Branch, Chain, read

RUNBOOK = Path(__file__).resolve().parents[1] / "docs/runbook.md"
FORMER, LATER = "mail_0003", "mail_9999"
"""Mail's newest revision here, and one of a later release."""
LATER_SCHEMA = f"""
ALTER TABLE mail_deliveries ADD COLUMN priority integer NOT NULL DEFAULT 0;
UPDATE alembic_version_mail SET version_num = '{LATER}'
"""
"""What that revision does, as every one may: it adds."""


def commands() -> tuple[str, str]:
    """Return the runbook's commands to back up, and to restore."""
    section = RUNBOOK.read_text("utf-8").partition("## Backup and restore\n")[2].partition("\n## ")[0]
    [back_up, restore] = re.findall(r"(?ms)^```sh\n(.*?)^```$", section)
    return back_up, restore


async def shell(commands: str, dsn: str, folder: Path) -> None:
    """Run commands as an operator does, with the programs of the server's own version."""
    programs = installations()[0].postgres.parent
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "DATABASE_URL": dsn}
    process = await asyncio.create_subprocess_exec(
        *("sh", "-euc", commands), cwd=folder, env=environment, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.fixture
def databases(postgres_cluster: PostgresCluster) -> Iterator[tuple[str, str]]:
    """Two databases without a table."""
    found = postgres_cluster.clone(), postgres_cluster.clone()
    yield found
    for each in found:
        postgres_cluster.drop(each)


async def account(booted: Booted, token: str) -> tuple[int, Any]:
    async with booted.client.get("/api/v1/user/account", headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status, await response.json()


async def scalar(booted: Booted, statement: str) -> Any:
    async with booted.database.reading() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def test_what_was_backed_up_is_restored(
    boot: Boot, databases: tuple[str, str], mailbox: Mailbox, mail_environment: dict[str, str], tmp_path: Path
) -> None:
    """After a restore into another database sessions are good, what waited goes on, what came later never was.

    Cursors of live events are void: the numbers after the dump are given a second time.
    """
    back_up, restore = commands()
    first, second = databases
    async with boot(*ALL, environment=mail_environment, dsn=first) as booted:
        ada = await sign_in(booted, mailbox, "ada@example.test")
    silent = mail_environment | {"BACKEND_SMTP_PORT": "1"}
    async with boot(*ALL, environment=silent, dsn=first) as booted:
        _, challenge = await post(booted, SEND, {"email": "ben@example.test"})
        await shell(back_up, first, tmp_path)
        assert (await post(booted, SEND, {"email": "late@example.test"}))[0] == 202
        generation = await scalar(booted, "SELECT generation FROM push_state")
    await shell(restore, second, tmp_path)
    with structlog.testing.capture_logs() as lines:
        async with boot(*ALL, environment=mail_environment, dsn=second) as booted:
            assert await account(booted, ada["session_token"]) == (200, ada["account"])
            # a mail that was being tried while the dump was made is claimed in it, by a lease of 75 s
            code = await mailbox.code_to("ben@example.test", patience=120)
            body = {"challenge_id": challenge["challenge_id"], "code": code}
            assert (await post(booted, CONFIRM, body))[0] == 201
            assert await scalar(booted, "SELECT generation FROM push_state") != generation
            assert await scalar(booted, "SELECT count(*) FROM auth_challenges") == 2
    assert "push_generation_renewed" in {line["event"] for line in lines}


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    database = Database(make_engine(dsn), "backend")
    yield database
    await database.close()


def baseline(branch: Branch) -> Chain:
    """Return a branch as the first release had it."""
    chain = read(branch)
    return Chain(chain.branch, chain.scripts, chain.revisions[:1])


async def test_data_of_the_first_release_is_served_after_the_upgrade(
    boot: Boot, empty_database: str, mailbox: Mailbox, mail_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database at every baseline is brought up to date by the start, and its accounts sign in."""
    plugins = assemble(ENVIRONMENT, discovery=from_classes(*ALL)).plugins
    async with opened(empty_database) as database:
        with monkeypatch.context() as patched:
            patched.setattr(runner, "read", baseline)
            applied = await runner.migrate(database.engine, "backend", schema.branches(plugins))
        assert {each.revision.partition("_")[2] for each in applied} == {"0001"}
        async with database.transaction() as connection:
            added = "INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at)"
            values = "(gen_random_uuid(), 'Ada@example.test', 'ada@example.test', 'Ada', 'en', 'UTC', now())"
            await connection.execute(text(f"{added} VALUES {values}"))
    async with boot(*ALL, environment=mail_environment, dsn=empty_database) as booted:
        session = await sign_in(booted, mailbox, "Ada@example.test")
        assert session["account"]["display_name"] == "Ada"
        assert await scalar(booted, "SELECT version_num FROM alembic_version_mail") == FORMER


async def test_a_release_runs_on_the_schema_of_a_later_one(
    boot: Boot, mailbox: Mailbox, mail_environment: dict[str, str], empty_database: str
) -> None:
    """To roll back is to start the former release: it warns, serves, and leaves the schema as it is."""
    plugins = assemble(ENVIRONMENT, discovery=from_classes(*ALL)).plugins
    async with opened(empty_database) as database:
        await schema.bring_up(database, plugins, apply=True)
        async with database.transaction() as connection:
            await connection.execute(text(LATER_SCHEMA))
    with structlog.testing.capture_logs() as lines:
        async with boot(*ALL, environment=mail_environment, dsn=empty_database) as booted:
            await sign_in(booted, mailbox, "ada@example.test")
            assert await scalar(booted, "SELECT version_num FROM alembic_version_mail") == LATER
            assert await scalar(booted, "SELECT priority FROM mail_deliveries") == 0
    [warned] = [line for line in lines if line["event"] == "newer_schema_accepted"]
    assert (warned["branch"], warned["current"], warned["known"]) == ("mail", LATER, FORMER)
