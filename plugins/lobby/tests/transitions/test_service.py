"""What owners and operators do with a game, and when it is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from galaxy_contracts.runtime import ActorKind, Failure, Operation, Trigger

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ADMIN = "/api/v1/admin/games"


async def code(world: Any, user: Any, path: str, **request: Any) -> tuple[int, str]:
    """Return status and code of a transition that is refused."""
    status, problem = await world.ask("POST", f"/api/v1/user/games{path}", user, **request)
    return status, problem["code"]


async def test_a_draft_opens_once(world: Any) -> None:
    """Opening lets players join; a second time there is nothing to open."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.create(ada)
    assert await code(world, ada, f"/{game}/join") == (409, "game_not_enrolling")
    await world.do(ada, "POST", f"/{game}/open-enrolment")
    assert await code(world, ada, f"/{game}/open-enrolment") == (409, "game_not_draft")
    await world.do(bob, "POST", f"/{game}/join")


async def test_starting_needs_players(world: Any) -> None:
    """A game starts with its fewest players and one person at least, from no other state than while it enrols."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.create(ada, min_players=2, max_players=3)
    assert await code(world, ada, f"/{game}/start") == (409, "game_not_startable")
    await world.do(ada, "POST", f"/{game}/open-enrolment")
    assert await code(world, ada, f"/{game}/start") == (409, "too_few_players")
    await world.do(ada, "POST", f"/{game}/machines", json={"count": 2})
    assert await code(world, ada, f"/{game}/start") == (409, "too_few_players")
    await world.do(bob, "POST", f"/{game}/join")
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert await code(world, ada, f"/{game}/start") == (409, "game_not_startable")


async def test_the_runtime_is_handed_everything(world: Any) -> None:
    """Seats count from 1 without a gap, machines say so, and options, schedule and policy are the game's."""
    ada, bob = world.account("Ada"), world.account("Bob")
    schedule = {"cron": "0 18 * * *", "time_zone": "Europe/Vienna", "at_least": "90m"}
    changed = {"max_players": 4, "schedule": schedule, "run_when_final": True, "options": {"fog": False}}
    game = await world.opened(ada, ada, bob, **changed)
    await world.do(ada, "POST", f"/{game}/machines", json={"count": 2})
    await world.do(ada, "POST", f"/{game}/start", 202)
    launch = world.runtime.records[UUID(game)].launch
    assert [player.seat for player in launch.seats] == [1, 2, 3, 4]
    assert {(player.name, player.machine) for player in launch.seats} == {
        ("Ada", False),
        ("Bob", False),
        ("Machine 1", True),
        ("Machine 2", True),
    }
    assert (launch.options, launch.run_when_final, launch.policy) == ({"fog": False}, True, "fixed")
    assert launch.engine_version_id == world.version.id
    assert launch.schedule.cron == "0 18 * * *"
    assert (launch.schedule.time_zone, launch.schedule.at_least) == ("Europe/Vienna", timedelta(minutes=90))
    shown = await world.show(ada, game)
    assert [(seat["seat"], seat["name"]) for seat in shown["seats"]] == [(p.seat, p.name) for p in launch.seats]


async def test_names_are_those_of_the_start(world: Any) -> None:
    """A player who changed their name since joining plays under the new one, and keeps it."""
    ada = world.account("Ada")
    game = await world.opened(ada, ada)
    world.fakes.accounts.change(ada.id, display_name="Countess")
    await world.do(ada, "POST", f"/{game}/start", 202)
    world.fakes.accounts.change(ada.id, display_name="Ada Lovelace")
    assert [seat["name"] for seat in (await world.show(ada, game))["seats"]] == ["Countess"]


async def test_a_failed_start_is_tried_again_with_the_same_seats(world: Any) -> None:
    """The failure is shown and told; starting again deals nothing, and works."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, bob)
    await world.do(ada, "POST", f"/{game}/start", 202)
    seats = world.runtime.records[UUID(game)].launch.seats
    async with world.database.transaction() as connection:
        await world.runtime.fail_start(connection, UUID(game), Failure("image_not_found", "there is no such image"))
    shown = await world.show(bob, game)
    assert (shown["state"], shown["failure"]) == ("start_failed", "image_not_found")
    assert world.told("start_failed") == [("start_failed", {"Ada", "Bob"})]
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert world.runtime.records[UUID(game)].launch.seats == seats
    await world.position(game)
    shown = await world.show(bob, game)
    assert (shown["state"], shown["failure"]) == ("running", None)


@pytest.mark.parametrize("deleted", [True, False])
async def test_who_goes_after_a_failed_start_leaves_a_vacant_seat(world: Any, deleted: bool) -> None:
    """Of whoever resigned, or deleted their account, the seat is there at the next start, and nobody plays it."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, ada, bob)
    await world.do(ada, "POST", f"/{game}/start", 202)
    seat = await world.seat(bob, game)
    async with world.database.transaction() as connection:
        await world.runtime.fail_start(connection, UUID(game), Failure("pull_failed", "the registry is away"))
    await (world.delete(bob) if deleted else world.do(bob, "POST", f"/{game}/resign"))
    assert world.told("seat_vacant") == [("seat_vacant", {"Ada"})]
    await world.do(ada, "POST", f"/{game}/start", 202)
    record = world.runtime.records[UUID(game)]
    assert ([player.seat for player in record.launch.seats], record.vacant) == ([1, 2], {seat})


