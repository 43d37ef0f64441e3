"""The network of the engines: made closed, made again, shared, and refused where it is open."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hosts import DockerHost, a_spec, written

from galaxy_engine.drivers.docker import DockerDriver, networks
from galaxy_engine.drivers.docker.networks import bridge_name
from galaxy_engine.failures import ConfigInvalid, StartFailed

pytestmark = pytest.mark.docker
ICC_OFF = {"com.docker.network.bridge.enable_icc": "false"}


@pytest.fixture
async def apart(host: DockerHost, name: str) -> AsyncIterator[DockerDriver]:
    """A driver with a network of its own."""
    driver = host.driver(network=name)
    yield driver
    await driver.close()


async def make(host: DockerHost, name: str, **config: Any) -> str:
    """Make a network as an operator would."""
    return str((await host.docker.networks.create({"Name": name, "Driver": "bridge", **config})).id)


def own_address() -> str:
    """Return the address by which this machine reaches others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))
        return str(probe.getsockname()[0])


async def body(address: str | None) -> int:
    """Return the status of an engine that serves."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{address}/passwd") as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("reach", ["network", "published"])
async def test_no_way_out(host: DockerHost, name: str, reach: Any) -> None:
    """We reach an engine; it reaches no other engine, no other machine, and this one by no address but the bridge's."""
    driver = host.driver(network=name, reach=reach)
    neighbour = await driver.launch(a_spec(host, DO="serve"))
    assert await body(neighbour.address) == 200
    inside = (await host.inspect(neighbour.handle))["NetworkSettings"]["Networks"][name]["IPAddress"]
    server = await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    targets = [f"{inside}:8080", f"{own_address()}:{port}", "192.0.2.254:80"]
    engine = await driver.launch(a_spec(host, DO="connect", TARGETS=" ".join(targets)))
    assert await written(driver, engine, "tried") == "".join(f"no way to {target}\n" for target in targets) + "tried\n"
    server.close()
    await driver.close()


async def test_names_are_asked_of_nobody(driver: DockerDriver, host: DockerHost) -> None:
    """An engine's questions for names go to no server, by which it could tell the world what it knows."""
    engine = await driver.launch(a_spec(host))
    assert (await host.inspect(engine.handle))["HostConfig"]["Dns"] == ["127.0.0.1"]


