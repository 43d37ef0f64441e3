"""The HTTP operations: shapes, paging, visibility."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from galaxy_contracts.notification import ADMIN_CHANNEL
from galaxy_kernel.api import new_id

ADMIN, USER = "/api/v1/admin/notifications", "/api/v1/user/notifications"


async def test_an_inbox(world: Any) -> None:
    """A player sees their own notifications, the newest first, with only their own routes."""
    ada, bob = world.account(), world.account("bob@example.test")
    shared = await world.submit(ada, bob, key="both")
    await world.submit(bob, key="bob")
    newest = await world.submit(ada, key="ada")
    for each in (shared, newest):
        await world.settled(each)
    status, page = await world.ask("GET", USER, ada)
    assert status == 200
    assert [item["id"] for item in page["items"]] == [str(newest), str(shared)]
    assert {key: page[key] for key in ("page", "page_size", "total")} == {"page": 1, "page_size": 50, "total": 2}
    [shown] = [item for item in page["items"] if item["id"] == str(shared)]
    assert set(shown) == {"id", "kind", "created_at", "payload", "read_at", "routes"}
    assert {route["channel"] for route in shown["routes"]} == {"email", "push"}
    assert len(shown["routes"]) == 2
    assert set(shown["routes"][0]) == {
        *("id", "channel", "state", "reason", "attempts", "next_attempt_at", "finished_at"),
    }


async def test_read_marks(world: Any) -> None:
    """One or all can be marked as read, repeatedly, and others' cannot."""
    ada, bob = world.account(), world.account("bob@example.test")
    first, second, other = [await world.submit(who, key=key) for key, who in (("1", ada), ("2", ada), ("3", bob))]
    assert (await world.ask("POST", f"{USER}/{first}/read", ada))[0] == 204
    _, unread = await world.ask("GET", f"{USER}?unread=true", ada)
    assert [item["id"] for item in unread["items"]] == [str(second)]
    _, page = await world.ask("GET", USER, ada)
    read_at = {item["id"]: item["read_at"] for item in page["items"]}
    assert read_at[str(first)] is not None and read_at[str(second)] is None
    world.clock.advance(timedelta(hours=1))
    assert (await world.ask("POST", f"{USER}/{first}/read", ada))[0] == 204
    _, page = await world.ask("GET", USER, ada)
    assert {item["id"]: item["read_at"] for item in page["items"]}[str(first)] == read_at[str(first)]
    assert (await world.ask("POST", f"{USER}/{other}/read", ada))[0] == 404
    assert await world.ask("POST", f"{USER}/read", ada) == (200, {"read": 1})
    assert (await world.ask("GET", f"{USER}?unread=true", ada))[1]["total"] == 0
    assert (await world.ask("GET", f"{USER}?unread=true", bob))[1]["total"] == 1


async def test_marking_waits_in_the_workers_order(world: Any) -> None:
    """Marking all while a worker records results takes the routes in its order: no deadlock makes it a 500."""
    ada = world.account()
    [first, second] = await world.routes(found := await world.submit(ada))
    await world.settled(found)
    await world.execute(f"UPDATE notification_routes SET id = '{UUID(int=0)}' WHERE id = '{second['id']}'")
    async with world.database.transaction() as connection:
        lock = "SELECT 1 FROM notification_routes WHERE id = '{}' FOR UPDATE NOWAIT"
        await connection.execute(text(lock.format(UUID(int=0))))
        marking = asyncio.create_task(world.ask("POST", f"{USER}/read", ada))
        await asyncio.sleep(0.05)
        await connection.execute(text(lock.format(first["id"])))
        assert not marking.done()
    assert await marking == (200, {"read": 1})


async def test_preferences(world: Any) -> None:
    """Every kind and channel for players is listed; those for operators are not."""
    account = world.account()
    status, page = await world.ask("GET", f"{USER}/preferences", account)
    assert status == 200
    assert {(item["kind"], item["channel"], item["enabled"], item["mandatory"]) for item in page["items"]} == {
        ("auth.warning", "email", True, True),
        ("lobby.turn_ready", "email", True, False),
        ("lobby.turn_ready", "push", True, False),
    }
    for enabled in (False, False, True):
        choice = {"kind": "lobby.turn_ready", "channel": "push", "enabled": enabled}
        assert (await world.ask("PUT", f"{USER}/preferences", account, json=choice))[0] == 200
        _, page = await world.ask("GET", f"{USER}/preferences", account)
        assert choice in [{key: item[key] for key in choice} for item in page["items"]]


async def test_choices_that_are_none(world: Any) -> None:
    """A mandatory kind cannot be switched off, and only the players' kinds can be chosen."""
    account = world.account()

    async def choose(kind: str, channel: str = "email", *, enabled: bool = False) -> tuple[int, str, str]:
        body = {"kind": kind, "channel": channel, "enabled": enabled}
        status, answer = await world.ask("PUT", f"{USER}/preferences", account, json=body)
        return status, answer.get("code"), answer.get("errors", [{}])[0].get("field")

    assert await choose("auth.warning") == (409, "notification_mandatory", None)
    assert await choose("auth.warning", "push") == (422, "invalid_request", "channel")
    assert await choose("runtime.image_pull_failed") == (422, "invalid_request", "kind")
    assert await choose("lobby.unknown") == (422, "invalid_request", "kind")
    assert (await choose("lobby.turn_ready", "pigeon"))[0] == 422


