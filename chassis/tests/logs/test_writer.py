"""Writing lines: in batches, without waiting for a reader, and all of them."""

import asyncio
import io
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import IO, Any

import pytest

from galaxy_chassis.logs import (
    Logging,
    configure_logging,
    get_logger,
    log_request,
    writer,
)
from galaxy_chassis.request_context import RequestContext


class Counting(io.StringIO):
    """A stream that counts its writes, and notes which threads they come from."""

    writes = 0

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def write(self, text: str) -> int:
        if isinstance(text, str):
            self.writes += 1
            self.threads.add(threading.current_thread().name)
        return super().write(text)


def test_ordinary_lines_are_written_in_batches() -> None:
    """A thousand lines take a few writes, in order, without anybody flushing."""
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    logger = get_logger("x")
    for number in range(0, 1000, 2):
        logger.info("n", status=number)
        log_request(RequestContext("", ""), "GET", None, number + 1, 0.001)
    until(lambda: stream.getvalue().count("\n") == 1000)
    logging_.close()
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == list(range(1000))
    assert stream.writes < 20


async def test_a_busy_event_loop_writes_its_own_batches() -> None:
    """Lines of a thousand turns of the event loop take a few writes, in order, and no other thread."""
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    for number in range(1000):
        log_request(RequestContext("", ""), "GET", None, number, 0.001)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while stream.getvalue().count("\n") < 1000:
            await asyncio.sleep(0.01)
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == list(range(1000))
    assert stream.writes < 20
    assert stream.threads == {threading.main_thread().name}
    logging_.close()


async def test_lines_of_a_stuck_event_loop_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an event loop logged before it blocked is written while it is blocked."""
    monkeypatch.setattr(writer, "_WATCH", 0.02)
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    get_logger("x").info("last words")
    until(lambda: "last words" in stream.getvalue())
    assert stream.threads == {"log-writer"}
    logging_.close()


def test_a_warning_is_written_at_once() -> None:
    """A warning is written before the call returns, after the ordinary lines that came before it."""
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    os.set_blocking(reader, False)
    get_logger("x").info("first")
    get_logger("x").warning("second")
    assert [json.loads(line)["event"] for line in os.read(reader, 65536).splitlines()] == ["first", "second"]
    close(logging_, reader, sink)


def test_a_reader_that_stops_reading_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While stdout is not read, log calls return at once, memory is bounded, and the loss is reported later."""
    monkeypatch.setattr(writer, "HELD_BYTES", 200_000)
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    logger, slowest = get_logger("x"), 0.0
    for number in range(3000):
        begun = time.perf_counter()
        (logger.warning if number % 3 else logger.info)("line", number=number, padding="x" * 200)
        slowest = max(slowest, time.perf_counter() - begun)
    assert slowest < 1
    received = bytearray()
    collect = threading.Thread(target=read_all, args=(reader, received))
    collect.start()
    until(lambda: b"log_lines_dropped" in received or logger.warning("again") or False)
    logging_.close()
    sink.close()
    collect.join()
    os.close(reader)
    lines = [json.loads(line) for line in received.splitlines()]
    dropped = [line for line in lines if line["event"] == "log_lines_dropped"]
    numbers = [line["number"] for line in lines if line["event"] == "line"]
    assert numbers == sorted(numbers)
    assert len(numbers) + sum(line["count"] for line in dropped) >= 3000


def test_a_broken_stdout_crashes_nobody() -> None:
    """A pipe whose reader is gone, and a stream that is closed, swallow the lines."""
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    os.close(reader)
    get_logger("x").error("to nobody")
    get_logger("x").info("to nobody")
    logging_.close()
    sink.close()
    stream = io.StringIO()
    logging_ = configure_logging(stream=stream)
    stream.close()
    get_logger("x").error("to nobody")
    logging_.close()


def test_a_closed_stdout_never_writes_into_another_file(run: Callable[..., Any]) -> None:
    """When stdout's descriptor is closed and its number taken by a file, no line lands in that file."""
    script = """
import os, sys
from galaxy_chassis.logs import configure_logging, get_logger
configure_logging()
os.close(1)
other = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert other == 1
get_logger("x").error("hello")
"""
    path = f"/tmp/galaxy-test-{uuid.uuid4()}"
    try:
        done = run(script, path)
        assert done.returncode == 0, done.stderr
        assert os.stat(path).st_size == 0  # noqa: PTH116
        assert json.loads(done.stdout)["event"] == "hello"
    finally:
        os.unlink(path)  # noqa: PTH108


def test_threads_do_not_mix_their_lines(log: Any) -> None:
    """Lines of many threads come out whole, each thread's in its order."""

    def talk(name: int) -> None:
        logger = get_logger("x", thread=name)
        for number in range(200):
            (logger.warning if number % 50 == 0 else logger.info)("n", number=number)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: log.stream.getvalue().count("\n") == 1600)
    for name in range(8):
        assert [line["number"] for line in log.lines if line["thread"] == name] == list(range(200))


def until(condition: Any) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pipe() -> tuple[int, IO[str]]:
    """Make a pipe; return the descriptor to read from and a stream to write to."""
    reader, sink = os.pipe()
    return reader, os.fdopen(sink, "w")


def read_all(reader: int, received: bytearray) -> None:
    """Read until the last writer is gone."""
    while data := os.read(reader, 65536):
        received.extend(data)


def close(logging_: Logging, reader: int, sink: IO[str]) -> None:
    """Close a pipe and the logging on it."""
    logging_.close()
    sink.close()
    os.close(reader)