async def test_network_that_was_made(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """The network says whose it is, and its bridge has a name for which a firewall can have rules."""
    await apart.check()
    [network] = await host.networks(name)
    assert network["Internal"] is True
    assert network["Labels"] == {"galaxy.backend": "1", "galaxy.owner": host.owner}
    assert network["Options"] == {**ICC_OFF, "com.docker.network.bridge.name": bridge_name(name)}
    assert bridge_name(name) in {interface for _, interface in socket.if_nameindex()}


async def test_network_is_made_again(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """The network is looked at before every launch, not only the first."""
    await apart.check()
    [network] = await host.networks(name)
    await host.docker._query_json(f"networks/{network['Id']}", "DELETE")
    assert (await apart.launch(a_spec(host))).state == "running"


async def test_made_once_by_many(host: DockerHost, name: str) -> None:
    """Backends that start at once make one network, and leave no other behind."""
    drivers = [host.driver(network=name) for _ in range(4)]
    await asyncio.gather(*(driver.check() for driver in drivers))
    assert len(await host.networks(name)) == 1
    assert [seen for seen in await host.networks("galaxy-probe-") if seen["Labels"]["galaxy.owner"] == host.owner] == []
    for driver in drivers:
        await driver.close()


async def test_probe_left_behind(apart: DockerDriver, host: DockerHost) -> None:
    """What a backend that was killed here left is removed."""
    labels = {"galaxy.backend": "1", "galaxy.owner": host.owner}
    left = await make(host, f"galaxy-probe-{host.owner}", Labels=labels)
    await apart.check()
    assert left not in {seen["Id"] for seen in await host.networks("galaxy-probe-")}


async def test_two_of_one_name(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """Of two networks of one name the older counts, and a younger one of ours is removed."""
    labels = {"galaxy.backend": "1", "galaxy.owner": host.owner}
    older = await make(host, name, Internal=True, Options=ICC_OFF, Labels=labels)
    await make(host, name, Internal=True, Options=ICC_OFF, Labels=labels)
    engine = await apart.launch(a_spec(host))
    assert {seen["Id"] for seen in await host.networks(name)} == {older}
    assert engine.handle in (await host.find_network(older))["Containers"]


async def test_two_of_one_name_and_one_not_ours(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """Somebody else's network is not removed; where the daemon cannot tell the two apart, a human must."""
    older = await make(host, name, Internal=True, Options=ICC_OFF)
    foreign = await make(host, name)
    spec = a_spec(host)
    try:
        engine = await apart.launch(spec)
    except ConfigInvalid as failure:
        assert "ambiguous" in failure.detail
        assert await apart.observe() == []
    else:
        assert engine.handle in (await host.find_network(older))["Containers"]
    assert {seen["Id"] for seen in await host.networks(name)} == {older, foreign}


async def test_longer_names_are_others(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """A network whose name begins like ours is another."""
    other = await make(host, f"{name}-two")
    await apart.check()
    assert other not in {seen["Id"] for seen in await host.networks(name) if seen["Name"] == name}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "way out, since it is not internal"),
        ({"Internal": True}, "engines would reach each other"),
    ],
    ids=["open", "neighbours"],
)
async def test_open_network_of_the_name(
    apart: DockerDriver, host: DockerHost, name: str, config: dict[str, Any], problem: str
) -> None:
    """Somebody else's network that does not shut engines in is refused, with what to do about it."""
    made = await make(host, name, **config)
    for call in (apart.check(), apart.launch(a_spec(host))):
        with pytest.raises(ConfigInvalid, match=problem) as caught:
            await call
        assert "galaxy.isolation=off" in str(caught.value)
    assert [seen["Id"] for seen in await host.networks(name)] == [made], "it is not touched"


async def test_closed_network_of_the_name(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """Somebody else's network that is as closed as ours is used."""
    made = await make(host, name, Internal=True, Options=ICC_OFF)
    engine = await apart.launch(a_spec(host))
    assert engine.handle in (await host.find_network(made))["Containers"]


async def test_open_network_by_consent(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """A network that says it may be open is used, and on it engines do reach each other."""
    await make(host, name, Labels={"galaxy.isolation": "off"})
    neighbour = await apart.launch(a_spec(host, DO="serve"))
    assert await body(neighbour.address) == 200
    engine = await apart.launch(a_spec(host, DO="connect", TARGETS=str(neighbour.address)))
    assert await written(apart, engine, "tried") == f"reached {neighbour.address}\ntried\n"


@pytest.mark.parametrize(
    ("predefined", "problem"), [("host", "driver is host"), ("bridge", "way out"), ("none", "driver is null")]
)
async def test_predefined_networks(host: DockerHost, predefined: str, problem: str) -> None:
    """The daemon's own networks are not a place for engines."""
    driver = host.driver(network=predefined)
    found = await host.networks(predefined)
    if not any(seen["Name"] == predefined for seen in found):
        pytest.skip(f"this daemon has no network {predefined}")
    with pytest.raises(ConfigInvalid, match=problem):
        await driver.launch(a_spec(host))
    await driver.close()


async def test_impossible_name(host: DockerHost) -> None:
    """A name that no network can have is `config_invalid`."""
    driver = host.driver(network="container:x")
    with pytest.raises(ConfigInvalid, match="not the name of a network"):
        await driver.check()
    await driver.close()


async def test_change_of_reach(apart: DockerDriver, host: DockerHost, name: str) -> None:
    """Ports are not published on an internal network: a network made for the other way is refused by name."""
    await apart.check()
    published = host.driver(network=name, reach="published")
    with pytest.raises(ConfigInvalid, match="no port is published"):
        await published.check()
    await published.close()


async def test_full_network(apart: DockerDriver, host: DockerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge holds so many engines and no more; check says so before the kernel does."""
    await apart.launch(a_spec(host))
    monkeypatch.setattr(networks, "MAX_ENDPOINTS", 1)
    with pytest.raises(StartFailed, match="full"):
        await apart.check()


async def test_backend_in_a_container(host: DockerHost, name: str) -> None:
    """A backend in a container is a neighbour of its engines, and says so while it is not yet."""
    elsewhere = await make(host, f"{name}-elsewhere")
    backend = await host.docker.containers.create(
        {"Image": host.image, "Env": ["DO=wait"], "HostConfig": {"NetworkMode": elsewhere}}
    )
    await backend.start()
    driver = host.driver(network=name, container=backend.id)
    with pytest.raises(ConfigInvalid, match="not on the network") as caught:
        await driver.check()
    assert f"docker network connect {name}" in caught.value.detail
    [network] = [seen for seen in await host.networks(name) if seen["Name"] == name]
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "true"
    await host.docker._query_json(f"networks/{network['Id']}/connect", "POST", data={"Container": backend.id})
    await driver.check()
    await driver.close()
    published = host.driver(network=name, container=backend.id, reach="published")
    with pytest.raises(ConfigInvalid):
        await published.check()
    await published.close()


def test_own_container(tmp_path: Any) -> None:
    """The container that a process is in is read from its mounts, and there is none outside."""
    mounts = tmp_path / "mountinfo"
    identity = "0123456789abcdef" * 4
    mounts.write_text(
        "36 25 0:1 / / rw - overlay overlay rw\n"
        f"40 36 8:1 /var/lib/docker/containers/{identity}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"
    )
    assert networks.own_container(mounts) == identity
    mounts.write_text("36 25 0:1 / / rw - overlay overlay rw\n")
    assert networks.own_container(mounts) is None
    assert networks.own_container(tmp_path / "missing") is None