async def test_the_list_and_its_filters(world: Any) -> None:
    """Operators find intents by kind, state, channel and account."""
    ada, bob = world.account(), world.account(email="nonsense")
    one = await world.submit(ada, key="1")
    two = await world.submit(bob, key="2")
    three = await world.submit(ada, key="3", kind="auth.warning", game="A", turn=1)
    for each in (one, two, three):
        await world.settled(each)

    async def found(query: str) -> list[str]:
        status, page = await world.ask("GET", f"{ADMIN}?{query}")
        assert status == 200, page
        return [item["id"] for item in page["items"]]

    assert await found("") == [str(three), str(two), str(one)]
    assert await found("kind=auth.warning") == [str(three)]
    assert await found("state=dead_lettered") == [str(two)]
    assert await found(f"account_id={ada.id}&channel=push") == [str(one)]
    assert await found("state=skipped") == []
    assert await found("page=2&page_size=2") == [str(one)]
    assert (await world.ask("GET", f"{ADMIN}?state=lost"))[0] == 422


async def test_show_and_retry_what_is_not_there(world: Any) -> None:
    """Unknown ids are 404; a delivered route is 409, and stays delivered once."""
    assert (await world.ask("GET", f"{ADMIN}/{new_id()}"))[0] == 404
    assert (await world.ask("POST", f"{ADMIN}/routes/{new_id()}/retry"))[0] == 404
    found = await world.submit(world.account())
    await world.settled(found)
    for route in await world.routes(found):
        status, answer = await world.ask("POST", f"{ADMIN}/routes/{route['id']}/retry")
        assert (status, answer["code"]) == (409, "route_already_sent")
    assert len(world.mails) == len(world.events) == 1


async def test_a_deleted_accounts_route_is_not_retried(world: Any) -> None:
    """A route to a deleted account cannot be retried."""
    found = await world.submit(world.account(email=None, deleted_at=world.clock.now()))
    await world.settled(found)
    [first, _] = await world.routes(found)
    status, answer = await world.ask("POST", f"{ADMIN}/routes/{first['id']}/retry")
    assert (status, answer["code"]) == (409, "account_deleted")


async def test_the_catalogue(world: Any) -> None:
    """The kinds are shown with the schemas of their payloads."""
    status, page = await world.ask("GET", f"{ADMIN}/kinds")
    kinds = {item["name"]: item for item in page["items"]}
    assert status == 200
    assert set(kinds) == {
        *("auth.warning", "lobby.turn_ready", "runtime.container_start_failed"),
        *("runtime.image_pull_failed", "runtime.start_config_invalid"),
    }
    kind = kinds["runtime.image_pull_failed"]
    assert (kind["audience"], kind["channels"]) == ("operators", ["email"])
    assert kind["payload_schema"]["required"] == ["game_id", "image", "detail"]


async def test_a_test_intent(world: Any) -> None:
    """An operator can test a channel without a payload."""
    status, shown = await world.ask("POST", f"{ADMIN}/test", json={"kind": "runtime.container_start_failed"})
    assert status == 201, shown
    assert await world.settled(shown["id"]) == {("email", "sent", None)}
    assert [mail.kind for mail in world.fakes[ADMIN_CHANNEL].messages] == ["runtime.container_start_failed"]


async def test_a_test_intent_for_a_player(world: Any) -> None:
    """With an account, a payload and a key it is submitted as by the plugin, and idempotent."""
    account = world.account()
    body = {
        "kind": "lobby.turn_ready",
        "account_id": str(account.id),
        "payload": {"game": "Orion", "turn": 1},
        "idempotency_key": "mine",
    }
    status, shown = await world.ask("POST", f"{ADMIN}/test", json=body)
    assert (status, shown["payload"]["game"], shown["idempotency_key"]) == (201, "Orion", "mine")
    _, again = await world.ask("POST", f"{ADMIN}/test", json=body)
    assert again["id"] == shown["id"]
    await world.settled(shown["id"])
    assert len(world.mails) == 1


async def test_a_faulty_test_intent(world: Any) -> None:
    """Every fault is named by the request's field."""
    status, answer = await world.ask(
        "POST", f"{ADMIN}/test", json={"kind": "lobby.turn_ready", "payload": {"turn": "x"}, "idempotency_key": ""}
    )
    assert (status, answer["code"]) == (422, "invalid_request")
    assert {fault["field"] for fault in answer["errors"]} == {
        *("payload.game", "payload.turn", "account_id", "idempotency_key"),
    }
    status, answer = await world.ask(
        "POST", f"{ADMIN}/test", json={"kind": "lobby.turn_ready", "account_id": str(new_id())}
    )
    assert (status, answer["errors"][0]["field"]) == (422, "account_id")


async def test_the_admin_channel(world: Any) -> None:
    """Operators see and switch it."""
    _, shown = await world.ask("GET", f"{ADMIN}/admin-channel")
    assert shown == {"installed": True, "enabled": True, "address_set": True, "changed_at": None}
    status, shown = await world.ask("PUT", f"{ADMIN}/admin-channel", json={"enabled": False})
    assert (status, shown["enabled"]) == (200, False)
    assert not world.fakes[ADMIN_CHANNEL].enabled


async def test_an_admin_channel_that_is_not_there(make_world: Any) -> None:
    """It is shown as not installed, and cannot be switched."""
    world = await make_world(absent=(ADMIN_CHANNEL,), admin_email="")
    _, shown = await world.ask("GET", f"{ADMIN}/admin-channel")
    assert shown == {"installed": False, "enabled": False, "address_set": False, "changed_at": None}
    status, answer = await world.ask("PUT", f"{ADMIN}/admin-channel", json={"enabled": True})
    assert (status, answer["code"]) == (409, "admin_channel_not_installed")
    assert "galaxy-backend-adminchannel" in answer["detail"]
