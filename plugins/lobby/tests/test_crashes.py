"""A process that dies between any two lines of a transition leaves nothing of it, and one that dies after it all."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from galaxy_kernel.api import Problem
from galaxy_lobby.games.domain import GamePatch
from galaxy_lobby.invitations.routes import Invitee
from galaxy_lobby.memberships.routes import Machines
from galaxy_lobby.transitions.routes import Extension

TABLES = ("games", "memberships", "invitations", "feed_changes", "facts")


class KilledError(Exception):
    """The process is gone."""


@contextmanager
def killed(world: Any, at: int) -> Iterator[list[str]]:
    """Die before the statement of that number, of those that this task sends; yield the statements."""
    task, sent = asyncio.current_task(), list[str]()

    def die(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if asyncio.current_task() is task:
            sent.append(statement)
            if len(sent) == at:
                raise KilledError

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", die)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", die)


async def everything(world: Any) -> Any:
    """Return all that a transition may change."""
    rows = {table: sorted(await world.rows(f"SELECT t::text FROM {table} t")) for table in TABLES}
    told = [(intent.kind, intent.idempotency_key) for intent in world.fakes.notifications.intents]
    return rows, world.memory(), repr(world.runtime.records), told


async def scene(world: Any, name: str) -> tuple[Any, dict[str, Any]]:  # noqa: PLR0911 # one a kind of scene
    """Return who does it, with what, in a game in which it can be done."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    if name == "lobby.edit":
        return ada, {"game_id": UUID(await world.create(ada)), "body": GamePatch(name="Betelgeuse")}
    if name == "lobby.open_enrolment":
        return ada, {"game_id": UUID(await world.create(ada))}
    if name in (
        "lobby.join",
        "lobby.leave",
        "lobby.invite",
        "lobby.start",
        "lobby.add_machines",
        "lobby.remove_machines",
    ):
        game = await world.opened(ada, ada, bob, max_players=4)
        await world.do(ada, "POST", f"/{game}/machines")
        who = {"lobby.join": cleo, "lobby.leave": bob}.get(name, ada)
        body = {"lobby.invite": Invitee(account_id=cleo.id), "lobby.add_machines": Machines(count=1)}.get(name)
        return who, {"game_id": UUID(game)} | ({"body": body} if body else {})
    if name == "lobby.accept":
        game = await world.opened(ada, visibility="private")
        made = await world.do(ada, "POST", f"/{game}/invitations", 201, json={"account_id": str(bob.id)})
        return bob, {"invitation_id": UUID(made["id"])}
    game = await world.running(ada, ada, bob)
    if name == "lobby.resume":
        await world.do(ada, "POST", f"/{game}/pause")
    if name == "lobby.remove_member":
        await world.position(game)
        return ada, {"game_id": UUID(game), "account_id": bob.id}
    if name == "lobby.report":
        return ada, {"game_id": UUID(game), "turn": 0}
    body = {"body": Extension(by="1h")} if name == "lobby.extend" else {}
    return (bob if name == "lobby.resign" else ada), {"game_id": UUID(game), **body}


TRANSITIONS = {
    "lobby.edit": None,
    "lobby.open_enrolment": "game_not_draft",
    "lobby.join": None,
    "lobby.leave": "not_a_member",
    "lobby.invite": None,
    "lobby.accept": None,
    "lobby.add_machines": None,
    "lobby.remove_machines": None,
    "lobby.start": "game_not_startable",
    "lobby.pause": "game_not_running",
    "lobby.resume": "game_not_paused",
    "lobby.extend": None,
    "lobby.force_next_turn": "operation_in_progress",
    "lobby.resign": "not_a_member",
    "lobby.remove_member": "not_found",
    "lobby.cancel": "game_ended",
    "lobby.report": None,
}
"""What may be killed, and the code that a repetition hears afterwards; None: it is done again, or is not news."""


@pytest.mark.parametrize("name", [*TRANSITIONS])
async def test_killed_before_any_statement(world: Any, name: str) -> None:
    """Nothing in rows, memory, runtime or notifications is left, until it is not killed any more: then all is."""
    who, arguments = await scene(world, name)
    before, at = await everything(world), 1
    while True:
        with killed(world, at) as sent:
            with suppress(KilledError):
                await world.call(who, name, **arguments)
            if len(sent) < at:
                break
        after = await everything(world)
        if after != before:  # the transition is committed: what follows is the reading of the answer
            break
        at += 1
        assert at < 100
    assert at > 2, "the kill never met the transition"
    done = await everything(world)
    assert done != before
    code = TRANSITIONS[name]
    if code is not None:
        with pytest.raises(Problem) as refused:
            await world.call(who, name, **arguments)
        assert refused.value.code == code
        assert await everything(world) == done


async def test_killed_in_a_turns_commit(world: Any) -> None:
    """A position that dies with its transaction leaves game, absences and players as they were."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    seat = await world.seat(bob, game)
    before, at = await everything(world), 1
    while True:
        with killed(world, at):
            try:
                await world.position(game, eliminated=[seat], absent=[seat])
            except KilledError:
                assert await everything(world) == before
            else:
                break
        at += 1
    assert at > 5
    shown = await world.show(bob, game)
    assert (shown["turn"], [each["missed"] for each in shown["seats"] if each["you"]]) == (1, [1])
    assert [kind for kind, _ in world.told()].count("eliminated") == 1


async def test_memory_follows_the_commit(world: Any) -> None:
    """After each transition memory is what the tables hold."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.running(ada, ada, bob)
    await world.opened(ada, bob, max_players=3)
    finished = await world.running(bob, bob)
    await world.position(finished, finished=True)
    await world.position(game)
    caches = {cache.name: cache for cache in world.contributed("backend_caches")}
    async with world.database.transaction() as connection:
        for cache in caches.values():
            rows = await cache.read(connection)
            assert {repr(row) for row in rows.values()} == world.memory()[cache.name]
    assert len(caches["lobby.games"]) == 2
