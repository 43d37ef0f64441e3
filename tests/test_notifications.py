"""Notifications to players and operators: each delivered, once, with every plugin, and through kill -9."""

import asyncio
import json
import random
import re
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import kinds
import pytest
from aiohttp import encode_basic_auth
from full_backend import ALL, Mailbox, Served, sign_in
from sqlalchemy import text

from galaxy_contracts.proto.push_pb2 import Event, Frame, SubscribeRequest
from galaxy_devkit.testing import Boot, Booted
from galaxy_devkit.testing.kernel import GATEWAY_TOKEN
from galaxy_kernel.api import Database
from galaxy_kernel.database import make_engine, schema_of

BOOTSTRAP = {
    "BACKEND_ADMIN_BOOTSTRAP_USER": "root",
    "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "the first password",
    "BACKEND_NOTIFICATION_ADMIN_EMAIL": "operators@example.test",
}
ADMIN = "/api/v1/admin/notifications"


@dataclass
class Gateway:
    """Keeps received events, and its cursor from one connection to the next."""

    cursor: str = ""
    events: list[Event] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self, address: str, *, later: bool = False) -> AsyncIterator[None]:
        """Subscribe repeatedly until the block ends; with `later` the backend need not run yet."""
        opened = asyncio.Event()
        task = asyncio.create_task(self._listen(address, opened))
        try:
            async with asyncio.timeout(60):
                await (asyncio.sleep(0) if later else opened.wait())
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, address: str, opened: asyncio.Event) -> None:
        while True:
            with suppress(grpc.aio.AioRpcError):
                async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                    subscribe = channel.unary_stream(
                        "/galaxy.push.v1.Push/Subscribe",
                        request_serializer=SubscribeRequest.SerializeToString,
                        response_deserializer=Frame.FromString,
                    )
                    request = SubscribeRequest(gateway_id="gateway", cursor=self.cursor)
                    async for frame in subscribe(request, metadata=[("x-gateway-token", GATEWAY_TOKEN)]):
                        self._take(frame)
                        opened.set()
            await asyncio.sleep(0.05)

    def _take(self, frame: Frame) -> None:
        if frame.HasField("opening"):
            assert not frame.opening.resync_required
            self.cursor = frame.opening.cursor
        for event in frame.events:
            self.events.append(event)
            self.cursor = event.cursor

    async def hears(self, kind: str) -> Event:
        """Wait for an event of a kind."""
        async with asyncio.timeout(10):
            while True:
                for event in self.events:
                    if event.kind == kind:
                        return event
                await asyncio.sleep(0.01)


@pytest.fixture
async def operating(boot: Boot, mail_environment: dict[str, str]) -> Any:
    """Return a function that boots plugins with an operator whose password is changed."""

    @asynccontextmanager
    async def operate(*plugins: type[Any], **settings: str) -> AsyncIterator[Booted]:
        async with boot(*plugins, environment=BOOTSTRAP | mail_environment | settings) as booted:
            change = {"current_password": "the first password", "new_password": "a changed one, long"}
            headers = {"Authorization": encode_basic_auth("root", change["current_password"])}
            path = "/api/v1/admin/admins/me/password"
            async with booted.client.put(path, json=change, headers=headers) as response:
                assert response.status == 204
            yield booted

    return operate


@pytest.fixture
async def operated(operating: Any) -> AsyncIterator[Booted]:
    """Every plugin, with that operator."""
    async with operating(*ALL) as booted:
        yield booted


