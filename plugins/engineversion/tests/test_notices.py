"""Operators hear of versions that are retired while games run on them."""

from typing import Any
from uuid import UUID

import pytest

from galaxy_devkit.testing.kernel import Boot
from galaxy_engineversion.plugin import EngineVersionPlugin

VERSIONS = "/api/v1/admin/engine-versions"


async def retire(world: Any, made: Any, state: str = "retired") -> None:
    """Change a version's state as the operator."""
    status, _ = await world.ask("PATCH", f"{VERSIONS}/{made['id']}", json={"state": state})
    assert status == 200


async def test_retired_in_use(world: Any) -> None:
    """Operators are notified each time a version is retired that games use, with how many they are."""
    made = await world.add("1.4.2", engine="chess")
    for _ in range(2):
        await world.use(made["id"])
    await retire(world, made)
    [intent] = world.notifications.intents
    assert intent.kind == "engineversion.retired_in_use"
    assert intent.payload.model_dump() == {
        "version_id": UUID(made["id"]),
        "engine": "chess",
        "version": "1.4.2",
        "image": "galaxy/game:1",
        "games": 2,
    }
    await retire(world, made)
    assert len(world.notifications.intents) == 1, "it was retired already"
    await retire(world, made, "active")
    await retire(world, made)
    assert len({intent.idempotency_key for intent in world.notifications.intents}) == 2


@pytest.mark.parametrize(("state", "used"), [("retired", False), ("deprecated", True)])
async def test_nothing_to_notify_of(world: Any, state: str, used: bool) -> None:
    """A version that no game uses is retired in silence, and one that is deprecated is not a notice."""
    made = await world.add()
    await world.use(made["id"], keep=used)
    await retire(world, made, state)
    assert world.notifications.intents == []


async def test_no_notice_without_the_change(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notification that cannot be stored takes the change with it."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("no room")

    made = await world.add()
    await world.use(made["id"])
    monkeypatch.setattr(world.notifications, "submit", fail)
    status, _ = await world.ask("PATCH", f"{VERSIONS}/{made['id']}", json={"state": "retired"})
    assert status == 500
    assert (await world.show(made["id"]))["state"] == "active"


async def test_without_notifications(boot: Boot) -> None:
    """The plugin works where nobody takes notifications."""
    async with boot(EngineVersionPlugin) as booted:
        assert booted.kernel is not None
