"""The plugin as a whole."""

from typing import Any
from uuid import UUID

from galaxy_lobby.notices import KINDS


async def test_boots_with_fakes_of_what_it_requires(world: Any) -> None:
    """It is ready, owns the runtime's games, is asked about versions, and has registered its kinds."""
    async with world.booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()
    assert world.fakes.versions.users
    assert world.runtime.table
    assert set(world.fakes.notifications.kinds) == {kind.name for kind in KINDS}
    assert "lobby.invitation" in world.fakes.outbox.kinds


async def test_a_game_from_draft_to_end(world: Any) -> None:
    """Two players create, join, start and play a game to its end, and hear of each step what concerns them."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.create(ada)
    assert (await world.show(ada, game))["state"] == "draft"
    assert (await world.do(ada, "POST", f"/{game}/open-enrolment"))["state"] == "enrolling"
    assert (await world.do(ada, "POST", f"/{game}/join"))["state"] == "enrolling"
    assert (await world.do(bob, "POST", f"/{game}/join"))["state"] == "ready"
    started = await world.do(ada, "POST", f"/{game}/start", 202)
    assert (started["state"], started["game_id"]) == ("starting", game)
    assert UUID(started["operation_id"]) == world.runtime.records[UUID(game)].operation
    await world.position(game)
    shown = await world.show(bob, game)
    assert (shown["state"], shown["turn"], shown["my_turn"], shown["unread"]) == ("running", 0, True, 1)
    assert {seat["seat"] for seat in shown["seats"]} == {1, 2}
    assert (await world.send(ada, game, final=True))[0] == 200
    assert (await world.send(bob, game))[0] == 200
    shown = await world.show(bob, game)
    assert [(seat["sent"], seat["final"]) for seat in shown["seats"] if not seat["you"]] == [(True, True)]
    assert (shown["my_turn"], shown["sent"], shown["final"]) == (True, True, False)
    await world.position(game)
    await world.position(game, absent=[], finished=True, result={"winners": [1]})
    ended = await world.show(ada, game)
    assert (ended["state"], ended["turn"], ended["result"]) == ("finished", 2, {"winners": [1]})
    assert (await world.do(ada, "GET", ""))["total"] == 0
    assert (await world.do(ada, "GET", "?scope=ended"))["items"][0]["id"] == game
    both = {"Ada", "Bob"}
    assert world.told() == [
        ("joined", {"Ada"}),
        ("started", both),
        ("turn_ready", both),
        ("turn_ready", both),
        ("finished", both),
    ]
