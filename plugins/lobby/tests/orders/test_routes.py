"""Orders, options and reports: who may ask, and what the runtime is asked."""

from typing import Any
from uuid import UUID, uuid4

import pytest

GAMES = "/api/v1/user/games"


async def table(world: Any) -> tuple[Any, Any, Any, str]:
    """Return two players, a stranger, and a running game of the players."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    return ada, bob, cleo, await world.running(ada, ada, bob)


async def headers(world: Any, user: Any, path: str, **given: str) -> tuple[int, Any, bytes]:
    """Return status, headers and body of a GET."""
    sent = {"Authorization": f"Bearer {user.id}", **{name.replace("_", "-"): value for name, value in given.items()}}
    async with world.booted.client.get(f"{GAMES}{path}", headers=sent) as response:
        return response.status, response.headers, await response.read()


async def test_a_set_is_kept_and_read_back(world: Any) -> None:
    """The receipt names turn and revision; the set reads back as it was sent, under its revision as the tag."""
    ada, bob, _, game = await table(world)
    orders = [{"order": "send", "ships": 9}, "wait", 1.5, None]
    status, receipt = await world.send(ada, game, orders=orders, final=True)
    assert (status, receipt) == (200, {"accepted": True, "turn": 0, "revision": 1, "final": True})
    status, found, _ = await headers(world, ada, f"/{game}/orders")
    assert (status, found["ETag"]) == (200, '"1"')
    shown = await world.do(ada, "GET", f"/{game}/orders")
    assert (shown["orders"], shown["final"], shown["revision"]) == (orders, True, 1)
    other = await world.do(bob, "GET", f"/{game}/orders")
    assert (other["turn"], other["orders"], other["revision"], other["submitted_at"]) == (0, [], 0, None)


async def test_a_set_that_was_changed_meanwhile_is_not_overwritten(world: Any) -> None:
    """Two tabs: who goes by an older revision hears 412, and what is stored stands."""
    ada, _, _, game = await table(world)
    turn = {"turn": 0, "orders": [3]}
    path = f"{GAMES}/{game}/orders"
    for tag in ('"0"', '"1"'):
        assert (await world.ask("PUT", path, ada, json=turn, headers={"If-Match": tag}))[0] == 200
    for tag, expected in (('"1"', 412), ('W/"1"', 412), ("1", 412), ('"2"', 200), ("*", 200), ("old", 422)):
        status, answer = await world.ask("PUT", path, ada, json=turn, headers={"If-Match": tag})
        assert status == expected, (tag, answer)
    assert (await world.do(ada, "GET", f"/{game}/orders"))["revision"] == 4


async def test_what_the_engine_refuses_leaves_the_former_set(world: Any) -> None:
    """422 with the engine's errors, and the set that was accepted before stands."""
    ada, _, _, game = await table(world)
    await world.send(ada, game, orders=["good"])
    world.runtime.verdict = lambda seat, orders: ["unknown: no such order"] * len(orders)
    status, problem = await world.send(ada, game, orders=["bad"])
    assert (status, problem["code"]) == (422, "orders_refused")
    assert problem["errors"] == [{"field": "orders.0", "message": "unknown: no such order"}]
    assert (await world.do(ada, "GET", f"/{game}/orders"))["orders"] == ["good"]


