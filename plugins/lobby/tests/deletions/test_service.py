"""What happens to the games of a deleted account."""

from typing import Any
from uuid import UUID

import pytest

GAMES = "/api/v1/user/games"


async def test_a_player_of_a_running_game(world: Any) -> None:
    """The seat is vacant, the name is gone, the others hear of it, and the game goes on."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.running(ada, ada, bob, cleo)
    seat = await world.seat(bob, game)
    await world.delete(bob)
    shown = await world.show(ada, game)
    gone = next(each for each in shown["seats"] if each["seat"] == seat)
    assert (gone["name"], gone["state"], gone["account_id"]) == ("Deleted player", "removed", None)
    assert world.runtime.records[UUID(game)].vacant == {seat}
    assert world.told("seat_vacant") == [("seat_vacant", {"Ada", "Cleo"})]
    assert world.payload("seat_vacant")["player"] == "Deleted player"
    await world.position(game, finished=True)
    assert world.told("finished") == [("finished", {"Ada", "Cleo"})]
    dump = await world.rows("SELECT m::text FROM memberships m")
    assert not any(str(bob.id) in row[0] or "Bob" in row[0] for row in dump)


async def test_names_may_be_kept(make_world: Any) -> None:
    """Where operators say so the games go on showing the name, and no account."""
    world = await make_world(keep_deleted_names="true")
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.delete(bob)
    assert ("Bob", "removed") in [(each["name"], each["state"]) for each in (await world.show(ada, game))["seats"]]
    assert await world.rows("SELECT count(*) FROM memberships WHERE account_id IS NULL") == [(1,)]


async def test_an_owner_hands_over(world: Any) -> None:
    """The game passes to who joined first of those still there, whatever it was doing."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    enrolling = await world.opened(ada, ada, bob, cleo, max_players=4)
    running = await world.running(ada, cleo, bob)
    world.fakes.accounts.change(cleo.id, blocked_at=world.clock.now())
    await world.delete(ada)
    assert (await world.show(bob, enrolling))["owned"] is True
    assert (await world.show(bob, running))["owned"] is True
    shown = await world.show(bob, enrolling)
    assert (shown["enrolled"], [each["name"] for each in shown["seats"]]) == (2, ["Bob", "Cleo"])
    await world.do(bob, "POST", f"/{running}/pause")


async def test_games_with_nobody_else(world: Any) -> None:
    """Drafts and games that enrol are cancelled; one that runs goes on without an owner, for operators."""
    ada = world.account("Ada")
    draft, enrolling = await world.create(ada), await world.opened(ada, ada, max_players=3)
    await world.do(ada, "POST", f"/{enrolling}/machines", json={"count": 1})
    running = await world.running(ada, ada)
    await world.delete(ada)
    states = dict(await world.rows("SELECT id::text, state FROM games"))
    assert states == {draft: "cancelled", enrolling: "cancelled", running: "running"}
    assert await world.rows("SELECT DISTINCT owner_id FROM games") == [(None,)]
    assert (await world.ask("POST", f"/api/v1/admin/games/{running}/cancel"))[0] == 200


async def test_ended_games_keep_nothing_personal(world: Any) -> None:
    """Owner and player of a finished game are forgotten in it, and its result stays."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.position(game, finished=True, result={"winner": 1})
    await world.delete(ada)
    shown = await world.show(bob, game)
    assert (shown["owner_name"], shown["result"]) == (None, {"winner": 1})
    assert sorted(each["name"] for each in shown["seats"]) == ["Bob", "Deleted player"]
    for table in ("games", "memberships"):
        assert not any(str(ada.id) in row[0] for row in await world.rows(f"SELECT t::text FROM {table} t"))


async def test_invitations_of_the_account_and_its_address_go(world: Any) -> None:
    """Those made until the deletion, by either way; one for the next holder of the address stays."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada)
    path = f"/{game}/invitations"
    await world.do(ada, "POST", path, 201, json={"account_id": str(bob.id)})
    await world.do(ada, "POST", path, 201, json={"email": "bob@example.test"})
    await world.delete(bob)
    assert await world.rows("SELECT count(*) FROM invitations") == [(0,)]


async def test_hearing_of_it_twice_changes_nothing_more(world: Any) -> None:
    """Facts are told at least once."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.delete(bob)
    before, told = await world.show(ada, game), world.told()
    await world.delete(bob)
    assert (await world.show(ada, game), world.told()) == (before, told)


@pytest.mark.parametrize("state", ["enrolling", "running"])
async def test_a_fault_in_the_middle_leaves_nothing_half_done(world: Any, state: str) -> None:
    """The handler fails at its last statement: all of it is rolled back, and done when the fact is told again."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await (world.running(ada, ada, bob) if state == "running" else world.opened(ada, ada, bob, max_players=3))
    from galaxy_lobby.deletions import queries

    forget, failures = queries.forget, 0

    async def failing(*arguments: Any) -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            assert await world.rows("SELECT count(*) FROM memberships WHERE account_id IS NULL") == [(0,)]
            raise OSError("the disk is full")
        await forget(*arguments)

    queries.forget = failing  # type: ignore[assignment]
    try:
        await world.delete(bob)
    finally:
        queries.forget = forget
    assert failures == 2
    kind = "seat_vacant" if state == "running" else "left"
    assert world.told(kind) == [(kind, {"Ada"})]
    assert (await world.show(ada, game))["enrolled"] == (2 if state == "running" else 1)
