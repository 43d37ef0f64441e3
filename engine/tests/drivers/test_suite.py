"""What holds for every driver."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from hosts import Host, a_spec, ended, variables, written

from galaxy_engine.drivers.driver import EngineDriver, EngineId
from galaxy_engine.drivers.process.ports import free_port
from galaxy_engine.failures import ImageNotFound, NameTaken

AT_ONCE = timedelta(0)


async def test_check_passes(driver: EngineDriver) -> None:
    """A host that works says so."""
    await driver.check()


async def test_prepare_returns_what_can_be_launched(driver: EngineDriver, host: Host) -> None:
    """A prepared image has its name and size."""
    prepared = await driver.prepare(host.image, "never")
    assert prepared.image == host.image
    assert prepared.size is not None
    assert prepared.size > 100


async def test_prepare_of_what_is_not_there(driver: EngineDriver, host: Host) -> None:
    """What is not here is `image_not_found` under `never`."""
    with pytest.raises(ImageNotFound, match="missing"):
        await driver.prepare(host.missing, "never")


@pytest.mark.parametrize("image", ["", "../../containers/json", "a b", "a\0b", "a" * 5000, "http://registry/image"])
async def test_image_that_is_none(driver: EngineDriver, host: Host, image: str) -> None:
    """What cannot be the name of an image is `image_not_found`, and asked of nobody."""
    with pytest.raises(ImageNotFound):
        await driver.prepare(image, "if_missing")
    with pytest.raises(ImageNotFound):
        await driver.launch(msgspec.structs.replace(a_spec(host), image=image))
    assert await driver.observe() == []


async def test_launched_engine_is_observed(driver: EngineDriver, host: Host) -> None:
    """What launch returns is what observe sees: identity, image, address, start."""
    before = datetime.now(UTC)
    engine = await driver.launch(a_spec(host))
    assert engine.state == "running"
    assert engine.image == host.image
    assert engine.address is not None
    assert engine.started_at is not None
    assert engine.started_at > before - timedelta(seconds=1)
    assert await driver.observe() == [engine]
    assert await driver.observe(engine.id.game_id) == [engine]
    assert await driver.observe(uuid4()) == []


async def test_launch_twice_gives_one_engine(driver: EngineDriver, host: Host) -> None:
    """The same id again returns the engine that is there."""
    spec = a_spec(host)
    assert await driver.launch(spec) == await driver.launch(spec)
    assert len(await driver.observe()) == 1


async def test_generations_stand_side_by_side(driver: EngineDriver, host: Host) -> None:
    """A new generation is another engine of the same game."""
    spec = a_spec(host)
    first = await driver.launch(spec)
    second = await driver.launch(msgspec.structs.replace(spec, id=EngineId(host.owner, spec.id.game_id, 2)))
    assert first.address != second.address
    assert {seen.handle for seen in await driver.observe(spec.id.game_id)} == {first.handle, second.handle}


async def test_drivers_of_one_owner_make_one_engine_at_once(driver: EngineDriver, host: Host) -> None:
    """Five launches of one id, by two backends at once, give one engine."""
    spec, other = a_spec(host), host.driver()
    engines = await asyncio.gather(*(side.launch(spec) for side in (driver, other, driver, other, driver)))
    assert len({engine.handle for engine in engines}) == 1
    assert len(await other.observe()) == 1
    await other.close()


async def test_launch_after_the_end_starts_nothing(driver: EngineDriver, host: Host) -> None:
    """A generation is started once: launched again it is returned as it ended."""
    spec = a_spec(host, DO="exit")
    engine = await ended(driver, await driver.launch(spec))
    again = await driver.launch(spec)
    assert again == engine
    assert again.exit_code == 3
    assert again.address is None


async def test_launch_of_what_is_not_there(driver: EngineDriver, host: Host) -> None:
    """An image that is gone fails by name and leaves nothing, so that the id can be launched once it is back."""
    spec = a_spec(host)
    with pytest.raises(ImageNotFound, match="missing"):
        await driver.launch(msgspec.structs.replace(spec, image=host.missing))
    assert await driver.observe() == []
    assert (await driver.launch(spec)).state == "running"


async def test_killed_engine_stays_observable(driver: EngineDriver, host: Host) -> None:
    """An engine killed from outside is `ended` with its exit code, until it is removed."""
    engine = await driver.launch(a_spec(host))
    await host.kill(engine)
    seen = await ended(driver, engine)
    assert seen.exit_code == 137
    assert seen.address is None
    assert not seen.oom_killed
    other = host.driver()
    assert await other.observe() == [seen], "another backend sees it too"
    await other.close()
    await driver.remove(engine.handle, AT_ONCE)
    assert await driver.observe() == []


async def test_exits_at_once(driver: EngineDriver, host: Host) -> None:
    """An engine that ends by itself keeps its status and what it wrote."""
    engine = await ended(driver, await driver.launch(a_spec(host, DO="exit")))
    assert engine.exit_code == 3
    assert await written(driver, engine, "leaving") == "leaving\n"


async def test_remove_twice(driver: EngineDriver, host: Host) -> None:
    """What is removed is gone, and removing it again is fine."""
    engine = await driver.launch(a_spec(host))
    await driver.remove(engine.handle, AT_ONCE)
    assert await driver.observe() == []
    assert await driver.logs(engine.handle, 100) == ""
    await driver.remove(engine.handle, AT_ONCE)


async def test_remove_what_never_was(driver: EngineDriver, host: Host) -> None:
    """An unknown handle is fine, and nothing else is touched."""
    engine = await driver.launch(a_spec(host))
    await driver.remove("12345:67890", AT_ONCE)
    await driver.remove("no such engine", AT_ONCE)
    assert await driver.observe() == [engine]


async def test_removed_by_two_at_once(driver: EngineDriver, host: Host) -> None:
    """Two removals at once are both fine."""
    engine = await driver.launch(a_spec(host))
    other = host.driver()
    await asyncio.gather(driver.remove(engine.handle, AT_ONCE), other.remove(engine.handle, AT_ONCE))
    assert await driver.observe() == []
    await other.close()


async def test_deaf_engine_is_killed(driver: EngineDriver, host: Host) -> None:
    """What ignores SIGTERM is killed after the grace."""
    engine = await driver.launch(a_spec(host, DO="stubborn"))
    await written(driver, engine, "deaf")
    await driver.remove(engine.handle, timedelta(seconds=1))
    assert await driver.observe() == []


async def test_polite_engine_is_not_waited_for(driver: EngineDriver, host: Host) -> None:
    """What ends on SIGTERM is removed long before the grace is over."""
    engine = await driver.launch(a_spec(host))
    async with asyncio.timeout(30):
        await driver.remove(engine.handle, timedelta(hours=1))


async def test_name_taken(driver: EngineDriver, host: Host) -> None:
    """What is not ours and holds the name is `name_taken`, and is neither observed nor touched."""
    spec = a_spec(host)
    await host.occupy(spec.id)
    for _ in range(2):
        with pytest.raises(NameTaken, match=spec.id.name):
            await driver.launch(spec)
    assert await driver.observe() == []


async def test_owners_do_not_see_each_other(driver: EngineDriver, host: Host) -> None:
    """Another installation's engine is not observed, removed or read, even where the names begin alike."""
    neighbour = host.owner[:8] + str(uuid4())[8:]
    theirs = host.driver(neighbour)
    spec = a_spec(host, owner=neighbour)
    engine = await theirs.launch(spec)
    await written(theirs, engine, "up")
    assert await driver.observe() == []
    await driver.remove(engine.handle, AT_ONCE)
    assert await driver.logs(engine.handle, 100) == ""
    assert await theirs.observe() == [engine]
    with pytest.raises(NameTaken):
        await driver.launch(msgspec.structs.replace(spec, id=EngineId(host.owner, spec.id.game_id, 1)))
    await theirs.remove(engine.handle, AT_ONCE)
    await theirs.close()


