"""What people do in a game of the reference engine, by the client alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from galaxy_client import Galaxy
from galaxy_client.models import Game


async def game_of(people: Sequence[Galaxy], *, machines: int = 0, engine: str = "galaxy", **spec: Any) -> Game:
    """Have the first person create a game that all join and start it; return it once that has succeeded or failed."""
    owner, seats = people[0], len(people) + machines
    spec = {"schedule": {"interval": "1d"}, "run_when_final": True, "options": {"planets": min(4 * seats, 10)}, **spec}
    game = await owner.create("Andromeda", await _version(owner, engine), max_players=seats, **spec)
    await owner.open_enrolment(game.id)
    for person in people:
        await person.join(game.id)
    if machines:
        await owner.machines(game.id, machines)
    await owner.start(game.id)
    return await owner.until(game.id, lambda shown: shown.state in ("running", "start_failed"), every=0.1)


async def move(person: Galaxy, game: Game) -> None:
    """Send every ship from each planet to its first target, and say that this is final."""
    options = await person.options(game.id)
    orders = [
        {"order": "send", "from": base["planet"], "to": base["targets"][0]["planet"], "ships": base["ships"]}
        for base in options.data["planets"]
        if base["ships"]
    ]
    await person.send(game.id, orders, final=True, turn=options.turn)


async def play(people: Sequence[Galaxy], game: Game, *, until: int) -> Game:
    """Play until this turn, or to the end if that comes first; return the game."""
    shown = await people[0].game(game.id)
    while not shown.ended and (shown.turn or 0) < until:
        turn = shown.turn or 0
        for person in people:
            if (await person.game(game.id)).my_turn:
                await move(person, shown)
        shown = await people[0].until(game.id, lambda now, turn=turn: now.ended or (now.turn or 0) > turn, every=0.05)  # type: ignore[misc]
    return shown


async def _version(person: Galaxy, engine: str) -> str:
    """Wait until the backend has looked at an engine; return the name of its newest version."""
    while True:
        known = [each for each in await person.engine_versions() if each.engine == engine and each.players is not None]
        if known:
            return str(max(known, key=lambda each: each.version).name)
        await asyncio.sleep(0.2)
