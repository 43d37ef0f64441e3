"""The service: the contract, which its fake must keep too, what other replicas hear, and who waits for whom."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from galaxy_contracts.engines import (
    ENGINE_VERSIONS,
    AmbiguousVersionError,
    DeprecatedVersionError,
    EngineVersions,
    RetiredVersionError,
    UnknownVersionError,
)
from galaxy_contracts.testing import FakeEngineVersions
from galaxy_devkit.testing.kernel import Boot
from galaxy_engineversion.plugin import EngineVersionPlugin

VERSIONS = "/api/v1/admin/engine-versions"
DIGEST = f"registry.example/game@sha256:{'2' * 64}"


@dataclass
class Subject:
    """An implementation of `EngineVersions`, where its connections come from, and how an operator adds versions."""

    versions: EngineVersions
    transaction: Callable[[], AbstractAsyncContextManager[Any]]
    add: Callable[..., Awaitable[UUID]]


@pytest.fixture(params=["real", "fake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeEngineVersions()

        async def add(version: str, **fields: Any) -> UUID:
            return fake.add(version, **fields).id

        return Subject(fake, lambda: nullcontext(None), add)
    world: Any = request.getfixturevalue("world")

    async def create(version: str, **fields: Any) -> UUID:
        return UUID((await world.add(version, **fields))["id"])

    return Subject(world.versions, world.database.transaction, create)


async def test_contract_finds(subject: Subject) -> None:
    """A version is found by its id, by a number that one engine alone has, and by engine and number."""
    chess, game = await subject.add("1.0.0", engine="chess"), await subject.add("1.4.0-rc.1+5", image="galaxy/game:1")
    find = subject.versions.find
    version = subject.versions.get(game)
    assert version is not None
    for reference in (str(game), str(game).upper(), "1.4.0-rc.1+5", "default@1.4.0-rc.1+5"):
        assert find(reference) == version
    assert (version.name, version.image, version.launchable) == (
        "default@1.4.0-rc.1+5",
        "galaxy/game:1",
        "galaxy/game:1",
    )
    assert (version.major, version.minor, version.patch, version.state) == (1, 4, 0, "active")
    assert (version.digest, version.describe) == (None, None)
    for reference in (
        "1.4.0",
        "chess@1.4.0-rc.1+5",
        "default@",
        "@1.0.0",
        "chess",
        "default@1.4.0-rc.1+5@",
        str(uuid4()),
    ):
        assert find(reference) is None
    assert subject.versions.get(uuid4()) is None
    found = find("1.0.0")
    assert found is not None and found.id == chess


async def test_contract_names_the_choices(subject: Subject) -> None:
    """A number that several engines have is an error that names them all; one of them is meant by its engine."""
    for engine in ("galaxy", "chess"):
        await subject.add("1.0.0", engine=engine)
    with pytest.raises(AmbiguousVersionError, match=r"chess@1\.0\.0, galaxy@1\.0\.0") as caught:
        subject.versions.find("1.0.0")
    assert (caught.value.code, caught.value.choices) == ("engine_version_ambiguous", ("chess@1.0.0", "galaxy@1.0.0"))
    assert subject.versions.find("chess@1.0.0") is not None


async def test_contract_use(subject: Subject) -> None:
    """Active versions take new games; deprecated, retired and unknown ones say so."""
    active = await subject.add("1.0.0")
    closed = {
        state: await subject.add(f"1.0.{patch}", state=state) for patch, state in ((1, "deprecated"), (2, "retired"))
    }
    async with subject.transaction() as connection:
        assert await subject.versions.use(connection, active) == subject.versions.get(active)
        with pytest.raises(DeprecatedVersionError, match=r"default@1\.0\.1 is deprecated") as deprecated:
            await subject.versions.use(connection, closed["deprecated"])
        with pytest.raises(RetiredVersionError, match=r"default@1\.0\.2 is retired") as retired:
            await subject.versions.use(connection, closed["retired"])
        with pytest.raises(UnknownVersionError, match="no engine version") as unknown:
            await subject.versions.use(connection, uuid4())
    assert [each.value.code for each in (deprecated, retired, unknown)] == [
        "engine_version_deprecated",
        "engine_version_retired",
        "engine_version_unknown",
    ]


async def test_contract_record_start(subject: Subject) -> None:
    """The first start pins the digest and says what the engine is; later ones change nothing of it."""
    version_id = await subject.add("1.0.0")

    async def record(describe: Any, digest: str | None) -> None:
        async with subject.transaction() as connection:
            recorded = await subject.versions.record_start(connection, version_id, describe=describe, digest=digest)
        assert recorded == subject.versions.get(version_id)

    for describe, digest, expected in (
        (None, None, (None, None)),
        ({"engine": "a"}, None, ({"engine": "a"}, None)),
        ({"engine": "b"}, DIGEST, ({"engine": "a"}, DIGEST)),
        (None, "another", ({"engine": "a"}, DIGEST)),
    ):
        await record(describe, digest)
        version = subject.versions.get(version_id)
        assert version is not None
        assert (version.describe, version.digest) == expected
    assert version.launchable == DIGEST
    with pytest.raises(UnknownVersionError):
        async with subject.transaction() as connection:
            await subject.versions.record_start(connection, uuid4(), describe=None, digest=None)


async def test_what_engines_say_is_stored_whatever_it_is(world: Any) -> None:
    """A description with characters that Postgres does not take is kept without them."""
    made = UUID((await world.add())["id"])
    async with world.database.transaction() as connection:
        await world.versions.record_start(connection, made, describe={"title": "a\0b\ud800"}, digest=None)
    assert (await world.show(made))["describe"] == {"title": "a\ufffdb?"}


async def test_replicas_follow(world: Any, boot: Boot, other_fakes: Any) -> None:
    """What is added, changed and deleted on one replica is so in the other's memory within moments."""
    made = UUID((await world.add())["id"])
    async with boot(EngineVersionPlugin, other_fakes, dsn=world.booted.dsn) as other:
        versions = other.kernel.services.require(ENGINE_VERSIONS, asked_by="the test")
        assert versions.get(made) == world.versions.get(made)
        second = UUID((await world.add("2.0.0"))["id"])
        await world.until(lambda: versions.get(second) is not None, seconds=5)
        await world.ask("PATCH", f"{VERSIONS}/{made}", json={"state": "retired"})
        await world.until(lambda: versions.get(made).state == "retired", seconds=5)
        async with world.database.transaction() as connection:
            await world.versions.record_start(connection, made, describe={"engine": "a"}, digest=DIGEST)
        await world.until(lambda: versions.get(made).digest == DIGEST, seconds=5)
        assert versions.get(made) == world.versions.get(made)
        await world.ask("DELETE", f"{VERSIONS}/{second}")
        await world.until(lambda: versions.get(second) is None, seconds=5)


