"""Creating games, repeating that, and changing drafts."""

import asyncio
from typing import Any

import pytest

GAMES = "/api/v1/user/games"


async def test_a_draft_is_its_owners_alone(world: Any) -> None:
    """Nobody else sees it, in lists or by its id; it shows what it was made with."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.create(ada, schedule={"interval": "90m", "at_least": "1h"}, options={"fog": True})
    shown = await world.show(ada, game)
    assert (shown["state"], shown["owned"], shown["owner_name"]) == ("draft", True, "Ada")
    assert (shown["engine_version"], shown["options"]) == ("galaxy@1.4.0", {"fog": True})
    assert {key: value for key, value in shown["schedule"].items() if value} == {"interval": "90m", "at_least": "1h"}
    assert (await world.ask("GET", f"{GAMES}/{game}", bob))[0] == 404
    for scope in ("mine", "open", "ended"):
        assert (await world.do(bob, "GET", f"?scope={scope}"))["total"] == 0


async def test_50_creations_under_one_key_make_one_game(world: Any) -> None:
    """However many at once, they all get the same answer; another body under the key is refused."""
    ada = world.account("Ada")
    sent = {"Idempotency-Key": '"key-1"'}
    asked = (world.ask("POST", GAMES, ada, json=world.spec(), headers=sent) for _ in range(50))
    answers = await asyncio.gather(*asked)
    assert {status for status, _ in answers} == {201}
    assert all(answer == answers[0][1] for _, answer in answers)
    assert await world.rows("SELECT count(*) FROM games") == [(1,)]
    bare = {"Idempotency-Key": "key-1"}
    assert (await world.ask("POST", GAMES, ada, json=world.spec(), headers=bare))[1]["id"] == answers[0][1]["id"]
    status, problem = await world.ask("POST", GAMES, ada, json=world.spec(name="Other"), headers=sent)
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_a_key_is_its_owners_own(world: Any) -> None:
    """Two players may use the same one; without a key each request makes a game."""
    ada, bob = world.account("Ada"), world.account("Bob")
    sent = {"Idempotency-Key": "k"}
    made = [await world.ask("POST", GAMES, user, json=world.spec(), headers=sent) for user in (ada, bob)]
    assert len({answer["id"] for _, answer in made}) == 2
    assert len({await world.create(ada) for _ in range(2)}) == 2


async def test_a_key_holds_when_the_version_has_closed(world: Any) -> None:
    """A repetition gets its game although a new one could not be made."""
    ada = world.account("Ada")
    sent = {"Idempotency-Key": "k"}
    _, made = await world.ask("POST", GAMES, ada, json=world.spec(), headers=sent)
    world.fakes.versions.change(world.version.id, state="deprecated")
    status, again = await world.ask("POST", GAMES, ada, json=world.spec(), headers=sent)
    assert (status, again["id"]) == (201, made["id"])
    status, problem = await world.ask("POST", GAMES, ada, json=world.spec())
    assert (status, problem["code"]) == (409, "engine_version_deprecated")


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "schlüssel"])
async def test_what_is_not_a_key(world: Any, key: str) -> None:
    """An empty, long or foreign one is named."""
    ada = world.account("Ada")
    sent = {"Idempotency-Key": key.encode().decode("latin-1")}
    status, problem = await world.ask("POST", GAMES, ada, json=world.spec(), headers=sent)
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"engine_version": "9.9.9"}, "engine_version"),
        ({"engine_version": ""}, "engine_version"),
        ({"visibility": "secret"}, "visibility"),
        ({"min_players": 0}, "min_players"),
        ({"min_players": 3, "max_players": 2}, "max_players"),
        ({"max_players": 9}, "max_players"),
        ({"max_players": 100_000}, "max_players"),
        ({"max_players": "2"}, "max_players"),
        ({"schedule": {}}, "schedule"),
        ({"schedule": {"interval": "9s"}}, "schedule.interval"),
        ({"schedule": {"interval": "1 day"}}, "schedule.interval"),
        ({"schedule": {"interval": 60}}, "schedule.interval"),
        ({"schedule": {"interval": "99999999999999d"}}, "schedule.interval"),
        ({"schedule": {"interval": "1d", "at_least": "soon"}}, "schedule.at_least"),
        ({"schedule": {"cron": "* * *", "time_zone": "Europe/Vienna"}}, "schedule.cron"),
        ({"schedule": {"cron": "0 18 * * *", "time_zone": "Mars/Olympus"}}, "schedule.time_zone"),
        ({"schedule": {"interval": "1d", "weekly": True}}, "schedule.weekly"),
        ({"options": {"fog": "yes"}}, "options"),
        ({"options": {"unknown": 1}}, "options"),
        ({"options": {"fog": 2**70}}, "options"),
        ({"options": {"fog": ["x" * 20_000]}}, "options"),
        ({"options": []}, "options"),
        ({"policy": "mercy"}, "policy"),
        ({"policy_options": {"a": 1}}, "policy_options"),
        ({"run_when_final": 1}, "run_when_final"),
        ({"owner": "me"}, "owner"),
    ],
)
async def test_games_that_cannot_be(world: Any, changed: dict[str, Any], field: str) -> None:
    """Each wrong field is named, at creation and in a patch, and nothing is made or changed."""
    ada = world.account("Ada")
    status, problem = await world.ask("POST", GAMES, ada, json=world.spec(**changed))
    assert (status, problem["errors"][0]["field"]) == (422, field), problem
    assert await world.rows("SELECT count(*) FROM games") == [(0,)]
    game = await world.create(ada)
    before = await world.show(ada, game)
    status, problem = await world.ask("PATCH", f"{GAMES}/{game}", ada, json=changed)
    assert (status, problem["errors"][0]["field"]) == (422, field), problem
    assert await world.show(ada, game) == before


async def test_engine_versions_are_found_by_every_reference(world: Any) -> None:
    """By id, by a number that is one engine's alone, by engine and number; several choices are named."""
    ada = world.account("Ada")
    for reference in (str(world.version.id), "1.4.0", "galaxy@1.4.0"):
        assert (await world.show(ada, await world.create(ada, engine_version=reference)))["engine_version_id"] == str(
            world.version.id
        )
    world.fakes.versions.add("1.4.0", engine="chess")
    status, problem = await world.ask("POST", GAMES, ada, json=world.spec(engine_version="1.4.0"))
    assert (status, problem["errors"][0]["field"]) == (422, "engine_version")
    assert "chess@1.4.0" in problem["detail"]


