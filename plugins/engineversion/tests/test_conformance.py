"""Running the kit: in a thread of its own, within a limit, and with nothing left behind."""

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from galaxy_engine.drivers.driver import EngineId, EngineSpec
from galaxy_engineversion import conformance
from galaxy_engineversion.conformance import examine, in_own_loop

LIMIT = timedelta(minutes=2)


async def test_work_runs_beside_the_service() -> None:
    """Work has a thread and a loop of its own; its value and its errors come back."""

    async def where() -> tuple[int, asyncio.AbstractEventLoop]:
        return threading.get_ident(), asyncio.get_running_loop()

    async def fail() -> None:
        raise RuntimeError("on purpose")

    thread, loop = await in_own_loop(where)
    assert thread != threading.get_ident()
    assert loop is not asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="on purpose"):
        await in_own_loop(fail)


async def test_cancelled_work_cleans_up_first() -> None:
    """Who cancels it waits until it has ended, however often it is cancelled."""
    begun, done = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(300)
        finally:
            await asyncio.sleep(0.05)
            done.set()

    task = asyncio.create_task(in_own_loop(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_work_can_be_cancelled_before_it_begins() -> None:
    """A cancellation that comes first is not lost."""

    async def work() -> None:
        await asyncio.sleep(300)

    for pauses in range(4):
        task = asyncio.create_task(in_own_loop(work))
        for _ in range(pauses):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.slow
async def test_a_conforming_engine(processes: Any) -> None:
    """The report, what the engine says of itself and the digest come back; nothing runs any more."""
    processes.digest, owner = f"registry.example/small@sha256:{'1' * 64}", uuid4()
    program = processes.engine()
    examined = await examine(processes, owner, program, LIMIT)
    assert examined.failure is None
    assert (examined.digest, examined.image) == (processes.digest, processes.digest)
    assert examined.describe is not None
    assert (examined.describe["engine"], examined.describe["players"]) == ("small", {"min": 3, "max": 4})
    result = examined.result()
    assert (result["conforms"], result["engine"], result["failure"]) == (True, "small 1.0.0", None)
    assert len(result["results"]) >= 44
    assert processes.prepared[0] == (program, "always")
    assert {policy for _, policy in processes.prepared[1:]} <= {"if_missing"}
    assert await processes.running(owner) == []


async def test_a_faulty_engine(processes: Any) -> None:
    """The fault is named, with the calls that show it, within bounds."""
    processes.fault = "random_state"
    examined = await examine(processes, uuid4(), processes.engine(), LIMIT)
    result = examined.result()
    assert not result["conforms"]
    failed = {each["id"]: each for each in result["results"] if each["outcome"] == "failed"}
    assert "K18" in failed
    assert 0 < len(failed["K18"]["calls"]) <= conformance.MAX_CALLS
    assert examined.describe is not None


@pytest.mark.parametrize(
    ("image", "code"), [("/nowhere/engine", "image_not_found"), ("relative/engine", "image_not_found")]
)
async def test_an_image_that_is_not_there(processes: Any, image: str, code: str) -> None:
    """What stands in the way of a start is the result, by the type that failures have everywhere."""
    examined = await examine(processes, uuid4(), image, LIMIT)
    assert examined.failure is not None
    assert examined.failure.code == code
    assert examined.result() == {
        "conforms": False,
        "image": image,
        "failure": {"code": code, "message": examined.failure.message, "detail": examined.failure.detail},
    }


async def test_an_engine_that_ends_at_once(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails the check of coming up, and its last words are kept without control characters."""
    monkeypatch.setattr(conformance, "START_SECONDS", 1.0)
    examined = await examine(
        processes, uuid4(), processes.script("printf 'no \\033[31mconfiguration\\n'; exit 3"), LIMIT
    )
    result = examined.result()
    assert (result["conforms"], examined.describe) == (False, None)
    up = next(each for each in result["results"] if each["id"] == "K01")
    assert up["outcome"] == "failed"
    assert "\x1b" not in str(result)


async def test_an_engine_that_takes_too_long(processes: Any) -> None:
    """The examination ends at its limit, and its engines are removed."""
    owner = uuid4()
    examined = await examine(processes, owner, processes.script("exec sleep 300"), timedelta(seconds=2))
    assert examined.failure is not None
    assert (examined.failure.code, examined.failure.message) == (
        "check_timeout",
        "the engine was not examined within 2 s",
    )
    assert await processes.running(owner) == []


async def test_what_was_left_behind_is_removed(processes: Any) -> None:
    """Engines of an examination whose process died are removed before the next one begins."""
    owner = uuid4()
    driver = processes.open(str(owner))
    left = await driver.launch(EngineSpec(EngineId(str(owner), uuid4(), 1), processes.script("exec sleep 300"), {}))
    assert [each.handle for each in await processes.running(owner)] == [left.handle]
    await examine(processes, owner, "/nowhere/engine", LIMIT)
    assert await processes.running(owner) == []