async def test_a_rolled_back_start_is_forgotten(world: Any) -> None:
    """What was noted in a transaction that rolls back is neither in the table nor in memory."""
    made = UUID((await world.add())["id"])
    with pytest.raises(RuntimeError, match="on purpose"):
        async with world.database.transaction() as connection:
            await world.versions.record_start(connection, made, describe=None, digest=DIGEST)
            raise RuntimeError("on purpose")
    assert world.versions.get(made).digest is None
    assert (await world.show(made))["digest"] is None


@pytest.mark.parametrize("attempt", range(5))
async def test_used_or_deleted_and_never_both(world: Any, attempt: int) -> None:
    """Of 100 parallel games and a deletion either the games come about, or none does and the version is gone."""
    made = (await world.add())["id"]

    async def play(number: int) -> bool:
        if number % 2:
            await asyncio.sleep(0)
        try:
            await world.use(made)
        except UnknownVersionError:
            return False
        return True

    async def remove() -> int:
        for _ in range(attempt * 3):
            await asyncio.sleep(0)
        status, _ = await world.ask("DELETE", f"{VERSIONS}/{made}")
        return int(status)

    status, *played = await asyncio.gather(remove(), *(play(number) for number in range(100)))
    games = len(await world.sql("SELECT id FROM games_of_tests WHERE version = :version", version=made))
    there = bool(await world.sql("SELECT 1 FROM engine_versions WHERE id = :id", id=made))
    assert games == sum(played)
    assert (status, there) == ((409, True) if games else (204, False))


async def test_a_deletion_waits_for_a_game_under_way(world: Any) -> None:
    """While a game is being created its version is not deleted, and not after that either."""
    made = (await world.add())["id"]
    async with world.database.transaction() as connection:
        await world.versions.use(connection, UUID(made))
        deletion = asyncio.create_task(world.ask("DELETE", f"{VERSIONS}/{made}"))
        await _until_waiting(world)
        assert not deletion.done()
        await world.games.add(connection, UUID(made))
    assert (await deletion)[0] == 409


async def test_a_game_waits_for_a_change_under_way(world: Any) -> None:
    """A game that came while the version was retired is refused by the state that was just made."""
    made = (await world.add())["id"]
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE engine_versions SET state = 'retired'")
        game = asyncio.create_task(world.use(made))
        await _until_waiting(world)
    with pytest.raises(RetiredVersionError):
        await game


async def test_two_games_do_not_wait_for_each_other(world: Any) -> None:
    """Games on one version are created at the same time."""
    made = (await world.add())["id"]
    async with world.database.transaction() as connection:
        await world.versions.use(connection, UUID(made))
        async with asyncio.timeout(5):
            await world.use(made)


async def _until_waiting(world: Any) -> None:
    """Wait until some statement waits for a lock."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(5), world.database.reading() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)
