"""Who may do what: owner, member, invited, stranger and nobody, on every route of the plugin."""

from typing import Any
from uuid import uuid4

import pytest

ROLES = ("owner", "member", "invited", "stranger")

# Of a private game that enrols: its owner has no seat. Statuses by role.
ENROLLING = {
    "lobby.show": (200, 200, 200, 404),
    "lobby.edit": (409, 403, 403, 404),
    "lobby.open_enrolment": (409, 403, 403, 404),
    "lobby.start": (202, 403, 403, 404),
    "lobby.cancel": (200, 403, 403, 404),
    "lobby.join": (200, 200, 200, 404),
    "lobby.leave": (409, 200, 409, 404),
    "lobby.remove_member": (204, 403, 403, 404),
    "lobby.add_machines": (200, 403, 403, 404),
    "lobby.remove_machines": (200, 403, 403, 404),
    "lobby.invite": (201, 403, 403, 404),
    "lobby.accept": (404, 404, 200, 404),
    "lobby.decline": (404, 404, 204, 404),
    "lobby.turns": (200, 200, 200, 404),
    "lobby.create": (201, 201, 201, 201),
    "lobby.list": (200, 200, 200, 200),
    "lobby.invitations": (200, 200, 200, 200),
}
# Of a private game that runs: who was invited to it has come too late.
RUNNING = {
    "lobby.pause": (200, 403, 404, 404),
    "lobby.resume": (409, 403, 404, 404),
    "lobby.extend": (200, 403, 404, 404),
    "lobby.force_next_turn": (202, 403, 404, 404),
    "lobby.resign": (409, 200, 404, 404),
    "lobby.put_orders": (404, 200, 404, 404),
    "lobby.orders": (404, 200, 404, 404),
    "lobby.options": (404, 200, 404, 404),
    "lobby.validate": (404, 200, 404, 404),
    "lobby.report": (404, 200, 404, 404),
    "lobby.public_report": (200, 200, 404, 404),
}
EVERYBODY = {"lobby.watch", "lobby.watch_report"}
"""Shown without signing in, and of public games alone: `spectators/test_routes.py` is about them."""
OPERATORS = {"lobby.admin_pause": 200, "lobby.admin_resume": 409, "lobby.admin_cancel": 200}


def request(world: Any, route: Any, game: str, member: str, invitation: str) -> tuple[str, dict[str, Any]]:
    """Return the path of a route in a game, and the body it needs."""
    path = route.path.format(game_id=game, account_id=member, invitation_id=invitation, turn=0)
    bodies = {
        "lobby.create": world.spec(),
        "lobby.edit": {"name": "Betelgeuse"},
        "lobby.extend": {"by": "1h"},
        "lobby.invite": {"email": "x@example.test"},
        "lobby.put_orders": {"turn": 0, "orders": []},
        "lobby.validate": {"turn": 0, "orders": []},
    }
    body = bodies.get(route.name)
    return path, {} if body is None else {"json": body}


async def cast(world: Any, *, running: bool) -> tuple[dict[str, Any], str, str]:
    """Return accounts by role, a private game of them, and the invitation of one."""
    people = {role: world.account(role.title()) for role in ROLES}
    game = await world.opened(people["owner"], visibility="private", max_players=4)
    invitations = {}
    for role in ("member", "invited"):
        body = {"account_id": str(people[role].id)}
        made = await world.do(people["owner"], "POST", f"/{game}/invitations", 201, json=body)
        invitations[role] = made["id"]
    await world.do(people["member"], "POST", f"/{game}/join")
    if running:
        await world.do(people["owner"], "POST", f"/{game}/start", 202)
        await world.position(game)
    return people, game, invitations["invited"]


def test_the_matrix_is_whole(world_routes: dict[str, Any]) -> None:
    """Every route of the plugin has its line."""
    assert set(world_routes) == {*ENROLLING, *RUNNING, *OPERATORS, *EVERYBODY}


@pytest.fixture
def world_routes(world: Any) -> dict[str, Any]:
    """Return the plugin's routes by name."""
    return {route.name: route for route in world.contributed("backend_routes")}


@pytest.mark.parametrize("role", ROLES)
async def test_what_each_role_may_do(world: Any, world_routes: dict[str, Any], role: str) -> None:
    """The answer to each route is the matrix's, in a game that nobody has touched."""
    found, expected = {}, {}
    for matrix, running in ((ENROLLING, False), (RUNNING, True)):
        for name, statuses in matrix.items():
            people, game, invitation = await cast(world, running=running)
            path, body = request(world, world_routes[name], game, str(people["member"].id), invitation)
            status, _ = await world.ask(world_routes[name].method, path, people[role], **body)
            found[name], expected[name] = status, statuses[ROLES.index(role)]
    assert found == expected


async def test_nobody_gets_in(world: Any, world_routes: dict[str, Any]) -> None:
    """Without a session every route answers 401, before it looks at anything; what everybody may see is not there."""
    people, game, invitation = await cast(world, running=False)
    for name, route in world_routes.items():
        path, body = request(world, route, game, str(people["member"].id), invitation)
        async with world.booted.client.request(route.method, path, **body) as response:
            assert response.status == (404 if name in EVERYBODY else 401), name


async def test_operators(world: Any, world_routes: dict[str, Any]) -> None:
    """They act on every game, and players do not act for them."""
    for name, expected in OPERATORS.items():
        people, game, _ = await cast(world, running=True)
        path = world_routes[name].path.format(game_id=game)
        assert (await world.ask("POST", path, people["owner"]))[0] == 401
        assert (await world.ask("POST", path))[0] == expected, name


async def test_what_is_not_there_is_404_everywhere(world: Any, world_routes: dict[str, Any]) -> None:
    """A game that nobody has looks like a game of somebody else, to its owner's eyes too."""
    people, _, _ = await cast(world, running=False)
    for name, route in world_routes.items():
        if "{game_id}" in route.path and name not in OPERATORS:
            path, body = request(world, route, str(uuid4()), str(people["member"].id), str(uuid4()))
            status, problem = await world.ask(route.method, path, people["owner"], **body)
            assert (status, problem["code"]) == (404, "not_found"), name


async def test_public_games_show_what_everybody_may_know(world: Any) -> None:
    """A stranger sees a public game and joins it, and owns nothing of it."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, max_players=3)
    assert (await world.show(bob, game))["owned"] is False
    for word in ("start", "cancel", "pause", "resume", "force-next-turn", "open-enrolment", "machines"):
        assert (await world.ask("POST", f"/api/v1/user/games/{game}/{word}", bob))[0] == 403, word
    await world.do(bob, "POST", f"/{game}/join")