async def test_the_runtimes_refusals_reach_the_player(world: Any) -> None:
    """A turn that is over, or running, is 409 by its own code."""
    ada, _, _, game = await table(world)
    path = f"{GAMES}/{game}/orders"
    status, problem = await world.ask("PUT", path, ada, json={"turn": 1, "orders": []})
    assert (status, problem["code"]) == (409, "turn_over")
    world.runtime.records[UUID(game)].closed = True
    status, problem = await world.ask("PUT", path, ada, json={"turn": 0, "orders": []})
    assert (status, problem["code"]) == (409, "turn_running")
    assert (await world.show(ada, game))["orders_closed"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "orders"), ("GET", "orders"), ("GET", "orders/options"), ("POST", "orders/validate")],
)
async def test_only_who_plays_may_order(world: Any, method: str, path: str) -> None:
    """A stranger finds no seat; before the start, after the end and once eliminated a player is told why not."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    body = {"json": {"turn": 0, "orders": []}} if method != "GET" else {}
    game = await world.opened(ada, ada, bob)

    async def code(user: Any, where: str = game) -> str:
        return str((await world.ask(method, f"{GAMES}/{where}/{path}", user, **body))[1]["code"])

    assert [await code(user) for user in (ada, cleo)] == ["game_not_running", "not_found"]
    assert await code(ada, str(uuid4())) == "not_found"
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert await code(ada) == "game_not_running"
    await world.position(game)
    await world.position(game, eliminated=[await world.seat(bob, game)])
    assert [await code(user) for user in (bob, cleo)] == ["not_playing", "not_found"]
    await world.position(game, finished=True)
    assert [await code(user) for user in (ada, bob, cleo)] == ["game_ended", "game_ended", "not_found"]


async def test_questions_go_to_the_engine_for_ones_own_seat(world: Any) -> None:
    """What the engine answers is passed on byte for byte; its seat is the caller's, whatever the caller says."""
    ada, _, _, game = await table(world)
    world.runtime.answers = {"options": b'{"options":  [1.0]}', "validate": b'{"accepted": false, "errors": []}'}
    status, _, body = await headers(world, ada, f"/{game}/orders/options")
    assert (status, body) == (200, b'{"options":  [1.0]}')
    found = await world.do(ada, "POST", f"/{game}/orders/validate", json={"turn": 0, "orders": [{"a": 1}]})
    assert found == {"accepted": False, "errors": []}
    seat = await world.seat(ada, game)
    assert world.runtime.asked == [
        (UUID(game), seat, "options", None),
        (UUID(game), seat, "validate", b'{"turn":0,"orders":[{"a":1}]}'),
    ]


async def test_a_report_is_for_its_own_seat_alone(world: Any) -> None:
    """Each player reads their own; strangers and owners without a seat read none; reading makes it read."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.running(cleo, ada, bob)
    for player in (ada, bob):
        seat = await world.seat(player, game)
        assert (await world.do(player, "GET", f"/{game}/turns/0/report"))["text"] == f"turn 0, seat {seat}"
    for other in (cleo, world.account("Dora")):
        assert (await world.ask("GET", f"{GAMES}/{game}/turns/0/report", other))[0] == 404
    assert (await world.ask("GET", f"{GAMES}/{game}/turns/1/report", ada))[0] == 404
    assert (await world.show(ada, game))["unread"] == 0
    await world.position(game)
    await world.position(game)
    assert [item["unread"] for item in (await world.do(ada, "GET", ""))["items"]] == [2]
    await world.do(ada, "GET", f"/{game}/turns/0/report")
    assert (await world.show(ada, game))["unread"] == 2
    await world.do(ada, "GET", f"/{game}/turns/2/report")
    assert (await world.show(ada, game))["unread"] == 0


async def test_reports_stay_when_the_game_is_over(world: Any) -> None:
    """Players of a finished game read on, from the database."""
    ada, _, cleo, game = await table(world)
    await world.position(game, finished=True)
    seat = await world.seat(ada, game)
    assert (await world.do(ada, "GET", f"/{game}/turns/1/report"))["text"] == f"turn 1, seat {seat}"
    assert (await world.do(cleo, "GET", f"/{game}/turns/1/public"))["text"] == "turn 1"
    assert (await world.ask("GET", f"{GAMES}/{game}/turns/1/report", cleo))[0] == 404


async def test_reports_never_change(world: Any) -> None:
    """They may be kept for ever, and who has one is not sent it again."""
    ada, _, _, game = await table(world)
    for path in (f"/{game}/turns/0/report", f"/{game}/turns/0/public"):
        status, found, body = await headers(world, ada, path)
        assert (status, found["Cache-Control"]) == (200, "private, max-age=31536000, immutable")
        assert body
        status, _, body = await headers(world, ada, path, If_None_Match=f'"x", {found["ETag"]}')
        assert (status, body) == (304, b"")


async def test_spectators_see_public_games_alone(world: Any) -> None:
    """Turns and public reports of a public game are open to every player, those of a private one to its own."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    public, private = await world.running(ada, ada), await world.running(bob, bob, visibility="private")
    assert (await world.do(cleo, "GET", f"/{public}/turns"))["total"] == 1
    assert (await world.do(cleo, "GET", f"/{public}/turns/0/public"))["text"] == "turn 0"
    for path in ("turns", "turns/0/public"):
        assert (await world.ask("GET", f"{GAMES}/{private}/{path}", cleo))[0] == 404
        assert (await world.ask("GET", f"{GAMES}/{private}/{path}", bob))[0] == 200
    enrolling = await world.opened(ada)
    assert (await world.do(cleo, "GET", f"/{enrolling}/turns"))["items"] == []
    assert (await world.ask("GET", f"{GAMES}/{enrolling}/turns/0/public", cleo))[0] == 404


