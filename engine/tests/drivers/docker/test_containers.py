"""What a container of ours is like, from the daemon's side and from inside."""

import asyncio
from datetime import timedelta
from typing import Any

import aiodocker
import msgspec
import pytest
from hosts import DockerHost, a_spec, ended, written

from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.drivers.docker.driver import _start_failure
from galaxy_engine.drivers.driver import EngineSpec, Limits
from galaxy_engine.failures import ConfigInvalid, ImageNotFound, NameTaken, StartFailed

pytestmark = pytest.mark.docker
AT_ONCE = timedelta(0)
MIB = 1024 * 1024


def of(host: DockerHost, variant: str, **environment: str) -> EngineSpec:
    """Return an engine of one of the other images."""
    return msgspec.structs.replace(a_spec(host, **environment), image=host.images[variant])


@pytest.mark.parametrize("stack", [{}, {"galaxy.stack": "blue"}], ids=["no stack", "stack"])
async def test_labels(host: DockerHost, stack: dict[str, str]) -> None:
    """A container carries whose, which game's and which generation's it is, and the stack where there is one."""
    spec, driver = a_spec(host), host.driver(labels={**stack, "galaxy.owner": "somebody"})
    engine = await driver.launch(spec)
    await driver.close()
    info = await host.inspect(engine.handle)
    assert info["Name"] == f"/galaxy-{host.owner[:8]}-{spec.id.game_id}-1"
    assert info["Config"]["Labels"] == {
        "galaxy.backend": "1",
        "galaxy.owner": host.owner,
        "galaxy.game": str(spec.id.game_id),
        "galaxy.generation": "1",
        **stack,
    }