async def test_engine_of_another_owner_is_not_launched(driver: EngineDriver, host: Host) -> None:
    """A driver launches its owner's engines alone."""
    with pytest.raises(ValueError, match="owner"):
        await driver.launch(a_spec(host, owner=str(uuid4())))


async def test_hint_within_a_second_of_the_end(driver: EngineDriver, host: Host) -> None:
    """Every watcher learns of an engine's end, also in another backend."""
    other = host.driver()
    for watcher in (driver, other):
        engine = await driver.launch(a_spec(host))
        hints = watcher.watch()
        await _settled(hints, driver, host)
        await host.kill(engine)
        async with asyncio.timeout(10):  # generous: the machine is shared
            while await anext(hints) != engine.id.game_id:
                pass
        await hints.aclose()  # type: ignore[attr-defined]
    await other.close()


async def _settled(hints: object, driver: EngineDriver, host: Host) -> None:
    """Return when the watcher is known to listen: it has reported an engine that was launched after it began."""
    listening = asyncio.ensure_future(anext(hints))  # type: ignore[call-overload]
    while not listening.done():
        probe = await driver.launch(a_spec(host))
        await asyncio.wait([listening], timeout=2)
        await driver.remove(probe.handle, AT_ONCE)


async def test_logs_are_text(driver: EngineDriver, host: Host) -> None:
    """What an engine writes comes without control characters, and no more of its end than wanted."""
    engine = await driver.launch(a_spec(host, DO="speak"))
    assert await written(driver, engine, "thrée\n") == "one\ntwo [31mred[0m\nthrée\n"
    assert await driver.logs(engine.handle, 4) == "ée\n"
    assert await driver.logs(engine.handle, 3) == "e\n", "half a character is left out"
    assert await driver.logs(engine.handle, 0) == ""


async def test_environment_of_an_engine(driver: EngineDriver, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine gets what it was given and its port, and none of the backend's settings and secrets."""
    for secret in ("BACKEND_SECRET_KEY", "GATEWAY_TOKEN", "PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.setenv(secret, "secret")
    engine = await driver.launch(a_spec(host, DO="variables", GALAXY_TOKEN="token", PORT="1"))
    seen = variables(await written(driver, engine, "GALAXY_TOKEN=token"))
    assert engine.address is not None
    assert "secret" not in seen.values()
    assert seen["PORT"] != "1"


async def test_port_that_is_asked_for(driver: EngineDriver, host: Host) -> None:
    """An engine that is to listen on a certain port is told so, and its address is there, however it is observed."""
    port = free_port(())
    engine = await driver.launch(msgspec.structs.replace(a_spec(host, DO="variables"), port=port))
    assert engine.address is not None
    assert engine.address.endswith(f":{port}")
    assert [seen.address for seen in await driver.observe(engine.id.game_id)] == [engine.address]
    assert variables(await written(driver, engine, "PORT="))["PORT"] == str(port)


async def test_cancelled_launch_can_be_adopted(driver: EngineDriver, host: Host) -> None:
    """Wherever a launch is cancelled, the next one gives one running engine."""
    for loops in range(0, 30, 3):
        spec = a_spec(host)
        launch = asyncio.ensure_future(driver.launch(spec))
        for _ in range(loops):
            await asyncio.sleep(0.001)
        launch.cancel()
        await asyncio.wait([launch])
        engine = await driver.launch(spec)
        assert engine.state == "running"
        assert await driver.observe(spec.id.game_id) == [engine]
