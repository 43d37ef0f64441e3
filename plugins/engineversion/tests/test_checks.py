"""Checks: asked for, run beside everything else, kept; taken up again when a process dies."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_devkit.testing import Boot
from galaxy_engineversion import checks, conformance
from galaxy_engineversion.plugin import EngineVersionPlugin

VERSIONS = "/api/v1/admin/engine-versions"
DIGEST = f"registry.example/small@sha256:{'1' * 64}"
MOVED = f"registry.example/small@sha256:{'2' * 64}"


async def _check(world: Any, version_id: str) -> Any:
    status, body = await world.ask("POST", f"{VERSIONS}/{version_id}/check")
    assert status == 202, body
    return body


def _failed(version: Any) -> list[Any]:
    """Return what stands in the way of a version's check: the findings, or the failure without a report."""
    result = version["check_result"]
    findings = [each for each in result.get("results", ()) if each["outcome"] == "failed"]
    return findings or ([] if result["conforms"] else [result])


@pytest.mark.slow
async def test_checks_a_version(world: Any, drivers: Any) -> None:
    """A check answers 202 at once; its result, the digest and what the engine says are kept, and players see them."""
    drivers.digest = DIGEST
    made = await world.add(image=drivers.engine())
    answered = await _check(world, made["id"])
    assert answered == {
        **made,
        "check_state": "checking",
        "check_requested_at": answered["check_requested_at"],
    }
    assert answered["check_requested_at"] is not None
    checked = await world.checked(made["id"])
    assert _failed(checked) == []
    assert (checked["check_state"], checked["digest"]) == ("passed", DIGEST)
    assert (checked["checked_at"], checked["check_requested_at"]) == ("2030-01-01T00:00:00Z", None)
    result = checked["check_result"]
    assert (result["conforms"], result["failure"], result["image"]) == (True, None, DIGEST)
    assert (result["engine"], result["only_empty"]) == ("small 1.0.0", False)
    assert {each["id"] for each in result["results"]} >= {f"K{number:02}" for number in range(1, 45)}
    assert checked["describe"]["engine"] == "small"
    listed = (await world.ask("GET", VERSIONS))[1]["items"][0]
    assert (listed["check_state"], listed["checked_at"]) == ("passed", checked["checked_at"])
    players = (await world.ask("GET", "/api/v1/user/engine-versions", player=True))[1]["items"][0]
    assert players["players"] == {"min": 3, "max": 4}
    assert players["options_schema"] == {"type": "object", "properties": {"bonus": {"type": "integer"}}}
    assert players["capabilities"] == ["validate", "options", "suggest", "bundle"]


async def test_a_faulty_engine_fails(world: Any, drivers: Any) -> None:
    """An engine that breaks a rule has failed, and the result names the check."""
    drivers.fault = "counter"
    made = await world.add(image=drivers.engine())
    await _check(world, made["id"])
    checked = await world.checked(made["id"])
    assert checked["check_state"] == "failed"
    assert [each for each in checked["check_result"]["results"] if each["outcome"] == "failed"]


async def test_an_engine_that_is_not_there_fails(world: Any, drivers: Any) -> None:
    """What stood in the way of the start is the result, and the version can be deleted at once."""
    made = await world.add(image="/nowhere/engine")
    await _check(world, made["id"])
    checked = await world.checked(made["id"])
    assert (checked["check_state"], checked["check_result"]["failure"]["code"]) == ("failed", "image_not_found")
    assert (await world.ask("DELETE", f"{VERSIONS}/{made['id']}"))[0] == 204


async def test_an_unknown_version_is_not_checked(world: Any, drivers: Any) -> None:
    """A version that never was is 404."""
    status, problem = await world.ask("POST", f"{VERSIONS}/{UUID(int=7)}/check")
    assert (status, problem["code"]) == (404, "not_found")


