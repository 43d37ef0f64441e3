"""The proxy before a daemon in memory: what the driver does passes, what a hostile backend tries does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import hostile
import pytest
from fake_daemon import IMAGE, FakeDaemon
from hostile import ENGINE, GAME, OWNER, STACK, framed, send

from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.drivers.driver import EngineId, EngineSpec, Limits
from galaxy_engine.failures import ConfigInvalid, HostUnreachable, ImageNotFound, NameTaken, PullFailed
from galaxy_engine.proxy.policy import MOST, Policy
from galaxy_engine.proxy.server import listen, serving

POLICY = Policy.checked(STACK, ("galaxy/",), ("engines",), MOST)
LABELS = {
    "galaxy.backend": "1", "galaxy.owner": OWNER, "galaxy.stack": STACK,
    "galaxy.game": str(GAME), "galaxy.generation": "1",
}  # fmt: skip


@pytest.fixture
async def daemon() -> AsyncIterator[FakeDaemon]:
    async with FakeDaemon().serving() as daemon:
        yield daemon


@pytest.fixture
async def proxy(daemon: FakeDaemon) -> AsyncIterator[tuple[str, int]]:
    """The address of the proxy before the daemon."""
    listener = listen("127.0.0.1:0")
    address = listener.getsockname()
    async with serving(POLICY, daemon.address, listener):
        yield address


@pytest.fixture
async def driver(proxy: tuple[str, int]) -> AsyncIterator[DockerDriver]:
    """A backend's driver that knows the proxy alone."""
    driver = DockerDriver(OWNER, f"tcp://{proxy[0]}:{proxy[1]}", "engines")
    yield driver
    await driver.close()


def network(daemon: FakeDaemon) -> str:
    """Make the engines' network as a compose file does."""
    icc = {"com.docker.network.bridge.enable_icc": "false"}
    return daemon.add_network("engines", {"galaxy.stack": STACK}, Options=icc, Containers={})


async def test_life_of_an_engine(daemon: FakeDaemon, driver: DockerDriver) -> None:
    """The driver makes its network, launches, reads and removes an engine through the proxy."""
    await driver.check()
    engine = await driver.launch(EngineSpec(ENGINE, "galaxy/game:1", {"GALAXY_TOKEN": "t"}))
    assert engine.state == "running"
    created = next(json.loads(body) for _, path, body in daemon.calls if path.startswith("/containers/create"))
    assert created["Labels"]["galaxy.stack"] == STACK, "the proxy adds the stack's label"
    assert set(created["HostConfig"]["Tmpfs"]) == {"/tmp", "/data"}
    await driver.logs(engine.handle, 100)
    await driver.remove(engine.handle, timedelta(0))
    assert daemon.containers == {}
    assert [seen["Labels"]["galaxy.stack"] for seen in daemon.networks.values()] == [STACK]


async def test_lists_and_events_are_of_the_stack_and_owner(daemon: FakeDaemon, driver: DockerDriver) -> None:
    """What the daemon is asked for is narrowed to one stack and owner."""
    await driver.observe(GAME)
    async for _ in driver.watch():
        pass
    narrowed = {"galaxy.backend=1", f"galaxy.stack={STACK}", f"galaxy.owner={OWNER}"}
    from yarl import URL

    queries = [URL(line.split()[1]).query for line in daemon.asked if "filters" in line]
    filters = [json.loads(query["filters"]) for query in queries]
    assert [set(each["label"]) - {f"galaxy.game={GAME}"} for each in filters] == [narrowed, narrowed]


