"""Invitations that have run out are closed by themselves."""

from datetime import timedelta
from typing import Any


async def test_the_worker_closes_what_has_run_out(make_world: Any) -> None:
    """A pending invitation past its time is marked as expired, others are not."""
    world = await make_world(invitation_ttl="1h")
    ada = world.account("Ada")
    game = await world.opened(ada)
    await world.do(ada, "POST", f"/{game}/invitations", 201, json={"email": "a@example.test"})
    world.clock.advance(timedelta(minutes=59))
    await world.do(ada, "POST", f"/{game}/invitations", 201, json={"email": "b@example.test"})
    world.clock.advance(timedelta(minutes=1))
    [worker] = world.contributed("backend_workers")
    assert worker.name == "lobby.expire"
    assert await worker.run() is False
    assert await world.rows("SELECT state FROM invitations ORDER BY created_at") == [("expired",), ("pending",)]
