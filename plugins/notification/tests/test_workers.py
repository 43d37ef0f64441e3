"""Delivering: every route ends once, in a state with its reason."""

import asyncio
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import BaseModel

from galaxy_chassis.telemetry import Telemetry
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL, Channel, NotificationKind
from galaxy_contracts.push import PUSH

ADMIN, USER = "/api/v1/admin/notifications", "/api/v1/user/notifications"
PULL = {"game_id": "01890a5d-ac96-774b-bcce-b302099a8057", "image": "engine:1", "detail": "no answer"}


class Anything(BaseModel):
    """A payload of whatever fields."""


async def pull_failed(world: Any, key: str = "pull") -> Any:
    return await world.submit(key=key, kind="runtime.image_pull_failed", **PULL)


async def test_a_mail_is_in_the_players_language_and_time(world: Any) -> None:
    """Language, name and times are the recipient's; the key is the route's id."""
    account = world.account(language="de-AT", time_zone="Asia/Tokyo")
    found = await world.submit(account)
    await world.settled(found)
    [mail] = world.mails
    assert (mail.language, mail.recipient) == ("de-AT", "ada@example.test")
    assert mail.parameters["recipient_name"] == "Ada"
    assert mail.parameters["due_at"].isoformat() == "2030-01-01T09:00:00+09:00"
    assert mail.idempotency_key in {route["id"] for route in await world.routes(found)}


