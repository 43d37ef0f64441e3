"""The three drivers: how each connects, with the same settings on the server and the same timeouts."""

import asyncio
import contextlib
import socket
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from galaxy_kernel.database.aiopg.connection import Connection as AiopgConnection
from galaxy_kernel.database.dsn import Dsn

KEEPALIVE_IDLE = 10
"""Seconds of silence after which TCP asks whether the peer is there."""
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3
UNACKNOWLEDGED = 20.0
"""Seconds that sent data may stay unacknowledged before the connection counts as lost."""
IDLE_IN_TRANSACTION = 60.0
"""Seconds a transaction may be idle before the server ends it: it would hold back the vacuum and the change feed."""

Opener = Callable[..., Awaitable[Any]]


def server_settings(dsn: Dsn, statement_timeout: float) -> dict[str, str]:
    """Return the settings that are sent to the server at connecting. `statement_timeout` in seconds, 0 for none.

    All that our code assumes of a session is among them, whatever the defaults of server, database and role are; as
    `pg_settings` writes it, so that it can be compared.
    """
    return {
        "search_path": ", ".join(dsn.search_path),
        "statement_timeout": str(round(statement_timeout * 1000)),
        "idle_in_transaction_session_timeout": str(round(IDLE_IN_TRANSACTION * 1000)),
        "idle_session_timeout": "0",  # connections of the pool, and listeners, are idle for as long as they are
        "lock_timeout": "0",  # waits are bounded by `statement_timeout`, and some have statements without one
        "synchronous_commit": "on",  # what we acknowledge has to survive a crash of the server
        "timezone": "UTC",
        # throttles and claims read again what others have committed while they waited for a lock
        "default_transaction_isolation": "read committed",
        "client_encoding": "UTF8",  # names are any Unicode
        "datestyle": "ISO, MDY",  # what the drivers parse
        "intervalstyle": "postgres",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",  # how psycopg2 quotes
        "extra_float_digits": "1",  # doubles come back as they were written
        "array_nulls": "on",
        "transform_null_equals": "off",
    }


def opener(dsn: Dsn, *, connect_timeout: float, settings: Mapping[str, str], application_name: str) -> Opener:
    """Return the coroutine function that connects to the first of the DSN's hosts that accepts.

    `connect_timeout`: seconds for each host. It raises the driver's own error for an unreachable server.
    """
    connect, unreachable = _DRIVERS[dsn.driver]
    name = dsn.application_name or application_name

    async def attempt(host: str | None, port: int, extra: Mapping[str, Any]) -> Any:
        where = host or "the default socket"
        try:
            async with asyncio.timeout(connect_timeout):
                return await connect(dsn, host, port, {**settings, "application_name": name}, extra)
        except TimeoutError as exc:
            raise unreachable()(f"no answer from {where} port {port} within {connect_timeout:g} s") from exc
        except OSError as exc:
            raise unreachable()(f"cannot connect to {where} port {port}: {exc}") from exc

    async def open_connection(**extra: Any) -> Any:
        for name in ("host", "port", "user", "password", "database", "dbname"):
            extra.pop(name, None)  # SQLAlchemy's copy of the DSN's values
        failures: list[str] = []
        for host, port in dsn.hosts[:-1]:
            try:
                return await attempt(host, port, extra)
            except Exception as exc:  # whatever the error is, the next host may work
                failures.append(f"before that, {host} port {port}: {exc}")
        try:
            return await attempt(*dsn.hosts[-1], extra)
        except Exception as exc:
            for failure in failures:
                exc.add_note(failure)
            raise

    return open_connection