async def test_asking_again_begins_no_second_check(world: Any, drivers: Any) -> None:
    """While one is wanted or under way, asking again answers 202 and changes nothing; the former result stays."""
    made = await world.add(image="/nowhere/engine")
    await _check(world, made["id"])
    former = await world.checked(made["id"])
    await world.ask("PATCH", f"{VERSIONS}/{made['id']}", json={"notes": "again"})
    await world.sql("UPDATE engine_versions SET image = :image", image=drivers.script("exec sleep 300"))
    first = await _check(world, made["id"])
    await world.until(lambda: len(drivers.opened) == 2)
    again = await _check(world, made["id"])
    assert again == first
    assert again["check_result"] == former["check_result"]
    assert len(drivers.opened) == 2


async def test_a_version_is_not_deleted_during_its_check(world: Any, drivers: Any) -> None:
    """While its engine runs, deleting is 409; everything else goes on."""
    made = await world.add(image=drivers.script("exec sleep 300"))
    await _check(world, made["id"])
    await _until_running(drivers, made["id"])
    status, problem = await world.ask("DELETE", f"{VERSIONS}/{made['id']}")
    assert (status, problem["code"]) == (409, "engine_version_checking")
    status, changed = await world.ask("PATCH", f"{VERSIONS}/{made['id']}", json={"state": "retired"})
    assert (status, changed["check_state"]) == (200, "checking")


async def test_no_connection_is_held_during_a_check(world: Any, drivers: Any) -> None:
    """While an engine is examined no session of the database is in a transaction or busy for it."""
    made = await world.add(image=drivers.script("exec sleep 300"))
    await _check(world, made["id"])
    await _until_running(drivers, made["id"])
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
    """
    pool = world.booted.kernel.database.engine.pool
    async with asyncio.timeout(10):
        while (await world.sql(query))[0][0] or pool.checkedout():  # others come and go
            await asyncio.sleep(0.02)


async def test_a_new_image_begins_the_check_again(world: Any, drivers: Any) -> None:
    """The examination of the former image is ended, and the result is of the new one."""
    made = await world.add(image=drivers.script("exec sleep 300"))
    await _check(world, made["id"])
    await _until_running(drivers, made["id"])
    await world.ask("PATCH", f"{VERSIONS}/{made['id']}", json={"image": "/nowhere/engine"})
    checked = await world.checked(made["id"])
    assert (checked["check_state"], checked["check_result"]["image"]) == ("failed", "/nowhere/engine")
    assert await drivers.running(made["id"]) == []


async def test_the_digest_moves_only_while_no_game_uses_it(
    world: Any, drivers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unused version takes the digest that its tag has now; a used one is examined at its own, and keeps it."""
    monkeypatch.setattr(conformance, "START_SECONDS", 0.1)
    drivers.program = drivers.script("exit 1")
    made = await world.add(image=drivers.program)
    for digest in (DIGEST, MOVED, DIGEST):
        drivers.digest = digest
        await _check(world, made["id"])
        assert (await world.checked(made["id"]))["digest"] == digest
    await world.use(made["id"])
    drivers.prepared.clear()
    drivers.digest = MOVED
    await _check(world, made["id"])
    checked = await world.checked(made["id"])
    assert drivers.prepared[0][0] == DIGEST
    assert (checked["digest"], checked["check_result"]["image"]) == (DIGEST, MOVED)
    assert world.versions.get(UUID(made["id"])).digest == DIGEST


