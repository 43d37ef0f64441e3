"""The plugin in a kernel: its settings, its offers, and that mails are sent by themselves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.mail import OUTBOX, MailKind, Message, Outbox
from galaxy_devkit.testing.kernel import Boot, Booted
from galaxy_kernel.api import Context, Manifest, NoSettings, Offer, new_id
from galaxy_mail.plugin import MailPlugin

WELCOME = Message("owner.welcome", "ada@example.test", "en", {"name": "Ada"})


class OwnerPlugin:
    """A plugin that sends mails."""

    manifest = Manifest(name="owner", summary="Sends mails.", requires=(OUTBOX,))
    context: Context[NoSettings]
    outbox: Outbox

    def __init__(self, context: Context[NoSettings]) -> None:
        OwnerPlugin.context = context

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        OwnerPlugin.outbox = self.context.require(OUTBOX)
        OwnerPlugin.outbox.register(MailKind("owner.welcome", "mail_owner"))
        yield []


def relay_at(port: int, **more: str) -> dict[str, str]:
    return {"BACKEND_SMTP_PORT": str(port), "BACKEND_SMTP_TLS_MODE": "none", **more}


async def enqueue(booted: Booted) -> Any:
    async with booted.database.transaction() as connection:
        return await OwnerPlugin.outbox.enqueue(connection, WELCOME)


async def state(booted: Booted) -> Any:
    async with booted.database.reading() as connection:
        return (await connection.execute(text("SELECT state FROM mail_deliveries"))).scalar_one()


async def until(state_of: Any, wanted: object) -> None:
    async with asyncio.timeout(10):
        while await state_of() != wanted:
            await asyncio.sleep(0.01)


async def test_queued_mail_goes_out_at_once(boot: Boot, sink: Any, package: Path) -> None:
    """A committed mail wakes the worker: it does not wait for the interval."""
    environment = relay_at(sink.port, BACKEND_MAIL_WORKER_INTERVAL="1h")
    async with boot(MailPlugin, OwnerPlugin, environment=environment) as booted:
        await enqueue(booted)
        await until(lambda: state(booted), "sent")
    assert [recipient for recipient, _ in sink.received] == ["ada@example.test"]


async def test_relay_is_reported_and_does_not_gate(boot: Boot, package: Path, unused_tcp_port: int) -> None:
    """Without a relay the service is ready, and `/readyz` names the plugin, the setting and the cause."""
    async with boot(MailPlugin, OwnerPlugin, environment=relay_at(unused_tcp_port)) as booted:
        await enqueue(booted)

        async def relay() -> Any:
            async with booted.client.get("/readyz") as answer:
                assert answer.status == 200
                body = await answer.text()
            return "degraded" if f"127.0.0.1:{unused_tcp_port} (BACKEND_SMTP_HOST)" in body else body

        await until(relay, "degraded")
        assert await state(booted) == "pending"


async def test_deleted_accounts_are_heard_of(boot: Boot, package: Path, unused_tcp_port: int) -> None:
    """The fact that an account was deleted reaches the queue."""
    async with boot(MailPlugin, OwnerPlugin, environment=relay_at(unused_tcp_port)) as booted:
        await enqueue(booted)
        async with booted.database.transaction() as connection:
            fact = AccountDeleted(new_id(), "ada@example.test", datetime.now(UTC))
            await OwnerPlugin.context.facts.record(connection, fact)
        await until(lambda: state(booted), "dead_lettered")


@pytest.mark.parametrize("path", ["deliveries", "deliveries/01a20b0f-91e0-714d-8b76-f07f715cf9ea", "dead-letters"])
async def test_routes_are_closed_without_operators(boot: Boot, path: str) -> None:
    """Without the admin plugin the queue's routes are closed."""
    async with boot(MailPlugin) as booted, booted.client.get(f"/api/v1/admin/mail/{path}") as answer:
        assert answer.status == 403


async def test_old_mail_is_pruned(boot: Boot, sink: Any, package: Path) -> None:
    """A worker on one replica deletes mails past their retention."""
    async with boot(MailPlugin, OwnerPlugin, environment=relay_at(sink.port)) as booted:
        delivery = await enqueue(booted)
        await until(lambda: state(booted), "sent")
        async with booted.database.transaction() as connection:
            old = f"UPDATE mail_deliveries SET id = '00000000-0000-7000-8000-000000000000' WHERE id = '{delivery}'"
            await connection.execute(text(old))
        workers = dict(booted.kernel.assembly.plugins.call("backend_workers"))["mail"]
        [prune] = [worker for worker in workers if worker.name == "mail.prune"]
        assert prune.singleton and await prune.run() is False

        async def left() -> Any:  # the service's own worker may be running at the same time
            async with booted.database.reading() as connection:
                return (await connection.execute(text("SELECT count(*) FROM mail_deliveries"))).scalar_one()

        await until(left, 0)