async def test_an_engine_that_nothing_is_known_of_takes_any_options(world: Any) -> None:
    """They are held against its schema by the start."""
    ada = world.account("Ada")
    world.fakes.versions.add("0.1.0", engine="new")
    await world.create(ada, engine_version="new@0.1.0", options={"anything": [1]}, max_players=500)


async def test_versions_in_use(world: Any) -> None:
    """A version is in use by every game but one that was cancelled before it had a position."""
    ada = world.account("Ada")
    [user] = world.fakes.versions.users
    games = [await world.create(ada), await world.opened(ada), await world.running(ada, ada)]

    async def count() -> int:
        async with world.database.reading() as connection:
            found: int = await user.in_use(connection, world.version.id)
        return found

    assert await count() == 3
    for game in games:
        await world.do(ada, "POST", f"/{game}/cancel")
    assert await count() == 1


async def test_changing_a_draft(world: Any) -> None:
    """The fields that are sent change, the others stay; an empty change and one of an open game are refused."""
    ada = world.account("Ada")
    game = await world.create(ada, options={"fog": True})
    schedule = {"cron": "0 18 * * mon,thu", "time_zone": "Europe/Vienna"}
    changed = {"name": "Betelgeuse", "max_players": 5, "schedule": schedule, "visibility": "private"}
    shown = await world.do(ada, "PATCH", f"/{game}", json=changed)
    assert (shown["name"], shown["max_players"], shown["visibility"]) == ("Betelgeuse", 5, "private")
    assert (shown["schedule"]["cron"], shown["schedule"]["interval"]) == ("0 18 * * mon,thu", None)
    assert (shown["options"], shown["min_players"]) == ({"fog": True}, 1)
    assert (await world.ask("PATCH", f"{GAMES}/{game}", ada, json={}))[0] == 422
    world.fakes.versions.change(world.version.id, state="retired")
    assert (await world.do(ada, "PATCH", f"/{game}", json={"name": "Bellatrix"}))["name"] == "Bellatrix"
    newer = world.fakes.versions.add("2.0.0", engine="galaxy", state="deprecated")
    status, problem = await world.ask("PATCH", f"{GAMES}/{game}", ada, json={"engine_version": str(newer.id)})
    assert (status, problem["code"]) == (409, "engine_version_deprecated")
    await world.do(ada, "POST", f"/{game}/open-enrolment")
    status, problem = await world.ask("PATCH", f"{GAMES}/{game}", ada, json={"name": "Late"})
    assert (status, problem["code"]) == (409, "game_not_draft")
