"""A Redis server of our own, and both kinds of store under one face, whose time a test moves."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.redis import RedisStore
from galaxy_gateway.store.store import Store

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """A process that listens on a socket of its own, and keeps nothing when it stops."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.path, self._options = folder / "redis.sock", options
        self._log = folder / "redis.log"
        self.url = f"unix://{self.path}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        fixed = ("--port", "0", "--unixsocket", str(self.path), "--save", "", "--logfile", str(self._log))
        self._process = subprocess.Popen([PROGRAM, *fixed, *self._options])
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """Return a client that blocks."""
        return redis.Redis.from_url(self.url, protocol=2)

    def run(self, *command: Any) -> Any:
        """Run one command."""
        with closing(self.client()) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64)[:1] in (b"+", b"-")  # -NOAUTH is an answer too
            except OSError:
                return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a server; skip the test where there is no program, unless REQUIRE_REDIS is set."""
    if PROGRAM is None:
        if os.environ.get("REQUIRE_REDIS"):
            pytest.fail("redis-server is not installed, and REQUIRE_REDIS is set")
        pytest.skip("redis-server is not installed")
    with TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as folder:  # short: a socket's path is bounded
        server = RedisServer(Path(folder), *options)
        try:
            yield server
        finally:
            server.stop()


@dataclass
class World:
    """A store, and what moves its time."""

    store: Store
    clock: ManualClock = field(default_factory=ManualClock)
    server: RedisServer | None = None

    def advance(self, seconds: float) -> None:
        """Move time forward. Redis keeps its own: there, what it holds is made so much older."""
        self.clock.advance(timedelta(seconds=seconds))
        if self.server is not None:
            with closing(self.server.client()) as client:
                for key in client.keys("galaxy:*"):
                    _age(client, key, seconds)


def _age(client: "redis.Redis", key: bytes, seconds: float) -> None:
    left = client.pttl(key) - round(seconds * 1000)
    if left <= 0:
        client.delete(key)
    elif client.type(key) == b"string":
        client.set(key, int(client.get(key)) - round(seconds * 1_000_000), px=left)
    else:
        client.pexpire(key, left)


def memory_world() -> World:
    """Return a store in memory."""
    clock = ManualClock()
    return World(MemoryStore(clock), clock)


def redis_world(server: RedisServer) -> World:
    """Return a store in an empty server."""
    server.run("FLUSHALL")
    clock = ManualClock()
    return World(RedisStore(server.url, clock, timeout=10.0), clock, server)
