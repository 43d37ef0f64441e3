"""A blocked event loop is reported with the plugin whose code it is."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from galaxy_chassis.watchdog import LoopWatchdog

SOURCE = """
import time

def grind(until):
    while not until():
        time.sleep(0.001)

async def work(until):
    grind(until)
"""
THRESHOLD = 0.05


def module(name: str) -> dict[str, Any]:
    """Return the functions of a module of that name, as a plugin's package would hold them."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(SOURCE, f"/plugins/{name.replace('.', '/')}.py", "exec"), names)
    return names


def of(lines: Sequence[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


def told(lines: Sequence[Any], count: int) -> Callable[[], bool]:
    """Whether the log has named blockages so many times; it gives up after a while."""
    deadline = time.monotonic() + 20
    return lambda: len(of(lines, "event_loop_blocked")) >= count or time.monotonic() > deadline


async def resumed(lines: Sequence[Any]) -> None:
    async with asyncio.timeout(20):
        while not of(lines, "event_loop_resumed"):
            await asyncio.sleep(0.001)


async def test_the_plugin_that_holds_the_loop_is_named() -> None:
    """The plugin of the innermost frame in a plugin's package, its frames and its task are logged while it lasts."""
    outer, inner = module("galaxy_outer.workers"), module("galaxy_inner.deep.service")
    packages = {"galaxy_outer": "outer", "galaxy_inner": "inner"}

    async def call(until: Callable[[], bool]) -> None:
        outer["grind"](lambda: inner["grind"](until) or True)

    with capture_logs() as lines, LoopWatchdog(packages, threshold=THRESHOLD).watching():
        await asyncio.create_task(call(told(lines, 2)), name="pass of outer.work")
        await resumed(lines)
    first, second, *_ = of(lines, "event_loop_blocked")
    assert (first["plugin"], first["task"], first["log_level"]) == ("inner", "pass of outer.work", "warning")
    assert THRESHOLD <= first["seconds"] <= second["seconds"] / 2
    assert any("service.py:" in frame and frame.endswith(" grind") for frame in first["frames"])
    (end,) = of(lines, "event_loop_resumed")
    assert end["plugin"] == "inner"
    assert end["seconds"] >= second["seconds"]


async def test_a_task_that_is_named_after_a_plugin_is_that_plugins() -> None:
    """No frame is in its package: a library's or the kernel's code works for it."""
    library = module("library")
    with capture_logs() as lines, LoopWatchdog({"galaxy_mail": "mail"}, threshold=THRESHOLD).watching():
        await asyncio.create_task(library["work"](told(lines, 1)), name="probe mail.relay")
        await resumed(lines)
        lines.clear()
        await asyncio.create_task(library["work"](told(lines, 1)), name="probe other.relay")
        await resumed(lines)
        other = of(lines, "event_loop_blocked")[0]["plugin"]
        lines.clear()
        await asyncio.create_task(library["work"](told(lines, 1)), name="pass of mail.deliver")
        await resumed(lines)
    assert (other, of(lines, "event_loop_blocked")[0]["plugin"]) == ("kernel", "mail")


async def test_a_callback_without_a_task_is_seen_too() -> None:
    """Code outside tasks, such as a timer's, is named too; code of no plugin is the process's."""
    grind, done = module("somebody_elses")["grind"], asyncio.Event()
    with capture_logs() as lines, LoopWatchdog({"galaxy_mail": "mail"}, threshold=THRESHOLD).watching():
        asyncio.get_running_loop().call_soon(lambda: done.set() or grind(told(lines, 1)))
        await done.wait()
        await resumed(lines)
    blocked = of(lines, "event_loop_blocked")[0]
    assert (blocked["plugin"], blocked["task"]) == ("kernel", "")


async def test_a_loop_that_only_waits_is_not_blocked() -> None:
    """A process that was stopped as a whole and goes on has blocked nothing: its loop waits for work."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    now = 0.0
    watchdog = LoopWatchdog({}, threshold=1.0, monotonic=lambda: now)

    def look() -> None:
        while sys._current_frames()[thread].f_globals["__name__"] != "selectors":
            time.sleep(0.001)
        watchdog.look(loop, thread)

    with capture_logs() as lines:
        now = 3600.0
        await asyncio.to_thread(look)
    assert lines == []


@pytest.mark.parametrize(("late", "says"), [(1.2, 0), (1.3, 1)])
async def test_the_threshold_counts_from_the_missed_beat(late: float, says: int) -> None:
    """With beats each quarter of a second, a loop is held up for a second once no beat has come for 1.25."""
    now = 0.0
    watchdog = LoopWatchdog({}, threshold=1.0, monotonic=lambda: now)
    with capture_logs() as lines:
        now = late
        watchdog.look(asyncio.get_running_loop(), threading.get_ident())  # this very task holds the loop
        watchdog.look(asyncio.get_running_loop(), threading.get_ident())
    assert len(lines) == says


async def test_a_loop_that_runs_is_left_alone() -> None:
    """Work in small pieces is never told of, and the thread ends with the block."""
    with capture_logs() as lines:
        with LoopWatchdog({}, threshold=0.5).watching():
            for _ in range(200):
                await asyncio.sleep(0.001)
        assert lines == []
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


async def test_how_late_the_loop_is_is_measured() -> None:
    """Each time the loop records the time it reports how late it is: about nothing while it is free, and a blockage."""
    now, delays = 0.0, list[float]()
    watchdog = LoopWatchdog({}, threshold=4.0, monotonic=lambda: now, on_delay=delays.append)
    loop = asyncio.get_running_loop()
    watchdog._note_time(loop, due=0.0)
    now = 3.5
    watchdog._note_time(loop, due=1.0)
    assert watchdog._timer is not None
    assert delays == [0.0, 2.5]
    watchdog._timer.cancel()
