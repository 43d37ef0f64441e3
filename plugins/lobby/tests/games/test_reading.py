"""Lists of games and what they show."""

from typing import Any

GAMES = "/api/v1/user/games"


async def test_scopes(world: Any) -> None:
    """Mine are those I own or am in; open are public ones with a seat; ended are mine that are over."""
    ada, bob = world.account("Ada"), world.account("Bob")
    draft, enrolling = await world.create(ada), await world.opened(ada, ada, max_players=3)
    full, private = await world.opened(ada, bob, max_players=1), await world.opened(ada, visibility="private")
    finished = await world.running(bob, bob, ada)
    await world.position(finished, finished=True)
    cancelled = await world.opened(ada)
    await world.do(ada, "POST", f"/{cancelled}/cancel")

    async def listed(user: Any, scope: str) -> list[str]:
        return [each["id"] for each in (await world.do(user, "GET", f"?scope={scope}"))["items"]]

    assert await listed(ada, "mine") == [private, full, enrolling, draft]
    assert await listed(bob, "mine") == [full]
    assert await listed(bob, "open") == [enrolling]
    assert set(await listed(ada, "ended")) == {finished, cancelled}
    assert await listed(bob, "ended") == [finished]
    assert (await world.ask("GET", f"{GAMES}?scope=all", ada))[0] == 422


async def test_mine_is_answered_from_memory(world: Any) -> None:
    """The page of one's games asks the database nothing."""
    ada, bob = world.account("Ada"), world.account("Bob")
    games = [await world.running(ada, ada, bob) for _ in range(3)]
    await world.send(ada, games[0], final=True)
    statements: list[str] = []
    from sqlalchemy import event

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    page = await world.do(ada, "GET", "?page_size=2")
    assert [each for each in statements if "pg_notify" not in each] == []  # of what was written before
    assert (page["total"], [each["id"] for each in page["items"]]) == (3, games[:0:-1])
    rest = (await world.do(ada, "GET", "?page_size=2&page=2"))["items"]
    assert [(each["my_turn"], each["sent"], each["final"]) for each in (*page["items"], *rest)] == [
        (True, False, False),
        (True, False, False),
        (False, True, True),
    ]


async def test_what_has_not_changed_is_not_sent_again(world: Any) -> None:
    """Lists and games carry a weak tag: 304 while they stay the same, the new state once they do not."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada)

    async def get(path: str, tag: str = "") -> tuple[int, str]:
        sent = {"Authorization": f"Bearer {ada.id}", "If-None-Match": tag}
        async with world.booted.client.get(f"{GAMES}{path}", headers=sent) as response:
            return response.status, response.headers["ETag"]

    for path in ("", f"/{game}", "?scope=open"):
        _, tag = await get(path)
        assert tag.startswith('W/"')
        assert await get(path, tag) == (304, tag)
    tags = {path: (await get(path))[1] for path in ("", f"/{game}")}
    await world.do(bob, "POST", f"/{game}/join")
    for path, tag in tags.items():
        assert (await get(path, tag))[0] == 200


async def test_account_ids_are_for_the_owner(world: Any) -> None:
    """Only who may remove members sees their ids; everybody sees their own."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, bob, max_players=3)

    async def shown(user: Any) -> list[tuple[str, bool]]:
        seats = (await world.show(user, game))["seats"]
        return [(seat["account_id"], seat["you"]) for seat in seats]

    assert await shown(ada) == [(str(ada.id), True), (str(bob.id), False)]
    assert await shown(bob) == [(None, False), (str(bob.id), True)]
    assert await shown(cleo) == [(None, False), (None, False)]