async def test_hardening_as_the_daemon_says(driver: DockerDriver, host: DockerHost) -> None:
    """Every container is shut in, limited, without mounts, and not restarted by the daemon."""
    limits = Limits(memory=64 * MIB, cpus=0.5, pids=32, tmpfs=8 * MIB)
    engine = await driver.launch(a_spec(host, limits=limits))
    info = await host.inspect(engine.handle)
    settings: dict[str, Any] = info["HostConfig"]
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["CapAdd"]
    assert settings["SecurityOpt"] == ["no-new-privileges"]
    assert settings["ReadonlyRootfs"] is True
    assert settings["Privileged"] is False
    assert settings["PidsLimit"] == 32
    assert (settings["Memory"], settings["MemorySwap"]) == (64 * MIB, 64 * MIB)
    assert (settings["CpuQuota"], settings["CpuPeriod"]) == (50_000, 100_000)
    assert settings["Init"] is True
    assert settings["RestartPolicy"]["Name"] == "no"
    assert settings["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert settings["Tmpfs"] == {"/tmp": f"rw,noexec,nosuid,nodev,size={8 * MIB},mode=1777"}
    assert not settings["Binds"]
    assert info["Mounts"] == []
    assert settings["PortBindings"] in ({}, None)
    assert settings["AutoRemove"] is False
    assert settings["OomScoreAdj"] == 500
    assert info["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert list(info["NetworkSettings"]["Networks"]) == [host.network]


async def test_hardening_as_the_engine_sees_it(driver: DockerDriver, host: DockerHost) -> None:
    """From inside: another user than root, no capabilities, nothing to write to but a small /tmp."""
    engine = await driver.launch(a_spec(host, limits=Limits(tmpfs=4 * MIB), DO="look"))
    lines = (await written(driver, engine, "seen\n")).splitlines()
    assert sorted(lines) == [
        "CapBnd:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "data is full",
        "files 4096 core 0",
        "init docker-init",
        "seen",
        f"tmp is full at {4 * MIB}",
        "tmp is writable",
        "uid 1000 gid 1000",
    ]


async def test_volumes_of_the_image_are_small(driver: DockerDriver, host: DockerHost) -> None:
    """A volume that the image declares is not a directory of the host's disk, and as limited as /tmp."""
    engine = await driver.launch(of(host, "volume", DO="look"))
    output = await written(driver, engine, "seen\n")
    assert "data is writable" in output
    assert "data is full" in output
    assert (await host.inspect(engine.handle))["Mounts"] == []


async def test_processes_are_limited(driver: DockerDriver, host: DockerHost) -> None:
    """An engine cannot fork without end."""
    engine = await driver.launch(a_spec(host, limits=Limits(pids=16), DO="fork"))
    assert "can't fork" in await written(driver, engine, "fork")


async def test_out_of_memory(driver: DockerDriver, host: DockerHost) -> None:
    """An engine that wants more memory than its limit is killed, and that is told from other kills."""
    engine = await ended(driver, await driver.launch(a_spec(host, DO="oom")))
    assert (engine.exit_code, engine.oom_killed) == (137, True)


@pytest.mark.parametrize(
    ("variant", "uid"),
    [("engine", 1000), ("named", 1234), ("root", 65534), ("zero", 65534), ("toor", 65534), ("unknown", 65534)],
)
async def test_user(driver: DockerDriver, host: DockerHost, variant: str, uid: int) -> None:
    """An engine runs as the image's user, unless that is root by number or by any name, or nobody knows who."""
    engine = await driver.launch(of(host, variant, DO="look"))
    assert f"uid {uid} " in await written(driver, engine, "seen\n")


async def test_command_that_is_missing(driver: DockerDriver, host: DockerHost) -> None:
    """An image without its command ends at once with the reason in its log, or does not start; nothing stays hidden."""
    try:
        engine = await ended(driver, await driver.launch(of(host, "broken")))
    except StartFailed as failure:
        assert "missing" in failure.detail
        assert await driver.observe() == []
    else:
        assert engine.exit_code == 127
        assert "/missing" in await driver.logs(engine.handle, 1000)


async def test_image_of_another_platform(driver: DockerDriver, host: DockerHost) -> None:
    """An executable of another platform ends at once with the reason in its log, or is `config_invalid`."""
    try:
        engine = await ended(driver, await driver.launch(of(host, "foreign")))
    except ConfigInvalid as failure:
        assert "exec format error" in failure.detail
    else:
        assert engine.exit_code in {126, 127}
        assert "/foreign" in await driver.logs(engine.handle, 1000)


async def test_failed_start_leaves_nothing(driver: DockerDriver, host: DockerHost, name: str) -> None:
    """What the daemon creates and cannot start is removed, with the daemon's reason in the detail."""
    other = host.driver(network=name)
    spec = a_spec(host)
    network = await other._networks.ensure()

    async def ensure() -> str:  # the network goes between the look at it and the start
        if await host.networks(name):
            await host.docker._query_json(f"networks/{network}", "DELETE")
        return network

    other._networks.ensure = ensure  # type: ignore[method-assign]
    with pytest.raises(StartFailed) as caught:
        await other.launch(spec)
    assert "network" in caught.value.detail
    assert await driver.observe() == []
    await other.close()
    assert (await driver.launch(spec)).state == "running"


async def test_impossible_limits(driver: DockerDriver, host: DockerHost) -> None:
    """Limits that the daemon refuses are `config_invalid`."""
    with pytest.raises(ConfigInvalid):
        await driver.launch(a_spec(host, limits=Limits(memory=1024)))
    assert await driver.observe() == []


async def test_more_cpus_than_there_are(driver: DockerDriver, host: DockerHost) -> None:
    """A limit above what the machine has is not an error."""
    assert (await driver.launch(a_spec(host, limits=Limits(cpus=1000)))).state == "running"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed: port is already allocated",
            "port_conflict",
        ),
        ("Error starting userland proxy: listen tcp4 127.0.0.1:32768: bind: address already in use", "port_conflict"),
        ("OCI runtime create failed: exec /engine: exec format error: unknown", "config_invalid"),
        ("network galaxy-engines is ambiguous (2 matches found on name)", "config_invalid"),
        ("OCI runtime create failed: no space left on device", "start_failed"),
    ],
)
def test_why_a_start_failed(host: DockerHost, message: str, code: str) -> None:
    """The daemon's words for a port that is taken and for what cannot be run anywhere are told from all others."""
    failure = _start_failure(a_spec(host), message)
    assert (failure.code, failure.detail) == (code, message)


async def test_renamed_by_hand(driver: DockerDriver, host: DockerHost, name: str) -> None:
    """A container is a game's engine by its labels: a renamed one is observed, and removed, as before."""
    engine = await driver.launch(a_spec(host))
    await host.docker._query_json(f"containers/{engine.handle}/rename?name={name}", "POST")
    assert await driver.observe(engine.id.game_id) == [engine]
    await driver.remove(engine.handle, AT_ONCE)
    assert await driver.observe() == []


@pytest.mark.parametrize("variant", ["engine", "toor"])
async def test_half_a_launch_is_finished(driver: DockerDriver, host: DockerHost, variant: str) -> None:
    """A container that was created and not started is started, though never as root."""
    spec = of(host, variant, DO="look")
    left = await host.occupy(
        spec.id,
        Image=spec.image,
        Env=["DO=look"],
        Labels={
            "galaxy.owner": host.owner,
            "galaxy.game": str(spec.id.game_id),
            "galaxy.generation": "1",
        },
    )
    [seen] = await driver.observe()
    assert (seen.handle, seen.state, seen.address) == (left.id, "starting", None)
    engine = await driver.launch(spec)
    assert (engine.handle == left.id) is (variant == "engine")
    assert ("uid 1000 " if variant == "engine" else "uid 65534 ") in await written(driver, engine, "seen\n")


