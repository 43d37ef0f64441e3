"""Submitting: one intent for each key, one route for each recipient and channel, with the caller's transaction."""

import asyncio
from typing import Any

import pytest

from galaxy_contracts.notification import Intent
from galaxy_kernel.api import new_id, request_context
from galaxy_notification.errors import IntentError

ADMIN, TURN_READY = "/api/v1/admin/notifications", "lobby.turn_ready"


async def test_a_route_for_each_recipient_and_channel(world: Any) -> None:
    """Two players and two channels make four routes, all of which are delivered."""
    ada, bob = world.account(), world.account("bob@example.test")
    found = await world.submit(ada, bob, ada)
    assert await world.settled(found) == {("email", "sent", None), ("push", "sent", None)}
    assert len(await world.routes(found)) == 4
    assert sorted(mail.recipient for mail in world.mails) == ["ada@example.test", "bob@example.test"]
    assert {event.account_id for event in world.events} == {ada.id, bob.id}


async def test_an_intent_commits_with_its_caller(world: Any) -> None:
    """An intent of a rolled-back transaction was never submitted."""
    account = world.account()
    intent = Intent(kind=TURN_READY, idempotency_key="k", payload={"game": "A", "turn": 1}, recipients=[account.id])
    with pytest.raises(RuntimeError):
        async with world.database.transaction() as connection:
            await world.notifications.submit(connection, intent)
            raise RuntimeError
    assert (await world.ask("GET", ADMIN))[1]["total"] == 0


async def test_a_key_is_one_intent(world: Any) -> None:
    """Submitting a key again returns the first one's id and adds nothing, whatever the rest of the intent."""
    first = await world.submit(world.account())
    assert await world.submit(world.account("bob@example.test"), game="Other", turn=9) == first
    await world.settled(first)
    assert len(await world.routes(first)) == 2


async def test_fifty_racing_submits_of_one_key(world: Any) -> None:
    """Fifty concurrent submits make one intent and one set of routes, and all get its id."""
    account = world.account()
    found = set(await asyncio.gather(*(world.submit(account) for _ in range(50))))
    assert len(found) == 1
    [notification] = found
    await world.settled(notification)
    assert len(await world.routes(notification)) == 2
    assert len(world.mails) == len(world.events) == 1


async def test_the_loser_of_a_race_hears_the_winners_id(world: Any) -> None:
    """A submit while the same key is about to be committed waits, and gets that intent."""
    account = world.account()
    intent = Intent(kind=TURN_READY, idempotency_key="k", payload={"game": "A", "turn": 1}, recipients=[account.id])
    async with world.database.transaction() as connection:
        first = await world.notifications.submit(connection, intent)
        loser = asyncio.create_task(world.submit(account, key="k"))
        await asyncio.sleep(0.05)
        assert not loser.done()
    assert await loser == first


async def test_several_intents_are_one_statement(world: Any) -> None:
    """Each gets its own id and routes; one whose key is there, before or twice in the set, gets that intent's id."""
    account = world.account()
    old = await world.submit(account, key="old")

    def an_intent(key: str) -> Intent:
        payload = {"game": "A", "turn": 1}
        return Intent(kind=TURN_READY, idempotency_key=key, payload=payload, recipients=[account.id])

    async with world.database.transaction() as connection:
        keys = ("new", "old", "other", "new")
        found = await world.notifications.submit_many(connection, [an_intent(key) for key in keys])
    assert found[1] == old and found[0] == found[3] and len(set(found)) == 3
    for each in set(found):
        await world.settled(each)
        assert len(await world.routes(each)) == 2


async def test_one_fault_refuses_the_set(world: Any) -> None:
    """Nothing of a set is written when one of its intents is malformed."""
    fields: dict[str, Any] = {"kind": TURN_READY, "payload": {"game": "A", "turn": 1}, "recipients": [new_id()]}
    intents = [Intent(**fields, idempotency_key=key) for key in ("good", "")]
    async with world.database.transaction() as connection:
        with pytest.raises(IntentError):
            await world.notifications.submit_many(connection, intents)
    assert (await world.ask("GET", ADMIN))[1]["total"] == 0


async def test_every_fault_is_named(world: Any) -> None:
    """A malformed intent is refused with all of its faults, by field, and nothing is written."""
    intent = Intent(kind=TURN_READY, idempotency_key="", payload={"turn": "seven", "colour": "red"}, recipients=["ada"])
    async with world.database.transaction() as connection:
        with pytest.raises(IntentError) as caught:
            await world.notifications.submit(connection, intent)
    named = {fault.field for fault in caught.value.faults}
    assert named == {"idempotency_key", "payload.game", "payload.turn", "payload.colour", "recipients.0"}
    assert (await world.ask("GET", ADMIN))[1]["total"] == 0


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"kind": "lobby.unknown"}, "kind"),
        ({"recipients": ()}, "recipients"),
        ({"idempotency_key": "x" * 256}, "idempotency_key"),
        ({"idempotency_key": "two\nlines"}, "idempotency_key"),
        ({"payload": {"game": "A" * 40_000, "turn": 1}}, "payload"),
        ({"payload": {"game": "A\x00", "turn": 1}}, "payload"),
        ({"kind": "runtime.image_pull_failed", "payload": {}}, "payload.game_id"),
    ],
)
async def test_a_fault(world: Any, changed: dict[str, Any], field: str) -> None:
    """Each rule of an intent has its own sentence."""
    fields = {
        "kind": TURN_READY,
        "idempotency_key": "k",
        "payload": {"game": "A", "turn": 1},
        "recipients": [new_id()],
    }
    async with world.database.transaction() as connection:
        with pytest.raises(IntentError) as caught:
            await world.notifications.submit(connection, Intent(**{**fields, **changed}))
    assert field in {fault.field for fault in caught.value.faults}


async def test_the_request_id_follows_to_mail_and_event(world: Any) -> None:
    """Each delivery of a set carries the request id of its own intent."""
    account = world.account()
    with request_context("test", "request-1"):
        first = await world.submit(account, key="1")
    with request_context("test", "request-2"):
        second = await world.submit(account, key="2")
    await world.settled(first)
    await world.settled(second)
    assert {mail.request_id for mail in world.mails} == {"request-1", "request-2"}
    assert {event.request_id for event in world.events} == {"request-1", "request-2"}
    assert (await world.ask("GET", f"{ADMIN}/{first}"))[1]["request_id"] == "request-1"


async def test_prune_deletes_what_is_old_and_settled(make_world: Any) -> None:
    """An old intent is deleted once none of its routes is pending; a young one stays."""
    world = await make_world(retention="30d")
    account = world.account()
    settled, pending, young = [await world.submit(account, key=key) for key in ("settled", "pending", "young")]
    for each in (settled, pending, young):
        await world.settled(each)
    await world.execute(f"UPDATE notifications SET created_at = now() - interval '99 years' WHERE id <> '{young}'")
    due = "state = 'retrying', next_attempt_at = now() + interval '1 day'"
    await world.execute(f"UPDATE notification_routes SET {due} WHERE notification_id = '{pending}'")
    workers = dict(world.booted.kernel.assembly.plugins.call("backend_workers"))["notification"]
    worker = next(worker for worker in workers if worker.name == "notification.prune")
    assert await worker.run() is False
    left = {item["id"] for item in (await world.ask("GET", ADMIN))[1]["items"]}
    assert left == {str(pending), str(young)}
