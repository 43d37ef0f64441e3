"""Signals, the first and the second, and background tasks that end before their time."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from galaxy_chassis.process import BackgroundTasks, handle_stop_signals

SECOND = """
import asyncio, os, signal
from galaxy_chassis.logs import configure_logging, get_logger
from galaxy_chassis.process import handle_stop_signals

async def main():
    stop = asyncio.Event()
    handle_stop_signals(stop, lambda: print("interrupted", flush=True))
    os.kill(os.getpid(), signal.SIG{})
    await stop.wait()
    get_logger("x").info("last words")
    os.kill(os.getpid(), signal.SIG{})
    await asyncio.Event().wait()

configure_logging()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_stops_and_interrupts(number: signal.Signals) -> None:
    """The event is set and what may wait for ever is interrupted, once."""
    stop, interrupted = asyncio.Event(), asyncio.Event()
    handle_stop_signals(stop, interrupted.set)
    assert not stop.is_set()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await interrupted.wait()
    assert stop.is_set()


@pytest.mark.parametrize(("first", "second"), [("TERM", "INT"), ("INT", "TERM")])
def test_the_second_signal_ends_the_process(
    run: Callable[..., subprocess.CompletedProcess[str]], first: str, second: str
) -> None:
    """Whatever hangs, the process ends with status 1; it is interrupted once, and its log lines are written."""
    done = run(SECOND.format(first, second))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("interrupted") == 1
    assert "last words" in done.stdout


async def test_a_later_call_takes_the_signals_over() -> None:
    """A kernel that comes up inside `backend dev` hears the signals from then on, and alone."""
    earlier, later, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
    handle_stop_signals(earlier, lambda: pytest.fail("the earlier one was called"))
    handle_stop_signals(later, heard.set)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await heard.wait()
    assert (earlier.is_set(), later.is_set()) == (False, True)


async def fail() -> None:
    raise ValueError("out of coal")


async def end() -> None:
    return


async def cancel_oneself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("work", "kind", "says"),
    [(fail, ValueError, "out of coal"), (end, RuntimeError, "'tide'"), (cancel_oneself, asyncio.CancelledError, "")],
)
async def test_a_task_that_ends_by_itself_is_a_crash(
    work: Callable[[], "asyncio.Future[None]"], kind: type[BaseException], says: str
) -> None:
    """Whether it raises, returns or is cancelled: the process is told, and why is kept."""
    crashed = asyncio.Event()
    tasks = BackgroundTasks(crashed.set)
    async with AsyncExitStack() as stack:
        tasks.start(stack, work(), "tide")  # type: ignore[arg-type] # a coroutine function
        async with asyncio.timeout(5):
            await crashed.wait()
    assert type(tasks.crash) is kind
    assert says in str(tasks.crash)


async def test_the_first_crash_is_kept() -> None:
    """What fails because of it does not hide it."""
    crashed: list[BaseException | None] = []
    both = asyncio.Event()

    def on_crash() -> None:
        crashed.append(tasks.crash)
        if len(crashed) == 2:
            both.set()

    tasks = BackgroundTasks(on_crash)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        tasks.start(stack, fail(), "first")
        tasks.start(stack, end(), "second")
        await both.wait()
    assert crashed == [tasks.crash] * 2
    assert isinstance(tasks.crash, ValueError)


async def test_leaving_the_stack_ends_a_task_and_is_no_crash() -> None:
    """A task is cancelled and has cleaned up before the stack goes on with what the task stood on."""
    trail: list[str] = []
    started = asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            trail.append("task")

    tasks = BackgroundTasks(lambda: trail.append("crash"))
    async with AsyncExitStack() as stack:
        stack.callback(trail.append, "ground")
        tasks.start(stack, work(), "tide")
        await started.wait()
    await asyncio.sleep(0)
    assert trail == ["task", "ground"]
    assert tasks.crash is None