async def test_a_time_zone_that_is_not_known_here(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A zone of a newer database keeps nobody from being notified: times are in UTC, and it is logged once."""
    for key in ("first", "second"):
        await world.settled(await world.submit(world.account(time_zone="America/Not_Yet"), key=key))
    assert [mail.parameters["due_at"].strftime("%H:%M %Z") for mail in world.mails] == ["00:00 UTC"] * 2
    assert capsys.readouterr().out.count("time_zone_missing") == 1


async def test_an_event_carries_the_payload(world: Any) -> None:
    """The event has the intent's kind, payload and id, and the route's id as its key."""
    account = world.account()
    found = await world.submit(account)
    await world.settled(found)
    [event] = world.events
    assert (event.kind, event.account_id) == ("lobby.turn_ready", account.id)
    assert event.payload == {
        "notification_id": str(found),
        "game": "Andromeda",
        "turn": 7,
        "due_at": "2030-01-01T00:00:00Z",
    }
    assert str(event.key) in {route["id"] for route in await world.routes(found)}


async def test_without_push_the_mail_goes(make_world: Any) -> None:
    """Where push is not installed its routes are skipped with that reason."""
    world = await make_world(absent=(PUSH,))
    found = await world.submit(world.account())
    assert await world.settled(found) == {("email", "sent", None), ("push", "skipped", "push_not_installed")}


async def test_operators_are_told(world: Any) -> None:
    """A notification for operators reaches their address by the admin channel."""
    found = await pull_failed(world)
    assert await world.settled(found) == {("email", "sent", None)}
    [mail] = world.fakes[ADMIN_CHANNEL].messages
    assert (mail.recipient, mail.kind) == ("operators@example.test", "runtime.image_pull_failed")


async def test_without_the_admin_channel_the_intent_is_kept(make_world: Any) -> None:
    """Not installed: skipped with the reason."""
    world = await make_world(absent=(ADMIN_CHANNEL,))
    found = await pull_failed(world)
    assert await world.settled(found) == {("email", "skipped", "admin_channel_not_installed")}
    status, shown = await world.ask("GET", f"{ADMIN}/{found}")
    assert (status, shown["payload"]) == (200, PULL)


async def test_without_an_address_the_intent_is_kept(make_world: Any) -> None:
    """The variable empty: skipped with the reason."""
    world = await make_world(admin_email="")
    assert await world.settled(await pull_failed(world)) == {("email", "skipped", "admin_email_not_set")}


async def test_switched_off_and_on_again(world: Any) -> None:
    """Routes skipped while it was off stay so when it is on again, until the operator retries them."""
    await world.ask("PUT", f"{ADMIN}/admin-channel", json={"enabled": False})
    skipped = await pull_failed(world, "off")
    assert await world.settled(skipped) == {("email", "skipped", "admin_channel_off")}
    await world.ask("PUT", f"{ADMIN}/admin-channel", json={"enabled": True})
    sent = await pull_failed(world, "on")
    assert await world.settled(sent) == {("email", "sent", None)}
    assert await world.states(skipped) == {("email", "skipped", "admin_channel_off")}
    [route] = await world.routes(skipped)
    status, shown = await world.ask("POST", f"{ADMIN}/routes/{route['id']}/retry")
    assert (status, shown["routes"][0]["state"], shown["routes"][0]["reason"]) == (200, "pending", None)
    assert {state for _, state, _ in await world.settled(skipped)} == {"sent"}
    assert len(world.fakes[ADMIN_CHANNEL].messages) == 2


async def test_a_deleted_account_is_told_nothing(world: Any) -> None:
    """Its routes are skipped, and the payload that was for it alone is emptied."""
    account = world.account()
    world.fakes[ACCOUNTS].accounts.clear()  # not known here yet: the routes stay unsettled
    found = await world.submit(account)
    both = await world.submit(account, world.account("bob@example.test"), key="both")
    async with asyncio.timeout(10):
        while not {("email", "retrying"), ("push", "retrying")} <= {s[:2] for s in await world.states(found)}:
            await asyncio.sleep(0.01)
    await world.tell_deletion(account)
    async with asyncio.timeout(10):
        while {state for _, state, _ in await world.states(found)} != {"skipped"}:
            await asyncio.sleep(0.01)
    assert {reason for _, _, reason in await world.states(found)} == {"account_deleted"}
    assert (await world.ask("GET", f"{ADMIN}/{found}"))[1]["payload"] == {}
    assert (await world.ask("GET", f"{ADMIN}/{both}"))[1]["payload"]["game"] == "Andromeda"
    assert world.events == [event for event in world.events if event.account_id != account.id]


async def test_deleted_before_it_was_submitted(world: Any) -> None:
    """A route to an account that is gone is skipped at its delivery."""
    account = world.account(email=None, deleted_at=world.clock.now())
    found = await world.submit(account)
    assert {(state, reason) for _, state, reason in await world.settled(found)} == {("skipped", "account_deleted")}
    assert world.mails == world.events == []


async def test_an_account_is_read_and_locked_as_it_is_delivered_to(world: Any) -> None:
    """What is delivered goes by the accounts' rows, locked in the delivering transaction, and not by memory."""
    account, other = world.account(), world.account("bob@example.test")
    accounts, seen = world.fakes[ACCOUNTS], list[set[Any]]()

    async def lock(connection: Any, ids: Any) -> Any:
        seen.append(set(ids))
        gone = msgspec.structs.replace(account, email=None, deleted_at=world.clock.now())
        return {account.id: gone, other.id: other}

    accounts.lock = lock
    found = await world.submit(account, other)
    alone = await world.submit(account, key="alone")
    assert ("email", "skipped", "account_deleted") in await world.settled(found)
    assert {state for _, state, _ in await world.settled(alone)} == {"skipped"}
    assert seen[0] == {account.id, other.id} and [(mail.recipient, mail.account_id) for mail in world.mails] == [
        (other.email, other.id)
    ]
    assert {event.account_id for event in world.events} == {other.id}
    assert (await world.ask("GET", f"{ADMIN}/{alone}"))[1]["payload"] == {}
    assert (await world.ask("GET", f"{ADMIN}/{found}"))[1]["payload"]["game"] == "Andromeda"


async def test_a_blocked_account_is_told_nothing(world: Any) -> None:
    """A blocked player gets neither mail nor event."""
    found = await world.submit(world.account(blocked_at=world.clock.now()))
    assert {(state, reason) for _, state, reason in await world.settled(found)} == {("skipped", "account_blocked")}


async def test_a_player_decides(world: Any) -> None:
    """A kind that a player has switched off is skipped from then on; it is still in the inbox."""
    account = world.account()
    choice = {"kind": "lobby.turn_ready", "channel": "email", "enabled": False}
    assert (await world.ask("PUT", f"{USER}/preferences", account, json=choice))[0] == 200
    found = await world.submit(account)
    assert await world.settled(found) == {("email", "skipped", "preference"), ("push", "sent", None)}
    assert world.mails == []
    assert (await world.ask("GET", USER, account))[1]["total"] == 1


async def test_a_recipient_that_is_no_address(world: Any) -> None:
    """A mail that cannot be queued is a dead letter with the reason; the others of the set are sent."""
    bad, good = world.account(email="nonsense"), world.account("bob@example.test")
    found = await world.submit(bad, good)
    states = await world.settled(found)
    assert {(channel, state) for channel, state, _ in states} == {
        ("email", "dead_lettered"),
        ("email", "sent"),
        ("push", "sent"),
    }
    assert [mail.recipient for mail in world.mails] == ["bob@example.test"]
    status, page = await world.ask("GET", f"{ADMIN}/dead-letters")
    assert (status, [item["id"] for item in page["items"]]) == (200, [str(found)])


async def made_due(world: Any, **changed: str) -> None:
    """Make routes due, with some columns changed, as if submitted like that."""
    due = {"state": "'pending'", "next_attempt_at": "now()", "finished_at": "NULL", **changed}
    await world.execute(f"UPDATE notification_routes SET {', '.join(f'{name} = {due[name]}' for name in due)}")
    world.booted.kernel.assembly.require_resources().wakeups.wake("notification.deliver")


async def test_a_kind_whose_plugin_is_gone(make_world: Any) -> None:
    """Its routes end as dead letters that name the kind and the remedy, to be retried once it is back."""
    world = await make_world(max_attempts="1")
    found = await world.submit(world.account())
    await world.settled(found)
    await made_due(world, kind="'gone.kind'", attempts_before_resend="attempts")
    [(state, reason)] = {(state, reason) for _, state, reason in await world.settled(found)}
    assert state == "dead_lettered"
    assert "'gone.kind'" in reason and "install it" in reason


async def test_a_kind_that_a_newer_replica_has(world: Any) -> None:
    """A replica without the kind, while a deployment is rolled, leaves its routes to one that has it."""
    found = await world.submit(world.account())
    await world.settled(found)
    await made_due(world, kind="'lobby.later'")
    assert {state for _, state, _ in await world.settled(found)} == {"retrying"}
    world.notifications.register(NotificationKind(name="lobby.later", summary="", payload=Anything, package="lobby"))
    await made_due(world)
    assert {state for _, state, _ in await world.settled(found)} == {"sent"}


async def test_a_payload_of_a_newer_replica(world: Any) -> None:
    """A payload that this replica's kind refuses is tried again; the reason names its fields."""
    found = await world.submit(world.account())
    await world.settled(found)
    await world.execute("""UPDATE notifications SET payload = payload || '{"colour": "red"}'""")
    await made_due(world)
    told = "its payload does not fit its kind here: colour"
    assert await world.settled(found) == {("email", "retrying", told), ("push", "retrying", told)}


async def test_one_failing_channel_is_tried_again(world: Any) -> None:
    """A channel that fails uses attempts of its own routes only; the others are delivered."""
    push = world.fakes[PUSH]

    async def broken(connection: Any, events: Any) -> None:
        raise RuntimeError("out of order")

    push.publish, working = broken, push.publish
    found = await world.submit(world.account())
    async with asyncio.timeout(10):
        while await world.states(found) != {
            ("email", "sent", None),
            ("push", "retrying", "internal error: RuntimeError"),
        }:
            await asyncio.sleep(0.01)
    push.publish = working
    [route] = [route for route in await world.routes(found) if route["channel"] == Channel.PUSH]
    assert route["attempts"] >= 1  # back-off has full jitter: another attempt may have followed at once
    await world.ask("POST", f"{ADMIN}/routes/{route['id']}/retry")
    async with asyncio.timeout(10):
        while not world.events:
            await asyncio.sleep(0.01)
    assert len(world.mails) == 1


async def test_an_account_of_a_moment_ago(world: Any) -> None:
    """An account that is not known here yet is tried again, not dead-lettered."""
    account = world.account()
    known = world.fakes[ACCOUNTS].accounts
    kept = dict(known)
    known.clear()
    found = await world.submit(account)
    async with asyncio.timeout(10):
        while {state for _, state, _ in await world.states(found)} != {"retrying"}:
            await asyncio.sleep(0.01)
    known.update({id_: msgspec.structs.replace(each) for id_, each in kept.items()})
    await world.execute("UPDATE notification_routes SET next_attempt_at = now()")
    world.booted.kernel.assembly.require_resources().wakeups.wake("notification.deliver")
    async with asyncio.timeout(10):
        while {state for _, state, _ in await world.states(found)} != {"sent"}:
            await asyncio.sleep(0.01)
    assert len(world.fakes[OUTBOX].messages) == 1


async def test_attempts_are_counted(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result counts once in `notification.attempts`, by outcome, kind and channel; waiting ones are measured."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(Telemetry, "meter", lambda _self, name: provider.get_meter(name))
    world = await make_world(absent=(PUSH,))
    await world.settled(await world.submit(world.account()))
    measured: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while not {"notification.attempts", "notification.queued"} <= set(measured):
            await asyncio.sleep(0.01)
            data: Any = reader.get_metrics_data()
            scopes = [] if data is None else data.resource_metrics[0].scope_metrics
            measured |= {metric.name: metric.data.data_points for scope in scopes for metric in scope.metrics}
    counted = {tuple(sorted(point.attributes.items())): point.value for point in measured["notification.attempts"]}
    assert counted == {
        (("channel", "email"), ("kind", "lobby.turn_ready"), ("outcome", "sent")): 1,
        (("channel", "push"), ("kind", "lobby.turn_ready"), ("outcome", "skipped")): 1,
    }
