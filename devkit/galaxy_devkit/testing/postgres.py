"""One PostgreSQL server for a whole test session, and cheap databases in it: each a clone of a prepared template."""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2 import sql

from galaxy_devkit.postgres.server import EmbeddedPostgres

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - asked for by name, a private directory is made in it
_ENOUGH = 4 << 30
"""Bytes that must be free there; containers often have 64 MiB."""


def _memory() -> Path | None:
    """Return a directory in memory, where cloning a database takes half the time; None for the usual place."""
    try:
        roomy = shutil.disk_usage(_SHARED_MEMORY).free >= _ENOUGH and os.access(_SHARED_MEMORY, os.W_OK)
    except OSError:
        return None
    return _SHARED_MEMORY if roomy else None


class PostgresCluster:
    """A server in a temporary directory, which is removed with it; a context manager, without an event loop."""

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Describe the cluster; `server` is the one behind it, for tests that stop, kill and start it."""
        self._folder = Path(tempfile.mkdtemp(prefix="galaxy-postgres-", dir=_memory()))
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        self.server = EmbeddedPostgres(self._folder / "data", settings=settings, durable=False)

    def __enter__(self) -> Self:
        """Start; raise EmbeddedPostgresError when that fails."""
        try:
            self.server.start_sync()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once, regardless of connections, and remove the directory."""
        try:
            self.server.stop_sync("immediate")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def template(self, name: str, prepare: Callable[[str], None]) -> str:
        """Create the template database `name` once; `prepare` fills it, given its DSN.

        If it raises, nothing is left.
        """
        if name in self._templates:
            return name
        self._run("CREATE DATABASE {}", name)
        try:
            prepare(self.server.dsn(name))
        except BaseException:
            self._run("DROP DATABASE {} WITH (FORCE)", name)
            raise
        self._seal(name)
        self._templates.add(name)
        return name

    def clone(self, template: str = "template1") -> str:
        """Create a database like `template`, an empty one by default, and return its DSN."""
        name = f"{template}_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.server.dsn(name)

    def drop(self, dsn: str) -> None:
        """Drop a database made by `clone`, ending its connections."""
        self._run("DROP DATABASE {} WITH (FORCE)", unquote(urlsplit(dsn).path.removeprefix("/")))

    def _seal(self, name: str) -> None:
        """Close a template to connections: CREATE DATABASE waits for open ones, then fails."""
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with self._connected() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))

    def _run(self, statement: str, *names: str) -> None:
        with self._connected() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg2.extensions.cursor]:
        """Connect for one statement, so that a restart of the server between two does not matter."""
        with contextlib.closing(psycopg2.connect(self.server.dsn())) as connection:
            connection.autocommit = True  # CREATE DATABASE does not run in a transaction
            with connection.cursor() as cursor:
                yield cursor
