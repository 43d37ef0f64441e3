"""Makes an engine for a DSN: the pool, and the same settings for every driver."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from galaxy_kernel.database.drivers import Opener, opener, server_settings
from galaxy_kernel.database.dsn import Dsn, DsnError, parse_dsn, schema_of

__all__ = ["DsnError", "make_engine", "schema_of"]

RECYCLE = 1800
"""Seconds after which a connection is replaced when next used: so that the pool spreads again after a failover."""


def make_engine(
    dsn: str,
    *,
    pool_size: int = 10,
    pool_timeout: float = 5.0,
    connect_timeout: float = 5.0,
    statement_timeout: float = 10.0,
    application_name: str = "galaxy-backend",
) -> AsyncEngine:
    """Make the engine for a DSN; it connects on first use. Raise DsnError.

    At most `pool_size` connections are open, the last used is the first used again, and each is checked before use.
    Seconds: `pool_timeout` to wait for a free one (then sqlalchemy.exc.TimeoutError), `connect_timeout` for each host
    of the DSN, `statement_timeout` for a statement on the server (0 for none; then sqlstate 57014). The DSN's
    `application_name` and `connect_timeout` have precedence over the arguments.

    All drivers return uuid.UUID, datetimes aware in UTC, bytes, Decimal, lists for arrays, text for inet, and what
    msgspec decodes for json and jsonb, which accept anything that msgspec encodes. A list is bound with its type, as
    `bindparam("ids", type_=ARRAY(Uuid))` or, in text, as `CAST(:ids AS uuid[])`: SQLAlchemy does not recognise a
    parameter in `:ids::uuid[]`. xid8 is an int with asyncpg and a str with the others: select `xmin::text::bigint`.
    """
    parsed = parse_dsn(dsn)
    settings = server_settings(parsed, statement_timeout)
    connect = opener(
        parsed,
        connect_timeout=parsed.connect_timeout or connect_timeout,
        settings=settings,
        application_name=application_name,
    )
    return create_async_engine(
        _url(parsed),
        connect_args={"async_creator_fn": connect},
        execution_options={_OPENER: connect, _SETTINGS: settings},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_recycle=RECYCLE,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
        **_PER_DRIVER.get(parsed.driver, {}),
    )


def opener_of(engine: AsyncEngine) -> Opener:
    """Return the function that opens a connection outside the pool of an engine of `make_engine`."""
    options = engine.sync_engine.get_execution_options()
    if _OPENER not in options:
        raise ValueError("the engine was not made by make_engine, which knows how to connect outside the pool")
    connect: Opener = options[_OPENER]
    return connect


def settings_of(engine: AsyncEngine) -> Mapping[str, str]:
    """Return the settings that an engine of `make_engine` asks the server for."""
    settings: Mapping[str, str] = engine.sync_engine.get_execution_options().get(_SETTINGS, {})
    return settings


_OPENER, _SETTINGS = "galaxy_opener", "galaxy_settings"
_PER_DRIVER: dict[str, dict[str, Any]] = {
    # psycopg2 returns inet as text and cannot do otherwise
    "asyncpg": {"native_inet_types": False},
    "psycopg": {"native_inet_types": False},
}


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _url(dsn: Dsn) -> URL:
    """Return the database's URL for logs and telemetry; connecting does not use it."""
    host, port = dsn.hosts[0]
    socket = host is None or host.startswith("/")
    return URL.create(
        f"postgresql+{dsn.driver}",
        username=dsn.user,
        host=None if socket else host,
        port=None if socket else port,
        database=dsn.database,
    )
