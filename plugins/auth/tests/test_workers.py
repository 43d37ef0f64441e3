"""Pruning."""

from datetime import timedelta
from typing import Any


async def prune(world: Any) -> None:
    """Run a pass of the pruning worker."""
    workers = dict(world.booted.kernel.assembly.plugins.call("backend_workers"))["auth"]
    run = next(worker.run for worker in workers if worker.name == "auth.prune")
    while await run():
        pass


async def test_challenges_go_after_a_day(world: Any) -> None:
    """A challenge is deleted once a day has passed since it was made, and not before: the throttles count it."""
    await world.challenge()
    world.clock.advance(timedelta(hours=12))
    await world.challenge()
    world.clock.advance(timedelta(hours=12))
    await prune(world)
    assert await world.count("auth_challenges") == 2
    world.clock.advance(timedelta(seconds=1))
    await prune(world)
    assert await world.count("auth_challenges") == 1


async def test_sessions_go_when_they_have_run_out(make_world: Any) -> None:
    """Sessions past their end, or unused for too long, are deleted here and in every memory; others stay."""
    world = await make_world(session_ttl="20d", session_idle_ttl="5d")
    other = await make_world(beside=world)
    unused, used = await world.sign_in("bob@example.test"), await world.sign_in()
    for _ in range(3):
        world.clock.advance(timedelta(days=4))
        await world.works(used["session_token"])
        await world.sessions.touch()
    await prune(world)
    assert await world.count("device_sessions") == 1
    assert not await world.works(unused["session_token"])
    assert await world.works(used["session_token"])
    world.clock.advance(timedelta(days=9))
    await prune(world)
    assert await world.count("device_sessions") == 0
    caches = dict(other.booted.kernel.assembly.plugins.call("backend_caches"))["auth"]
    await world.until(lambda: len(caches[0]) == 0, seconds=1)


async def test_pruning_waits_for_uses_not_written_yet(world: Any) -> None:
    """A session that is used in its last moment survives a pruning that does not know of it yet."""
    token = (await world.sign_in())["session_token"]
    world.clock.advance(timedelta(days=30) - timedelta(seconds=1))
    assert await world.works(token)
    world.clock.advance(timedelta(seconds=30))
    await prune(world)
    assert await world.works(token)


async def test_what_no_throttle_counts_goes(world: Any) -> None:
    """A wrong code is kept for an hour, and the mark of a network for sixty days after its last sign-in."""
    challenge, code = await world.challenge()
    assert (await world.confirm(challenge, f"{(int(code.replace(' ', '')) + 1) % 10**8:08d}"))[0] == 401
    assert (await world.confirm(challenge, code))[0] == 201
    for table, kept in (
        ("auth_wrong_codes", timedelta(hours=1)),
        ("auth_known_networks", timedelta(days=60, hours=-1)),
    ):
        world.clock.advance(kept)
        await prune(world)
        assert await world.count(table) == 1
        world.clock.advance(timedelta(seconds=1))
        await prune(world)
        assert await world.count(table) == 0
        world.clock.advance(timedelta(seconds=-1))


async def test_workers(world: Any) -> None:
    """Every replica writes its own uses; one of them prunes."""
    workers = dict(world.booted.kernel.assembly.plugins.call("backend_workers"))["auth"]
    assert {worker.name: worker.singleton for worker in workers} == {"auth.touch": False, "auth.prune": True}