async def test_nobody_is_left_after_a_failed_start(world: Any) -> None:
    """A game whose last person has gone is not started again: engines do not play alone."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, bob, max_players=2)
    await world.do(ada, "POST", f"/{game}/machines")
    await world.do(ada, "POST", f"/{game}/start", 202)
    async with world.database.transaction() as connection:
        await world.runtime.fail_start(connection, UUID(game), Failure("pull_failed", "no"))
    await world.delete(bob)
    assert await code(world, ada, f"/{game}/start") == (409, "too_few_players")
    assert (await world.show(ada, game))["state"] == "start_failed"


async def test_pause_and_resume_keep_what_was_left(world: Any) -> None:
    """A pause stops the clock; the resumed turn has what was left of it, and everybody else hears of both."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    world.clock.advance(timedelta(hours=18))
    paused = await world.do(ada, "POST", f"/{game}/pause")
    assert (paused["state"], paused["pause_reason"], paused["next_turn_at"]) == ("paused", "owner", None)
    assert await code(world, ada, f"/{game}/pause") == (409, "game_not_running")
    assert (await world.send(bob, game))[0] == 200
    world.clock.advance(timedelta(days=30))
    resumed = await world.do(ada, "POST", f"/{game}/resume")
    due = (world.clock.now() + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (resumed["state"], resumed["pause_reason"], resumed["next_turn_at"]) == ("running", None, due)
    assert await code(world, ada, f"/{game}/resume") == (409, "game_not_paused")
    assert world.told("paused") + world.told("resumed") == [("paused", {"Bob"}), ("resumed", {"Bob"})]


async def test_only_operators_end_their_pauses(world: Any) -> None:
    """A pause of an operator takes over the owner's, and no owner ends it."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.do(ada, "POST", f"/{game}/pause")
    assert (await world.ask("POST", f"{ADMIN}/{game}/pause"))[0] == 200
    assert (await world.show(ada, game))["pause_reason"] == "operator"
    told = world.told("paused")
    assert (await world.ask("POST", f"{ADMIN}/{game}/pause"))[0] == 200
    assert world.told("paused") == told, "a repeated pause is not told of again"
    assert await code(world, ada, f"/{game}/resume") == (409, "pause_not_yours")
    status, shown = await world.ask("POST", f"{ADMIN}/{game}/resume")
    assert (status, shown["state"]) == (200, "running")
    assert (await world.ask("POST", f"{ADMIN}/{game}/resume"))[1]["code"] == "game_not_paused"
    assert world.payload("paused")["reason"] == "operator"
    assert world.told("resumed") == [("resumed", {"Ada", "Bob"})]


async def test_a_quarantined_game_is_resumed_by_operators(world: Any) -> None:
    """A turn that cannot be adjudicated pauses the game; its owner cannot help, an operator can."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    async with world.database.transaction() as connection:
        await world.runtime.halt(connection, UUID(game), Failure("engine_error", "the engine fails"))
    shown = await world.show(ada, game)
    assert (shown["state"], shown["pause_reason"], shown["failure"]) == ("paused", "engine_failed", "engine_error")
    assert await code(world, ada, f"/{game}/resume") == (409, "pause_not_yours")
    assert (await world.ask("POST", f"{ADMIN}/{game}/resume"))[0] == 200
    shown = await world.show(ada, game)
    assert (shown["state"], shown["failure"]) == ("running", None)


async def test_extending(world: Any) -> None:
    """The next turn moves to a time or by a length, later only, and the others hear of the new time."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    shown = await world.do(ada, "POST", f"/{game}/extend", json={"until": "2030-01-05T12:00:00+02:00"})
    assert shown["next_turn_at"] == "2030-01-05T10:00:00Z"
    shown = await world.do(ada, "POST", f"/{game}/extend", json={"by": "12h"})
    assert shown["next_turn_at"] == "2030-01-05T22:00:00Z"
    assert world.told("postponed") == [("postponed", {"Bob"})] * 2
    assert world.payload("postponed")["next_turn_at"] == datetime(2030, 1, 5, 22, tzinfo=UTC)
    assert await code(world, ada, f"/{game}/extend", json={"until": "2030-01-05T21:59:59Z"}) == (422, "invalid_request")
    for field, far in (("until", "2040-01-01T00:00:00Z"), ("by", "9999d"), ("by", "999999999d"), ("by", "0s")):
        status, problem = await world.ask("POST", f"/api/v1/user/games/{game}/extend", ada, json={field: far})
        assert (status, problem["errors"][0]["field"]) == (422, field)
    await world.do(ada, "POST", f"/{game}/pause")
    assert await code(world, ada, f"/{game}/extend", json={"by": "1h"}) == (409, "game_not_running")


async def test_nothing_is_extended_while_the_turn_runs(world: Any) -> None:
    """What the runtime refuses is refused, and leaves nothing."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    world.runtime.records[UUID(game)].closed = True
    for word, body in (("extend", {"by": "1h"}), ("force-next-turn", None)):
        assert await code(world, ada, f"/{game}/{word}", **({"json": body} if body else {})) == (409, "turn_running")
    assert world.told("postponed") == []


async def test_forcing_the_next_turn(world: Any) -> None:
    """It is an operation in the owner's name; another one meanwhile is refused."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    answer = await world.do(ada, "POST", f"/{game}/force-next-turn", 202)
    record = world.runtime.records[UUID(game)]
    [(operation, actor)] = record.actors
    assert (operation, actor.kind, actor.id) == (Operation.FORCE_NEXT_TURN, ActorKind.OWNER, ada.id)
    assert UUID(answer["operation_id"]) == record.operation
    assert await code(world, ada, f"/{game}/force-next-turn") == (409, "operation_in_progress")
    await world.position(game, trigger=Trigger.FORCED)
    await world.do(ada, "POST", f"/{game}/pause")
    assert await code(world, ada, f"/{game}/force-next-turn") == (409, "game_not_running")


@pytest.mark.parametrize("state", ["draft", "enrolling", "ready", "starting", "running", "paused", "start_failed"])
async def test_cancelling_from_every_state(world: Any, state: str) -> None:
    """A game that has not ended is cancelled for good: its record ends, its invitations go, its players hear of it."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.create(ada)
    await world.do(ada, "POST", f"/{game}/invitations", 201, json={"account_id": str(cleo.id)})
    steps = {
        "draft": (),
        "enrolling": ("open-enrolment", "join"),
        "ready": ("open-enrolment", "join", "bob"),
        "starting": ("open-enrolment", "join", "bob", "start"),
        "running": ("open-enrolment", "join", "bob", "start", "position"),
        "paused": ("open-enrolment", "join", "bob", "start", "position", "pause"),
        "start_failed": ("open-enrolment", "join", "bob", "start", "fail"),
    }
    for step in steps[state]:
        if step == "bob":
            await world.do(bob, "POST", f"/{game}/join")
        elif step == "position":
            await world.position(game)
        elif step == "fail":
            async with world.database.transaction() as connection:
                await world.runtime.fail_start(connection, UUID(game), Failure("pull_failed", "no"))
        else:
            await world.do(ada, "POST", f"/{game}/{step}", 202 if step == "start" else 200)
    assert (await world.show(ada, game))["state"] == state
    assert (await world.do(ada, "POST", f"/{game}/cancel"))["state"] == "cancelled"
    assert await code(world, ada, f"/{game}/cancel") == (409, "game_ended")
    in_it = {"Bob"} if "bob" in steps[state] else set()
    assert world.told("cancelled") == ([("cancelled", in_it)] if in_it else [])
    record = world.runtime.records.get(UUID(game))
    assert record is None or record.ended
    assert await world.rows("SELECT DISTINCT state FROM memberships") == ([("finished",)] if steps[state] else [])
    assert await world.rows("SELECT state FROM invitations") == [("withdrawn",)]
    assert world.runtime.status(UUID(game)) is None


async def test_operators_cancel(world: Any) -> None:
    """The owner hears of it too; a game that is not there is 404, one that has ended 409."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, bob)
    status, shown = await world.ask("POST", f"{ADMIN}/{game}/cancel")
    assert (status, shown["state"]) == (200, "cancelled")
    assert world.told("cancelled") == [("cancelled", {"Ada", "Bob"})]
    assert (await world.ask("POST", f"{ADMIN}/{game}/cancel"))[1]["code"] == "game_ended"
    for word in ("pause", "resume", "cancel"):
        assert (await world.ask("POST", f"{ADMIN}/{uuid4()}/{word}"))[0] == 404


async def test_deleted_accounts_do_not_start(world: Any) -> None:
    """Whose account was deleted a moment ago, before the plugin was told, is left out of the deal."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, bob, cleo, max_players=3)
    world.fakes.accounts.change(bob.id, email=None, deleted_at=NOW)
    await world.do(ada, "POST", f"/{game}/start", 202)
    launch = world.runtime.records[UUID(game)].launch
    assert {player.name for player in launch.seats} == {"Ada", "Cleo"}
    assert await world.rows("SELECT enrolled FROM games") == [(2,)]