async def admin(booted: Booted, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": encode_basic_auth("root", "a changed one, long"), "Content-Type": "application/json"}
    async with booted.client.request(method, f"{ADMIN}{path}", headers=headers, json=body) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def settled(booted: Booted, notification: str) -> set[tuple[str, str, str | None]]:
    """Wait until an intent's routes have ended, and return channel, state and reason of each."""
    async with asyncio.timeout(10):
        while True:
            routes = (await admin(booted, "GET", f"/{notification}"))["routes"]
            if all(route["state"] not in ("pending", "retrying") for route in routes):
                return {(route["channel"], route["state"], route["reason"]) for route in routes}
            await asyncio.sleep(0.02)


async def second_sign_in(booted: Booted, mailbox: Mailbox, email: str) -> Any:
    """Sign in on a second device, past the throttle."""
    await sign_in(booted, mailbox, email)
    async with booted.database.transaction() as connection:
        await connection.execute(text("UPDATE auth_challenges SET created_at = created_at - interval '1 hour'"))
    mailbox.mails.clear()
    return await sign_in(booted, mailbox, email)


async def test_a_second_device(operated: Booted, mailbox: Mailbox) -> None:
    """A sign-in on a second device sends a mail and an event, and appears in the inbox."""
    gateway = Gateway()
    async with gateway.listening(operated.kernel.rpc.address):
        session = await second_sign_in(operated, mailbox, "ada@example.test")
        event = await gateway.hears("auth.new_device")
    assert event.account_id == session["account"]["id"]
    assert json.loads(event.payload)["session_id"] == session["session_id"]
    async with asyncio.timeout(10):
        while not [mail for mail in mailbox.mails if "New sign-in" in mail["Subject"]]:
            await asyncio.sleep(0.02)
    headers = {"Authorization": f"Bearer {session['session_token']}"}
    async with operated.client.get("/api/v1/user/notifications", headers=headers) as response:
        [shown] = (await response.json())["items"]
    assert (shown["kind"], shown["payload"]["device_name"]) == ("auth.new_device", "Unknown device")
    assert event.request_id == (await admin(operated, "GET", f"/{shown['id']}"))["request_id"]


async def test_one_click_unsubscribes(operating: Any, mailbox: Mailbox) -> None:
    """The link in the headers of a received mail, posted to as a mail provider does, mutes the kind by mail."""
    public = "https://play.example.test/galaxy"
    async with operating(*ALL, BACKEND_NOTIFICATION_PUBLIC_URL=public) as booted:
        session = await second_sign_in(booted, mailbox, "ada@example.test")
        async with asyncio.timeout(10):
            while not (sources := [source for source in mailbox.sources if b"\r\nList-Unsubscribe: " in source]):
                await asyncio.sleep(0.02)
        [url] = re.findall(rb"\r\nList-Unsubscribe: <(https://[!-~]+)>\r\n", sources[0])
        assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in sources[0]
        path = url.decode().removeprefix(public)
        async with booted.client.post(path, data={"List-Unsubscribe": "One-Click"}) as response:
            assert response.status == 200, await response.text()
        body = {"kind": "auth.new_device", "account_id": session["account"]["id"]}
        intent = await admin(booted, "POST", "/test", body)
        assert await settled(booted, intent["id"]) == {("email", "skipped", "preference"), ("push", "sent", None)}
    marked = {mail["Subject"]: mail["List-Unsubscribe"] is not None for mail in mailbox.mails}
    assert {subject for subject, linked in marked.items() if linked} == {"New sign-in to your account"}
    assert len(marked) > 1  # the codes to sign in have no link


async def test_a_revoked_session_is_told_of(operated: Booted, mailbox: Mailbox) -> None:
    """Ending a session publishes the event `session.revoked` with the session as its target."""
    gateway = Gateway()
    async with gateway.listening(operated.kernel.rpc.address):
        session = await sign_in(operated, mailbox, "ada@example.test")
        path = f"/api/v1/user/sessions/{session['session_id']}"
        headers = {"Authorization": f"Bearer {session['session_token']}"}
        async with operated.client.delete(path, headers=headers) as response:
            assert response.status == 204
        event = await gateway.hears("session.revoked")
    assert (event.WhichOneof("target"), event.session_id) == ("session_id", session["session_id"])


async def test_operators_hear_by_mail(operated: Booted, mailbox: Mailbox) -> None:
    """An intent for operators reaches their mailbox; switched off it is skipped and kept."""
    sent = await admin(operated, "POST", "/test", {"kind": "runtime.image_pull_failed"})
    assert await settled(operated, sent["id"]) == {("email", "sent", None)}
    mail = await mailbox.mail_to("operators@example.test")
    assert "space-conquest:1.4.2" in mail["Subject"]
    assert not (await admin(operated, "PUT", "/admin-channel", {"enabled": False}))["enabled"]
    skipped = await admin(operated, "POST", "/test", {"kind": "runtime.start_config_invalid"})
    assert await settled(operated, skipped["id"]) == {("email", "skipped", "admin_channel_off")}


async def test_the_catalogue_is_the_documented_one(operated: Booted) -> None:
    """Every kind that the plugins register is one that docs/api.md lists, and no other."""
    catalogue = await admin(operated, "GET", "/kinds?page_size=200")
    assert [kind["name"] for kind in catalogue["items"]] == [kind.name for kind in kinds.kinds()]


async def test_an_operators_mail_that_cannot_be_made(operated: Booted, mailbox: Mailbox) -> None:
    """A payload that would break its mail's header is a dead letter with the reason, and is not sent."""
    payload = {"game_id": str(UUID(int=1)), "image": "x\r\nBcc: eve@example.test", "detail": "none"}
    body = {"kind": "runtime.image_pull_failed", "payload": payload}
    found = await admin(operated, "POST", "/test", body)
    told = "subject: must not contain CR or LF"
    assert await settled(operated, found["id"]) == {("email", "dead_lettered", told)}
    assert mailbox.mails == []


@pytest.mark.parametrize("absent", ["adminchannel", "push"])
async def test_what_is_absent_is_skipped(operating: Any, mailbox: Mailbox, absent: str) -> None:
    """Without a plugin its routes are skipped with the reason, and everything else is delivered."""
    async with operating(*(plugin for plugin in ALL if plugin.manifest.name != absent)) as booted:
        account = (await sign_in(booted, mailbox, "ada@example.test"))["account"]["id"]
        intent = await admin(booted, "POST", "/test", {"kind": "auth.new_device", "account_id": account})
        push = ("push", "skipped", "push_not_installed") if absent == "push" else ("push", "sent", None)
        assert await settled(booted, intent["id"]) == {("email", "sent", None), push}
        intent = await admin(booted, "POST", "/test", {"kind": "runtime.container_start_failed"})
        skipped = ("email", "skipped", "admin_channel_not_installed")
        assert await settled(booted, intent["id"]) == {skipped if absent == "adminchannel" else ("email", "sent", None)}


_ACCOUNTS = """
    INSERT INTO accounts (id, email, email_folded, display_name, language, time_zone, created_at)
    SELECT gen_random_uuid(), 'p' || n || '@example.test', 'p' || n || '@example.test', 'Player', 'en', 'UTC', now()
    FROM generate_series(1, :count) AS n
"""
_INTENTS = """
    INSERT INTO notifications (id, kind, idempotency_key, payload, request_id)
    SELECT gen_random_uuid(), 'auth.new_device', 'key ' || n, CAST(:payload AS jsonb), 'request ' || n
    FROM generate_series(1, :count) AS n
"""
_ROUTES = """
    INSERT INTO notification_routes (id, notification_id, kind, account_id, channel, request_id)
    SELECT gen_random_uuid(), n.id, n.kind, (SELECT a.id FROM accounts AS a ORDER BY md5(concat(n.id, a.id)) LIMIT 1),
        ways.channel, n.request_id
    FROM notifications AS n, (VALUES ('email'), ('push')) AS ways (channel)
"""
_PAYLOAD = {
    "session_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "device_name": "Phone",
    "signed_in_at": "2026-11-25T18:30:00Z",
}


@pytest.mark.slow
async def test_kill_9_in_mid_batch(empty_database: str, mailbox: Mailbox, mail_environment: dict[str, str]) -> None:
    """Two hundred intents, a backend killed in mid-batch twice: no route is lost, no event or mail doubled."""
    kills, count = 2, 200
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        push = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {**mail_environment, "BACKEND_PUSH_LISTEN_ADDR": push}
    database = Database(make_engine(empty_database), schema_of(empty_database))
    gateways, draw = (Gateway(), Gateway()), random.Random(7)
    async with Served(empty_database, environment):  # it migrates, and gives the gateways their first cursor
        for gateway in gateways:
            async with gateway.listening(push):
                pass
    async with database.transaction() as connection:
        await connection.execute(text(_ACCOUNTS), {"count": 20})
        await connection.execute(text(_INTENTS), {"count": count, "payload": json.dumps(_PAYLOAD)})
        await connection.execute(text(_ROUTES))
    async with gateways[0].listening(push, later=True), gateways[1].listening(push, later=True):
        for _ in range(kills):
            async with Served(empty_database, environment) as served:
                await _wait_for_claims(database)
                await asyncio.sleep(draw.uniform(0, 0.2))
                await served.kill()
            await _end_leases(database)
        async with Served(empty_database, environment):
            await _all_ended(database, 2 * count)
            async with asyncio.timeout(60):
                while min(len(gateway.events) for gateway in gateways) < count:
                    await asyncio.sleep(0.05)
    first, second = ([event.cursor for event in gateway.events] for gateway in gateways)
    assert len(first) == len(set(first)) == count
    assert first == second
    contents: dict[str, set[bytes]] = defaultdict(set)
    for mail in mailbox.mails:
        contents[mail["Message-ID"]].add(mail.as_bytes())
    assert len(contents) == count
    assert all(len(same) == 1 for same in contents.values())
    await database.close()


async def _wait_for_claims(database: Database) -> None:
    """Wait until a worker has claimed routes, or none is left."""
    query = text("""
        SELECT count(*) FILTER (WHERE claimed_at IS NOT NULL) > 0 OR count(*) FILTER (WHERE state = 'pending') = 0
        FROM notification_routes
    """)
    async with asyncio.timeout(60):
        while True:
            async with database.reading() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.002)


async def _end_leases(database: Database) -> None:
    """Let the leases end."""
    async with database.transaction() as connection:
        for table in ("notification_routes", "mail_deliveries"):
            await connection.execute(text(f"UPDATE {table} SET next_attempt_at = now() WHERE claimed_at IS NOT NULL"))


async def _all_ended(database: Database, routes: int) -> None:
    """Wait until every route is delivered and every mail is sent."""
    query = text("""
        SELECT (SELECT count(*) FROM notification_routes WHERE state = 'sent'),
            (SELECT count(*) FROM mail_deliveries WHERE state = 'sent')
    """)
    async with asyncio.timeout(120):
        while True:
            async with database.reading() as connection:
                sent, mailed = (await connection.execute(query)).one()
            if sent == routes and mailed == routes // 2:
                return
            await asyncio.sleep(0.1)