def _libpq(dsn: Dsn, host: str | None, port: int, settings: Mapping[str, str]) -> dict[str, Any]:
    options = " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items() if name != "application_name")
    parameters = {
        "host": host,
        "port": port,
        "user": dsn.user,
        "password": dsn.password,
        "dbname": dsn.database,
        "application_name": settings["application_name"],
        "options": options,
        "target_session_attrs": dsn.target_session_attrs,
        "keepalives_idle": KEEPALIVE_IDLE,
        "keepalives_interval": KEEPALIVE_INTERVAL,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": round(UNACKNOWLEDGED * 1000),
        **dsn.tls,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


async def _aiopg(dsn: Dsn, host: str | None, port: int, settings: Mapping[str, str], extra: Mapping[str, Any]) -> Any:
    return await AiopgConnection.open(**_libpq(dsn, host, port, settings), **extra)


async def _psycopg(dsn: Dsn, host: str | None, port: int, settings: Mapping[str, str], extra: Mapping[str, Any]) -> Any:
    try:
        return await _psycopg_connection().connect(**_libpq(dsn, host, port, settings), **extra)
    except BaseException as exc:
        # these frames hold the half-open connection: keeping the error would keep it open
        traceback.clear_frames(exc.__traceback__)
        raise


async def _asyncpg(dsn: Dsn, host: str | None, port: int, settings: Mapping[str, str], extra: Mapping[str, Any]) -> Any:
    import asyncpg  # noqa: PLC0415 # an extra: imported when the DSN asks for it

    parameters = {
        "dsn": f"postgresql://?{urlencode(dsn.tls)}" if dsn.tls else None,
        "host": host,
        "port": port,
        "user": dsn.user,
        "password": dsn.password,
        "database": dsn.database,
        "target_session_attrs": dsn.target_session_attrs,
        "server_settings": dict(settings),
        "connection_class": _asyncpg_connection(),
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    connection = await asyncpg.connect(**given, **extra)
    _keep_alive(connection)
    return connection


def _keep_alive(connection: Any) -> None:
    """Make TCP notice a dead peer: asyncpg has no option for it."""
    transport = getattr(connection, "_transport", None)
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", round(UNACKNOWLEDGED * 1000)),
    ):
        with contextlib.suppress(OSError, AttributeError):  # not every system has every option
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@cache
def _asyncpg_connection() -> Any:
    import asyncpg  # noqa: PLC0415 # an extra: imported when the DSN asks for it

    class Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg is untyped
        """A connection that does not accept the server's ROLLBACK in answer to its COMMIT."""

        __slots__ = ()

        async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
            status: str = await super().execute(query, *args, timeout=timeout)
            if status == "ROLLBACK" and query.startswith("COMMIT"):
                raise asyncpg.InFailedSQLTransactionError(_ABORTED)
            return status

    return Connection


@cache
def _psycopg_connection() -> Any:
    import psycopg  # noqa: PLC0415 # an extra: imported when the DSN asks for it

    class Connection(psycopg.AsyncConnection[Any]):
        """A connection that does not accept the server's ROLLBACK in answer to its COMMIT."""

        async def commit(self) -> None:
            if self.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                await self.rollback()  # SQLAlchemy treats a failed COMMIT as the end of the transaction
                raise psycopg.errors.InFailedSqlTransaction(_ABORTED)
            await super().commit()

    return Connection


_ABORTED = "a statement of this transaction failed: it cannot be committed"


def _unreachable_aiopg() -> Any:
    import psycopg2  # noqa: PLC0415 # beside its two siblings

    return psycopg2.OperationalError


def _unreachable_asyncpg() -> Any:
    import asyncpg  # noqa: PLC0415 # an extra: imported when the DSN asks for it

    return asyncpg.exceptions.ClientCannotConnectError


def _unreachable_psycopg() -> Any:
    import psycopg  # noqa: PLC0415 # an extra: imported when the DSN asks for it

    return psycopg.OperationalError


_DRIVERS: Mapping[str, tuple[Callable[..., Awaitable[Any]], Callable[[], Any]]] = {
    "aiopg": (_aiopg, _unreachable_aiopg),
    "asyncpg": (_asyncpg, _unreachable_asyncpg),
    "psycopg": (_psycopg, _unreachable_psycopg),
}