async def test_a_kit_that_breaks_is_a_result(world: Any, drivers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours in the examination ends the check too, and does not begin it again and again."""

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "examine", broken)
    made = await world.add()
    await _check(world, made["id"])
    failure = (await world.checked(made["id"]))["check_result"]["failure"]
    assert (failure["code"], failure["message"]) == ("kit_broken", "the kit itself failed with ZeroDivisionError")


async def test_a_lease_is_renewed_while_the_engine_runs(world: Any, drivers: Any) -> None:
    """A pass of the worker during an examination moves the end of its lease."""
    made = await world.add(image=drivers.script("exec sleep 300"))
    await _check(world, made["id"])
    await _until_running(drivers, made["id"])
    await world.sql("UPDATE engine_versions SET check_until = now() + interval '1 second'")
    await _check(world, made["id"])  # wakes the worker
    async with asyncio.timeout(10):
        while not (await world.sql("SELECT check_until > now() + interval '50 seconds' FROM engine_versions"))[0][0]:
            await asyncio.sleep(0.02)
    assert drivers.opened == [made["id"]]


async def test_a_check_that_was_taken_over_is_ended(world: Any, drivers: Any) -> None:
    """A process that finds its check in other hands ends its examination, and writes nothing."""
    made = await world.add(image=drivers.script("exec sleep 300"))
    await _check(world, made["id"])
    await _until_running(drivers, made["id"])
    await world.sql("UPDATE engine_versions SET check_lease = check_lease + 1, check_until = now() + interval '1 hour'")
    await _check(world, made["id"])  # wakes the worker
    async with asyncio.timeout(20):
        while await drivers.running(made["id"]):
            await asyncio.sleep(0.02)
    shown = await world.show(made["id"])
    assert (shown["check_state"], shown["check_result"], shown["checked_at"]) == ("checking", None, None)


@pytest.mark.slow
async def test_two_replicas_run_a_check_once(world: Any, boot: Boot, other_fakes: Any, drivers: Any) -> None:
    """A check that one replica was asked for is run by one of them; both know the result."""
    async with boot(EngineVersionPlugin, other_fakes, dsn=world.booted.dsn) as other:
        versions = other.kernel.services.require(ENGINE_VERSIONS, asked_by="the test")
        versions.register_drivers(drivers)
        made = await world.add(image=drivers.engine("bare.py"))
        await _check(world, made["id"])
        assert _failed(await world.checked(made["id"])) == []
        assert drivers.opened == [made["id"]]
        await world.until(lambda: versions.get(UUID(made["id"])).describe is not None, seconds=5)
        assert versions.get(UUID(made["id"])) == world.versions.get(UUID(made["id"]))


async def test_a_replica_that_stops_gives_its_check_back(
    world: Any, boot: Boot, other_fakes: Any, processes: Any
) -> None:
    """A stop ends the examination, removes its engines, and lets another replica begin again at once."""
    made = await world.add(image=processes.script("exec sleep 300"))
    async with boot(EngineVersionPlugin, other_fakes, dsn=world.booted.dsn) as other:
        other.kernel.services.require(ENGINE_VERSIONS, asked_by="the test").register_drivers(processes)
        await _check(replace(world, booted=other), made["id"])
        await _until_running(processes, made["id"])
    assert await processes.running(made["id"]) == []
    row = (await world.sql("SELECT check_until, check_tries, check_requested_at FROM engine_versions"))[0]
    assert (row.check_until, row.check_tries) == (None, 0)
    assert row.check_requested_at is not None


@pytest.mark.slow
async def test_a_killed_replica_is_taken_over(world: Any, processes: Any) -> None:
    """A check whose process was killed is taken up once its lease has ended, and ends with a result."""
    made = await world.add(image=processes.engine("bare.py"))
    await world.sql("UPDATE engine_versions SET check_requested_at = now(), check_request_id = 'r'")
    replica = Path(__file__).with_name("replica.py")
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, str(replica), world.booted.dsn, str(processes.folder)), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _until_running(processes, made["id"], seconds=60)
    finally:
        other.kill()
        await other.wait()
    world.versions.register_drivers(processes)
    await _check(world, made["id"])  # wakes the worker, which finds the lease of the other
    row = (await world.sql("SELECT check_until > now() AS held, check_tries FROM engine_versions"))[0]
    assert (row.held, row.check_tries, processes.opened) == (True, 1, [])
    await world.sql("UPDATE engine_versions SET check_until = now()")
    await _check(world, made["id"])
    checked = await world.checked(made["id"])
    assert checked["check_state"] == "passed"
    assert processes.opened == [made["id"]]
    assert await processes.running(made["id"]) == []


async def test_a_check_that_kills_its_processes_ends(world: Any, drivers: Any) -> None:
    """After three processes that were lost in it, the check has failed."""
    made = await world.add(image=drivers.engine("bare.py"))
    await world.sql("UPDATE engine_versions SET check_requested_at = now(), check_request_id = 'r', check_tries = 3")
    await _check(world, made["id"])
    checked = await world.checked(made["id"])
    assert (checked["check_state"], checked["check_result"]["failure"]["code"]) == ("failed", "check_lost")
    assert drivers.opened == []


async def _until_running(drivers: Any, owner: str, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await drivers.running(owner):
            await asyncio.sleep(0.02)