async def test_half_a_launch_that_cannot_be_finished(driver: DockerDriver, host: DockerHost, name: str) -> None:
    """A container whose network is gone since it was created is made again."""
    network = await host.docker.networks.create({"Name": name, "Internal": True})
    spec = a_spec(host)
    labels = {"galaxy.owner": host.owner, "galaxy.game": str(spec.id.game_id), "galaxy.generation": "1"}
    left = await host.occupy(spec.id, Labels=labels, HostConfig={"NetworkMode": network.id})
    await network.delete()
    engine = await driver.launch(spec)
    assert engine.handle != left.id
    assert engine.state == "running"
    assert await driver.observe() == [engine]


async def test_another_generations_container_of_the_name(driver: DockerDriver, host: DockerHost) -> None:
    """A container of our name with other labels than the name says is not taken for the engine."""
    spec = a_spec(host)
    labels = {"galaxy.owner": host.owner, "galaxy.game": str(spec.id.game_id), "galaxy.generation": "2"}
    await host.occupy(spec.id, Labels=labels)
    with pytest.raises(NameTaken):
        await driver.launch(spec)


async def test_never_listens(driver: DockerDriver, host: DockerHost) -> None:
    """That an engine runs says nothing of its health: one that does not listen is running, and refuses."""
    engine = await driver.launch(a_spec(host, DO="wait"))
    assert engine.address is not None
    address, _, port = engine.address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, int(port))


async def test_logs_of_broken_bytes(driver: DockerDriver, host: DockerHost) -> None:
    """One wrong byte does not cost the log."""
    engine = await driver.launch(a_spec(host, DO="variables", WRONG="x\udcffy"))
    assert "WRONG=x" in await written(driver, engine, "WRONG")


async def test_logs_are_capped(driver: DockerDriver, host: DockerHost) -> None:
    """However much an engine writes, the daemon keeps two megabytes, and we no more than was wanted."""
    engine = await driver.launch(a_spec(host, DO="shout"))
    while len(await driver.logs(engine.handle, 4 * MIB)) < MIB // 4:
        await asyncio.sleep(0.1)
    assert len(await driver.logs(engine.handle, 4 * MIB)) <= 2 * MIB
    assert (await driver.logs(engine.handle, 71)).count("\n") == 1


async def test_image_whose_tag_moved_away(driver: DockerDriver, host: DockerHost) -> None:
    """An engine's image stays what it was launched by, also after the tag was given to another image."""
    moved = f"galaxy-test/moved:{host.owner[:8]}"
    repository, _, tag = moved.partition(":")
    await host.docker.images.tag(host.images["engine"], repository, tag=tag)
    engine = await driver.launch(msgspec.structs.replace(a_spec(host), image=moved))
    await host.docker.images.tag(host.images["root"], repository, tag=tag)
    assert await driver.observe() == [engine]
    assert engine.image == moved
    await driver.remove(engine.handle, AT_ONCE)
    await host.docker.images.delete(moved)


async def test_image_that_goes_between(driver: DockerDriver, host: DockerHost) -> None:
    """An image that was removed since it was prepared is `image_not_found`."""
    gone = f"galaxy-test/gone:{host.owner[:8]}"
    repository, _, tag = gone.partition(":")
    await host.docker.images.tag(host.images["engine"], repository, tag=tag)
    await driver.prepare(gone, "if_missing")
    await host.docker.images.delete(gone)
    with pytest.raises(ImageNotFound):
        await driver.launch(msgspec.structs.replace(a_spec(host), image=gone))


async def test_somebody_elses_container_is_not_removed(driver: DockerDriver, host: DockerHost) -> None:
    """A handle of a container that is not ours is nothing to remove or to read."""
    spec = a_spec(host)
    foreign = await host.occupy(spec.id)
    await driver.remove(foreign.id, AT_ONCE)
    assert await driver.logs(foreign.id, 100) == ""
    assert (await foreign.show())["State"]["Status"] == "created"


async def test_volumes_go_with_the_container(driver: DockerDriver, host: DockerHost) -> None:
    """Removal leaves no anonymous volume behind, even one that we did not ask for."""
    spec = of(host, "volume")
    labels = {"galaxy.owner": host.owner, "galaxy.game": str(spec.id.game_id), "galaxy.generation": "1"}
    left = await host.occupy(spec.id, Image=spec.image, Labels=labels)
    [mount] = (await left.show())["Mounts"]
    await driver.remove(left.id, AT_ONCE)
    with pytest.raises(aiodocker.DockerError, match="no such volume"):
        await host.docker.volumes.get(mount["Name"])