async def test_turns_are_listed_newest_first(world: Any) -> None:
    """A page of positions, each with what made it."""
    ada, bob, _, game = await table(world)
    await world.send(ada, game)
    await world.position(game, phase="retreats")
    page = await world.do(ada, "GET", f"/{game}/turns?page_size=1")
    assert (page["total"], len(page["items"])) == (2, 1)
    [turn] = page["items"]
    assert (turn["turn"], turn["trigger"], turn["phase"]) == (1, "scheduled", "retreats")
    assert turn["absent"] == [await world.seat(bob, game)]
    assert [each["turn"] for each in (await world.do(ada, "GET", f"/{game}/turns?page=2&page_size=1"))["items"]] == [0]


@pytest.mark.parametrize(
    "body",
    [
        {"orders": []},
        {"turn": 0},
        {"turn": -1, "orders": []},
        {"turn": 2**31, "orders": []},
        {"turn": "0", "orders": []},
        {"turn": 0, "orders": {}},
        {"turn": 0, "orders": [], "final": "yes"},
        {"turn": 0, "orders": [], "seat": 2},
        {"turn": 0, "orders": [None] * 10_001},
    ],
)
async def test_orders_of_the_wrong_shape(world: Any, body: Any) -> None:
    """422 before anybody is asked."""
    ada, _, _, game = await table(world)
    status, problem = await world.ask("PUT", f"{GAMES}/{game}/orders", ada, json=body)
    assert (status, bool(problem["errors"])) == (422, True)
    assert world.runtime.records[UUID(game)].orders == {}


async def test_numbers_arrive_as_they_were_sent(world: Any) -> None:
    """Large whole numbers are kept; one beyond a double's range is refused, not turned into something else."""
    ada, _, _, game = await table(world)
    assert (await world.send(ada, game, orders=[2**70, "ß"]))[0] == 200
    assert (await world.do(ada, "GET", f"/{game}/orders"))["orders"] == [2**70, "ß"]
    sent = {"Content-Type": "application/json"}
    body = '{"turn": 0, "orders": [1e400]}'
    status, problem = await world.ask("PUT", f"{GAMES}/{game}/orders", ada, data=body, headers=sent)
    assert (status, problem["errors"][0]["field"]) == (422, "orders")


async def test_orders_beyond_the_limit(world: Any) -> None:
    """More bytes than an engine takes are refused before they are read."""
    ada, _, _, game = await table(world)
    body = {"turn": 0, "orders": ["x" * 300_000]}
    assert (await world.ask("PUT", f"{GAMES}/{game}/orders", ada, json=body))[0] == 413
    nested = '{"turn": 0, "orders": [' + "[" * 5_000 + "]" * 5_000 + "]}"
    sent = {"Content-Type": "application/json"}
    status, _ = await world.ask("PUT", f"{GAMES}/{game}/orders", ada, data=nested, headers=sent)
    assert status in (400, 422)