async def test_reader_of_events_leaves(daemon: FakeDaemon, proxy: tuple[str, int]) -> None:
    """A stream begins before there is an event, and ends at the daemon when its reader leaves."""
    daemon.endless = True
    filters = json.dumps({"label": [f"galaxy.owner={OWNER}"]})
    reader, writer = await asyncio.open_connection(*proxy)
    writer.write(f"GET {hostile.url('/events?filters=' + filters)} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert not daemon.left.is_set()
        writer.close()
        await daemon.left.wait()


def refused_bodies() -> list[Any]:
    return [pytest.param(body, id=name) for name, body in hostile.bodies("NETWORK", IMAGE)]


@pytest.mark.parametrize("body", refused_bodies())
async def test_hostile_bodies(daemon: FakeDaemon, proxy: tuple[str, int], body: bytes) -> None:
    """A create that differs from the driver's in one member is refused, and nothing is created."""
    body = body.replace(b"NETWORK", network(daemon).encode())
    status, _ = await send(proxy, "POST", hostile.CREATE, framed(body))
    assert 400 <= status < 500
    assert daemon.calls == []


async def test_hostile_calls(daemon: FakeDaemon, proxy: tuple[str, int]) -> None:
    """Other calls, other parameters, odd paths and containers and networks of others are refused."""
    others = {**LABELS, "galaxy.stack": "green"}
    foreign = daemon.add_container("postgres", others)
    for method, path in hostile.calls(foreign, daemon.add_network("default", others)):
        status, _ = await send(proxy, method, hostile.url(path))
        assert status == 0 or 400 <= status < 500, (method, path)
        assert daemon.calls == [], (method, path)
    assert foreign in daemon.containers


@pytest.mark.parametrize("rest", [pytest.param(rest, id=name) for name, rest in hostile.RAW])
async def test_smuggling(daemon: FakeDaemon, proxy: tuple[str, int], rest: Any) -> None:
    """A request that can be read in two ways is refused, whatever it carries."""
    good = json.dumps(hostile.body(network(daemon), IMAGE)).encode()
    status, _ = await send(proxy, "POST", hostile.CREATE, rest(good))
    assert status == 0 or 400 <= status < 500
    assert daemon.calls == []
    assert (await send(proxy, "POST", hostile.CREATE, framed(good)))[0] == 201, "and else it passes"


async def test_body_where_there_is_none(daemon: FakeDaemon, proxy: tuple[str, int]) -> None:
    """What old daemons took with a start, a HostConfig, is refused."""
    ours = daemon.add_container(ENGINE.name, LABELS)
    status, _ = await send(proxy, "POST", f"/containers/{ours}/start", framed(b'{"Privileged": true}'))
    assert (status, daemon.calls) == (400, [])
    assert (await send(proxy, "POST", f"/v1.41/containers/{ours}/start"))[0] == 200


@pytest.mark.parametrize("label", ["galaxy.backend", "galaxy.stack", "galaxy.owner"])
async def test_containers_that_lack_a_label(daemon: FakeDaemon, driver: DockerDriver, label: str) -> None:
    """A container without one of the labels is not ours: not removed, not read."""
    await driver.observe()
    other = daemon.add_container("other", {name: value for name, value in LABELS.items() if name != label})
    await driver.remove(other, timedelta(0))
    assert await driver.logs(other, 100) == ""
    assert other in daemon.containers
    assert daemon.calls == []


async def test_name_that_another_has(daemon: FakeDaemon, driver: DockerDriver, proxy: tuple[str, int]) -> None:
    """Of a container of others that has an engine's name the backend learns that it is there, and no more."""
    network(daemon)
    other = daemon.add_container(ENGINE.name, Env=["PASSWORD=secret"])
    status, body = await send(proxy, "GET", f"/containers/{ENGINE.name}/json")
    assert (status, json.loads(body)) == (200, {"Id": other, "Name": f"/{ENGINE.name}", "Config": {"Labels": {}}})
    with pytest.raises(NameTaken):
        DockerDriver._checked(EngineSpec(ENGINE, "galaxy/game:1", {}), json.loads(body))


async def test_images_that_may_not_run(daemon: FakeDaemon, driver: DockerDriver) -> None:
    """An image outside of the repositories is not there, cannot be pulled, and is not run by its id either."""
    network(daemon)
    postgres = {**IMAGE, "Id": "sha256:" + 64 * "b", "RepoTags": ["postgres:15", "galaxyx/game:1"]}
    daemon.images |= {"postgres:15": postgres, postgres["Id"]: postgres}
    for image in ("postgres:15", postgres["Id"]):
        with pytest.raises(ImageNotFound):
            await driver.launch(EngineSpec(EngineId(OWNER, GAME, 2), image, {}))
    with pytest.raises(PullFailed) as caught:
        await driver.prepare("postgres:15", "if_missing")
    assert "may not run here" in caught.value.detail
    assert daemon.containers == {}
    assert (await driver.prepare(IMAGE["Id"], "never")).image == IMAGE["Id"]


async def test_image_of_root(daemon: FakeDaemon, proxy: tuple[str, int]) -> None:
    """An engine whose image is root's runs as nobody, or not at all."""
    daemon.images["galaxy/game:1"] = {**IMAGE, "Config": {**IMAGE["Config"], "User": "0:0"}}
    body = hostile.body(network(daemon), IMAGE)
    assert (await send(proxy, "POST", hostile.CREATE, framed(json.dumps(body).encode())))[0] == 403
    whole = json.dumps({**body, "User": "65534:65534"}).encode()
    assert (await send(proxy, "POST", hostile.CREATE, framed(whole)))[0] == 201


async def test_limits_above_the_most(daemon: FakeDaemon, driver: DockerDriver) -> None:
    """More than the operator allows is `config_invalid`, with the limit in the detail."""
    network(daemon)
    with pytest.raises(ConfigInvalid) as caught:
        await driver.launch(EngineSpec(ENGINE, "galaxy/game:1", {}, Limits(memory=2 * MOST.memory)))
    assert "memory is 2.14748e+09" in caught.value.detail


async def test_subnet_of_the_callers_choice(daemon: FakeDaemon, proxy: tuple[str, int]) -> None:
    """A network whose subnet the daemon did not choose would take the host's traffic, and is refused."""
    from galaxy_engine.drivers.docker.networks import network_config

    made = network_config("engines", "8.8.8.0/24", LABELS, shared=False, published=False)
    status, body = await send(proxy, "POST", "/networks/create", framed(json.dumps(made).encode()))
    assert (status, daemon.networks) == (403, {})
    assert b"subnet" in body


async def test_daemon_that_is_away(daemon: FakeDaemon) -> None:
    """Without a daemon behind it the proxy says so, and the driver takes that for the daemon's absence."""
    listener = listen("127.0.0.1:0")
    host, port = listener.getsockname()
    async with serving(POLICY, "unix:///nonexistent.sock", listener):
        driver = DockerDriver(OWNER, f"tcp://{host}:{port}", "engines")
        with pytest.raises(HostUnreachable):
            await driver.observe()
        await driver.close()
