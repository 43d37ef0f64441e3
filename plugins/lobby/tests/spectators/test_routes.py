"""Public games without signing in."""

from typing import Any
from uuid import uuid4

import pytest

GAMES = "/api/v1/public/games"


async def get(world: Any, path: str, **headers: str) -> tuple[int, Any, Any]:
    """Return status, headers and JSON of a request without a session."""
    async with world.booted.client.get(f"{GAMES}{path}", headers=headers) as response:
        return response.status, response.headers, await response.json() if response.content_length else None


async def test_a_public_game_is_shown_to_everybody(world: Any) -> None:
    """Its names and its turn are shown while it runs, its result once it is over, and of accounts nothing."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    status, headers, shown = await get(world, f"/{game}")
    assert (status, headers["Cache-Control"], shown["turn"], shown["result"]) == (200, "public, max-age=5", 0, None)
    seat = {"state": "playing", "machine": False}
    names = {each["name"] for each in shown["seats"]}
    assert shown["seats"] == [{"seat": each["seat"], "name": each["name"], **seat} for each in shown["seats"]]
    assert names == {"Ada", "Bob"}
    assert not {str(ada.id), str(bob.id)} & set(str(shown).replace("'", " ").split())
    await world.do(bob, "POST", f"/{game}/resign")
    assert {each["state"] for each in (await get(world, f"/{game}"))[2]["seats"]} == {"playing", "resigned"}
    await world.position(game, finished=True, result={"winners": [1], "text": "Ada won."})
    _, _, ended = await get(world, f"/{game}")
    assert (ended["state"], ended["turn"], ended["result"]["text"]) == ("finished", 1, "Ada won.")


async def test_what_has_not_changed_is_not_sent_again(world: Any) -> None:
    """The game and its reports carry tags; a report may be kept by caches between."""
    ada = world.account("Ada")
    game = await world.running(ada, ada)
    for path in (f"/{game}", f"/{game}/turns/0"):
        status, headers, _ = await get(world, path)
        assert status == 200
        again, repeated, body = await get(world, path, **{"If-None-Match": headers["ETag"]})
        assert (again, repeated["ETag"], body) == (304, headers["ETag"], None)
    assert headers["Cache-Control"] == "public, max-age=86400, immutable"
    _, before, _ = await get(world, f"/{game}")
    await world.position(game)
    assert (await get(world, f"/{game}", **{"If-None-Match": before["ETag"]}))[0] == 200


@pytest.mark.parametrize("end", ["", "/turns/0"])
async def test_other_games_are_not_there(world: Any, end: str) -> None:
    """A private game, a draft, an unknown game and a turn to come are answered alike."""
    ada = world.account("Ada")
    private, draft = await world.running(ada, ada, visibility="private"), await world.create(ada)
    running = await world.running(ada, ada)
    for game in (private, draft, uuid4()):
        status, _, problem = await get(world, f"/{game}{end}")
        assert (status, problem["code"]) == (404, "not_found"), game
    assert (await get(world, f"/{running}/turns/7"))[0] == 404
    await world.position(private, finished=True)
    assert (await get(world, f"/{private}{end}"))[0] == 404
