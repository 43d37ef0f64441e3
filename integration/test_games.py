"""Games in engines that are containers."""

import asyncio

from full_stack.people import game_of, play
from full_stack.stack import Shape, Stack

from conftest import Stacks


async def test_a_whole_game(stack: Stack) -> None:
    """Two people play against a machine to the result, in one engine, which is gone afterwards."""
    people = [await stack.sign_in("ada@example.test"), await stack.sign_in("bob@example.test")]
    game = await game_of(people, machines=1)
    assert game.state == "running"
    (engine,) = stack.engine_containers(game=str(game.id))
    assert (engine.labels["galaxy.backend"], engine.attrs["HostConfig"]["ReadonlyRootfs"]) == ("1", True)
    await play(people, game, until=4)
    await people[1].resign(game.id)
    ended = await play(people[:1], game, until=1000)
    assert (ended.state, ended.result is not None) == ("finished", True)
    assert f"Turn {ended.turn}" in str((await people[0].report(game.id)).text)
    async with asyncio.timeout(30):
        while stack.engine_containers():
            await asyncio.sleep(0.2)


async def test_kills_in_mid_game(stack: Stack) -> None:
    """Backend and Postgres are killed in the middle of a game: it goes on in one engine, and no turn is missing."""
    ada = await stack.sign_in("ada@example.test")
    game = await game_of([ada], machines=2)
    await play([ada], game, until=2)
    await asyncio.gather(stack.postgres.kill(), stack.backends[0].kill())
    await asyncio.gather(stack.postgres.start(), stack.backends[0].start())
    await stack.backends[0].ready()
    shown = await play([ada], game, until=4)
    assert shown.ended or shown.turn == 4
    turns = [each.turn for each in (await ada.turns(game.id)).items]
    assert sorted(turns) == list(range((shown.turn or 0) + 1))
    assert shown.ended or len(stack.engine_containers(game=str(game.id))) == 1


async def test_two_backends_and_two_gateways(stacks: Stacks) -> None:
    """People at two gateways play each other over two backends; one backend dies, and the game goes on."""
    stack = await stacks(Shape(backends=2, gateways=2))
    people = [await stack.sign_in("ada@example.test"), await stack.sign_in("bob@example.test", gateway=1)]
    game = await game_of(people)
    await play(people, game, until=2)
    await stack.backends[0].kill()
    shown = await play(people, game, until=4)
    assert shown.ended or shown.turn == 4
