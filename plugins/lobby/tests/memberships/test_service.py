"""Who sits at a game: joining, leaving, resigning, removal and machines."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from galaxy_contracts.runtime import Failure, Trigger
from galaxy_contracts.testing import FakeRuntime

GAMES = "/api/v1/user/games"


async def refused(world: Any, user: Any, method: str, path: str, **request: Any) -> tuple[int, str]:
    """Return status and code of a request that is refused."""
    status, problem = await world.ask(method, f"{GAMES}{path}", user, **request)
    return status, problem["code"]


async def test_200_joiners_of_one_seat(world: Any) -> None:
    """Of 200 who join at once exactly one gets the seat, the count is right, and nobody else is a member."""
    ada = world.account("Ada")
    game = await world.opened(ada, max_players=1)
    players = [world.account(f"P{number}") for number in range(200)]

    async def join(player: Any) -> tuple[int, Any]:
        while True:  # a busy machine turns some away for the time being
            status, answer = await world.ask("POST", f"{GAMES}/{game}/join", player)
            if status != 503:
                return status, answer

    answers = await asyncio.gather(*map(join, players))
    assert Counter(status for status, _ in answers) == {200: 1, 409: 199}
    assert {answer["code"] for status, answer in answers if status == 409} == {"game_full"}
    assert await world.rows("SELECT enrolled, state FROM games") == [(1, "ready")]
    assert await world.rows("SELECT count(*) FROM memberships") == [(1,)]
    assert len(world.told("joined")) == 1


async def test_joining_twice_at_once_takes_one_seat(world: Any) -> None:
    """One player's many requests are all answered well, also for the last seat, and count once."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, max_players=2)
    answers = await asyncio.gather(*(world.ask("POST", f"{GAMES}/{game}/join", bob) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert await world.rows("SELECT enrolled, state FROM games") == [(2, "ready")]
    assert await world.rows("SELECT count(*) FROM memberships") == [(2,)]
    assert world.told("joined") == [("joined", {"Ada"})]


async def test_leaving_reopens_the_game(world: Any) -> None:
    """A full game is ready; whoever leaves makes it enrol again, and the owner hears of it."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, bob)
    assert (await world.show(ada, game))["state"] == "ready"
    assert await refused(world, cleo, "POST", f"/{game}/join") == (409, "game_full")
    assert (await world.do(bob, "POST", f"/{game}/leave"))["left"] is True
    shown = await world.show(ada, game)
    assert (shown["state"], shown["enrolled"], len(shown["seats"])) == ("enrolling", 1, 1)
    assert world.told("left") == [("left", {"Ada"})]
    assert world.payload("left")["removed"] is False
    await world.do(cleo, "POST", f"/{game}/join")
    assert await refused(world, bob, "POST", f"/{game}/leave") == (409, "not_a_member")
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert await refused(world, cleo, "POST", f"/{game}/leave") == (409, "game_started")


async def test_the_owner_holds_no_seat_unless_they_join(world: Any) -> None:
    """A game can be played by others alone, and its owner hears of them."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.running(ada, bob, cleo)
    shown = await world.show(ada, game)
    assert (shown["owned"], shown["seat"], shown["my_turn"], shown["unread"]) == (True, None, False, 0)
    assert world.told("turn_ready") == [("turn_ready", {"Bob", "Cleo"})]
    assert world.told("started") == [("started", {"Ada", "Bob", "Cleo"})]


async def test_resigning_vacates_the_seat(world: Any) -> None:
    """The part ends, the seat is vacant, the others hear of it, and the one who went keeps the reports up to then."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.running(ada, ada, bob, cleo)
    seat = await world.seat(bob, game)
    resigned = await world.do(bob, "POST", f"/{game}/resign")
    assert (resigned["my_turn"], resigned["unread"]) == (False, 0)
    assert world.runtime.records[UUID(game)].vacant == {seat}
    assert world.told("seat_vacant") == [("seat_vacant", {"Ada", "Cleo"})]
    assert (world.payload("seat_vacant")["seat"], world.payload("seat_vacant")["reason"]) == (seat, "resigned")
    assert await refused(world, bob, "POST", f"/{game}/resign") == (409, "not_a_member")
    turn = {"turn": 0, "orders": []}
    assert await refused(world, bob, "PUT", f"/{game}/orders", json=turn) == (409, "not_playing")
    assert (await world.do(bob, "GET", f"/{game}/turns/0/report"))["text"] == f"turn 0, seat {seat}"
    await world.position(game)
    assert await refused(world, bob, "GET", f"/{game}/turns/1/report") == (404, "not_found")
    assert (await world.show(bob, game))["unread"] == 0
    states = {each["name"]: each["state"] for each in (await world.show(ada, game))["seats"]}
    assert states == {"Ada": "playing", "Bob": "resigned", "Cleo": "playing"}
    assert (await world.do(bob, "GET", ""))["total"] == 0
    await world.position(game, finished=True)
    assert await world.rows("SELECT name, state FROM memberships ORDER BY name") == [
        ("Ada", "finished"),
        ("Bob", "resigned"),
        ("Cleo", "finished"),
    ]


async def test_resigning_from_what_does_not_run(world: Any) -> None:
    """Before the start one leaves instead; outsiders have nothing to resign; the eliminated have nothing left."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada)
    assert await refused(world, ada, "POST", f"/{game}/resign") == (409, "game_not_running")
    assert await refused(world, bob, "POST", f"/{game}/resign") == (409, "not_a_member")
    await world.do(bob, "POST", f"/{game}/join")
    await world.do(ada, "POST", f"/{game}/start", 202)
    await world.position(game)
    await world.position(game, eliminated=[await world.seat(bob, game)])
    assert await refused(world, bob, "POST", f"/{game}/resign") == (409, "not_playing")
    assert await refused(world, ada, "DELETE", f"/{game}/members/{bob.id}") == (409, "not_playing")


async def test_going_before_the_first_position(world: Any) -> None:
    """Nobody is held in a game that is being started or could not be: one resigns, another is removed."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, bob, cleo, max_players=3)
    await world.do(ada, "POST", f"/{game}/start", 202)
    await world.do(bob, "POST", f"/{game}/resign")
    async with world.database.transaction() as connection:
        await world.runtime.fail_start(connection, UUID(game), Failure("image_not_found", "there is no such image"))
    seats = {await world.seat(bob, game), await world.seat(cleo, game)}
    await world.do(ada, "DELETE", f"/{game}/members/{cleo.id}", 204)
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert world.runtime.records[UUID(game)].vacant == seats
    await world.position(game)
    assert await refused(world, bob, "GET", f"/{game}/turns/0/report") == (404, "not_found")


@pytest.mark.parametrize("goes", ["resigns", "is deleted"])
async def test_going_while_the_game_is_started(world: Any, monkeypatch: pytest.MonkeyPatch, goes: str) -> None:
    """Who waits for a game that is being started begins with its record: a turn that has that gets the game's row."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, bob)
    launching, launched = asyncio.Event(), asyncio.Event()
    fake, record = FakeRuntime, text("SELECT pg_advisory_xact_lock(7)")
    waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = '{}'"

    async def launch(connection: Any, launch: Any) -> Any:
        launching.set()
        await launched.wait()
        return await fake.launch(world.runtime, connection, launch)

    async def lock(connection: Any, game_ids: Any) -> Any:
        if found := await fake.lock(world.runtime, connection, game_ids):
            await connection.execute(record)
        return found

    async def vacate(connection: Any, game_id: Any, seat: int) -> None:
        await connection.execute(record)
        await fake.vacate(world.runtime, connection, game_id, seat)

    for replaced in (launch, lock, vacate):
        monkeypatch.setattr(world.runtime, replaced.__name__, replaced)
    async with asyncio.TaskGroup() as both, world.database.transaction() as turn:
        both.create_task(world.do(ada, "POST", f"/{game}/start", 202))
        await launching.wait()
        both.create_task(world.do(bob, "POST", f"/{game}/resign") if goes == "resigns" else world.delete(bob))
        await world.until_async(waits.format("transactionid"))
        await turn.execute(record)
        launched.set()
        await world.until_async(waits.format("advisory"))
        state = await turn.execute(text("SELECT state FROM games FOR NO KEY UPDATE NOWAIT"))
        assert state.scalar_one() == "starting"
    assert len(world.runtime.records[UUID(game)].vacant) == 1


async def test_removing_who_missed_the_last_turn(world: Any) -> None:
    """The owner removes whoever missed the last scheduled turn, nobody else; the removed one hears of it."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    member = f"/{game}/members/{bob.id}"
    assert await refused(world, ada, "DELETE", member) == (409, "has_not_missed")
    await world.position(game, trigger=Trigger.FORCED)
    assert await refused(world, ada, "DELETE", member) == (409, "has_not_missed")
    await world.send(ada, game)
    await world.position(game)
    seat = await world.seat(bob, game)
    await world.do(ada, "DELETE", member, 204)
    assert world.told("seat_vacant") == [("seat_vacant", {"Ada", "Bob"})]
    assert world.runtime.records[UUID(game)].vacant == {seat}
    assert await refused(world, ada, "DELETE", member) == (404, "not_found")


async def test_who_plays_again_is_not_removed(world: Any) -> None:
    """Orders for a later turn wipe the missed one out of the row, and not out of the count."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.position(game)
    await world.send(bob, game)
    await world.position(game)
    assert await refused(world, ada, "DELETE", f"/{game}/members/{bob.id}") == (409, "has_not_missed")
    assert {each["name"]: each["missed"] for each in (await world.show(ada, game))["seats"]} == {"Ada": 2, "Bob": 1}


async def test_removing_before_the_start(world: Any) -> None:
    """While the game enrols its owner takes anybody out, who hears of it and may come again to a public game."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, bob)
    await world.do(ada, "DELETE", f"/{game}/members/{bob.id}", 204)
    assert world.told("left") == [("left", {"Bob"})]
    assert world.payload("left")["removed"] is True
    assert (await world.show(ada, game))["state"] == "enrolling"
    await world.do(bob, "POST", f"/{game}/join")


async def test_machines(world: Any) -> None:
    """Machines take seats and return them, count, are shown as such, and hear nothing."""
    ada = world.account("Ada")
    game = await world.opened(ada, ada, max_players=4)
    shown = await world.do(ada, "POST", f"/{game}/machines", json={"count": 3})
    assert (shown["state"], shown["enrolled"]) == ("ready", 4)
    assert [(each["machine"], each["name"]) for each in shown["seats"]] == [
        (False, "Ada"),
        *((True, f"Machine {number}") for number in (1, 2, 3)),
    ]
    shown = await world.do(ada, "DELETE", f"/{game}/machines")
    assert (shown["state"], shown["enrolled"], len(shown["seats"])) == ("enrolling", 1, 1)
    await world.do(ada, "POST", f"/{game}/machines")
    await world.do(ada, "POST", f"/{game}/start", 202)
    await world.position(game)
    shown = await world.show(ada, game)
    assert [(each["sent"], each["final"]) for each in shown["seats"] if each["machine"]] == [(True, True)]
    assert {who for _, told in world.told() for who in told} == {"Ada"}
    assert await refused(world, ada, "POST", f"/{game}/machines") == (409, "game_not_enrolling")
    assert await refused(world, ada, "DELETE", f"/{game}/machines") == (409, "game_not_enrolling")


async def test_a_game_needs_a_person(world: Any) -> None:
    """Machines leave a seat for one, and no more seats are taken than there are."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, bob, max_players=3)
    assert await refused(world, ada, "POST", f"/{game}/machines", json={"count": 3}) == (409, "person_needed")
    assert await refused(world, ada, "POST", f"/{game}/machines", json={"count": 2}) == (409, "game_full")
    await world.do(ada, "POST", f"/{game}/machines", json={"count": 1})
    assert await refused(world, ada, "POST", f"/{game}/machines", json={"count": 2}) == (409, "game_full")
    await world.do(bob, "POST", f"/{game}/leave")
    assert await refused(world, ada, "POST", f"/{game}/machines", json={"count": 2}) == (409, "person_needed")


async def test_machines_need_an_engine_that_suggests(world: Any) -> None:
    """An engine without the capability, or of which nothing is known yet, gets no machines."""
    ada = world.account("Ada")
    game = await world.opened(ada, max_players=4)
    for describe in (None, {"capabilities": ["options"]}):
        world.fakes.versions.change(world.version.id, describe=describe)
        assert await refused(world, ada, "POST", f"/{game}/machines") == (409, "machines_unsupported")


async def test_whoever_follows_has_a_row_of_their_own(world: Any) -> None:
    """Leaving and coming again is a new part in the game, behind those who stayed."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, bob, cleo, max_players=3)
    await world.do(bob, "POST", f"/{game}/leave")
    await world.do(bob, "POST", f"/{game}/join")
    assert [each["name"] for each in (await world.show(ada, game))["seats"]] == ["Cleo", "Bob"]
